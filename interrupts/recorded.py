"""An event as the log tells it: what happened, when, where in the log, and by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from interrupts.codec import Line
from interrupts.events import Created, tag_of
from interrupts.model import InterruptKind
from interrupts.positions import time_of


class RecordedEvent(msgspec.Struct, frozen=True):
    """One event of the log. `content` is what people wrote; `terms` (of a creation) what was decided for it.

    `sequence` is its number in the partition's log; None in an interrupt's history, which is not read from there.
    """

    type: str
    at: datetime
    position: str
    sequence: int | None
    interrupt_id: str
    version: int
    kind: InterruptKind
    session_id: str
    request_id: str
    user_id: str
    command_id: str
    actor: str | None
    content: dict[str, Any]
    terms: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON can hold it."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def recorded(line: Line, partition: int) -> RecordedEvent:
    """The event on a line, in the words of a reader."""
    event = line.event
    return RecordedEvent(
        type=tag_of(event),
        at=time_of(line.ms),
        position=f"{partition}:{line.stream_id}",
        sequence=line.sequence,
        interrupt_id=event.id,
        version=event.version,
        kind=event.kind,
        session_id=event.session_id,
        request_id=event.request_id,
        user_id=event.user_id,
        command_id=event.about.command_id or event.id,
        actor=event.about.actor,
        content=msgspec.json.decode(event.content),
        terms=msgspec.to_builtins(event.terms) if isinstance(event, Created) else {},
    )
