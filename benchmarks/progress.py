"""What a benchmark is doing just now, on stderr: the figures on stdout stay clean."""

from __future__ import annotations

import sys
import time

_began = time.monotonic()


def say(text: str) -> None:
    """A line, with the seconds since the start."""
    print(f"[{time.monotonic() - _began:6.1f} s] {text}", file=sys.stderr, flush=True)
