"""The exit codes."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Code(IntEnum):
    """What a script learns from how a command ends."""

    DONE = 0
    FAILED = 1
    """It could not do its work; or it compared, and found differences."""
    USAGE = 2
    UNKNOWN = 3
    CONFLICT = 4
    INTERRUPTED = 130


CODES_TEXT: Final = (
    "Exit codes: 0 done; 1 it could not do its work, or found differences; 2 wrong usage; 3 there is no such "
    "interrupt, group, webhook or delivery; 4 conflict: somebody else was first, and the message says who; 130 "
    "interrupted."
)
