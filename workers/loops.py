"""The event loop of a process that works for long: uvloop, where it is installed, which costs less for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")


def run_for_long(work: Coroutine[Any, Any, R]) -> R:
    """As `asyncio.run`. The extra `speed` installs uvloop."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work)
