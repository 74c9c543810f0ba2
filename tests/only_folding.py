"""The workers without the one that expires: for tests in which what is overdue has to stay so."""

from __future__ import annotations

from functools import partial

from workers import running as all_running

running = partial(all_running, expiry=False)
