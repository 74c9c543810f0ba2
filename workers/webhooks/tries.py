"""What is kept of a delivery's tries: how many there were, and what the last one has come to."""

from __future__ import annotations

from typing import Final

import msgspec


class Tried(msgspec.Struct, gc=False, frozen=True, omit_defaults=True):
    """The last try of a delivery. `at_ms`: when it ended; `next_ms`: when the next one is due. `name` and `position`
    are the event's."""

    attempt: int = 0
    status: int | None = None
    body: str | None = None
    error: str | None = None
    took_ms: float = 0.0
    at_ms: int = 0
    next_ms: int = 0
    name: str = ""
    position: str = ""


NO_TRY: Final = Tried()


def tried(stored: bytes) -> Tried:
    """What is stored of the tries; nothing, or what can't be read, is none."""
    if not stored:
        return NO_TRY
    try:
        return msgspec.json.decode(stored, type=Tried)
    except msgspec.MsgspecError:
        return NO_TRY


def encoded(one: Tried) -> bytes:
    """How it is stored."""
    return msgspec.json.encode(one)
