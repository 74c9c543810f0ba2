"""A quick look at a stored event: what it is called and whose order it keeps, without decoding it.

An event is a JSON array that begins with its type; the strings that matter come first, and only their order counts
here. Where one of them has an escaped character in it, the event is decoded properly.
"""

from __future__ import annotations

from typing import Final

from interrupts.codec import decode_event
from interrupts.errors import CorruptLogError
from interrupts.events import Published, name_of

PUBLISHED: Final = b"published"


def subject(raw: bytes) -> bytes:
    """The id of the interrupt that an event is of; of what was published its name. b"" if it is no event."""
    parts = raw.split(b'"', 4)
    return parts[3] if len(parts) == 5 else b""


def glance(raw: bytes) -> tuple[str, str]:
    """What an event is called, and the session whose order it keeps. Raises `CorruptLogError`."""
    parts = raw.split(b'"', 8)
    if len(parts) == 9 and b"\\" not in parts[7] and parts[1] != PUBLISHED:
        try:
            return parts[1].decode(), parts[7].decode()
        except UnicodeDecodeError as error:
            raise CorruptLogError(f"An event can't be read ({error}): it is damaged.") from error
    event = decode_event(raw)
    if isinstance(event, Published):
        return event.name, event.session_id
    return name_of(event), event.session_id
