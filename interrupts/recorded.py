"""An event as the log tells it: what happened, when, where in the log, and by whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from interrupts.codec import Line, LogLine, PublishedLine
from interrupts.events import Created, LogEvent, Published, tag_of
from interrupts.model import InterruptKind
from interrupts.positions import time_of


class RecordedEvent(msgspec.Struct, frozen=True):
    """One event of the log. `content` is what people wrote; `terms` (of a creation) what was decided for it.

    `sequence` is its number in the partition's log; None in an interrupt's history, which is not read from there. What
    was published, and is no interrupt, has its own name as `type`, no kind, version 0, and "" as `interrupt_id`.
    """

    type: str
    at: datetime
    position: str
    sequence: int | None
    interrupt_id: str
    version: int
    kind: InterruptKind | None
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


def recorded_at(partition: int, stream_id: str, event: LogEvent, sequence: int | None = None) -> RecordedEvent:
    """An event at its place, in the words of a reader."""
    ms = int(stream_id.partition("-")[0])
    if isinstance(event, Published):
        return recorded(PublishedLine(stream_id, ms, event, sequence), partition)
    return recorded(Line(stream_id, ms, event, sequence), partition)


def recorded(line: LogLine, partition: int) -> RecordedEvent:
    """The event on a line, in the words of a reader."""
    if isinstance(line, PublishedLine):
        said = line.event
        return RecordedEvent(
            type=said.name,
            at=time_of(line.ms),
            position=f"{partition}:{line.stream_id}",
            sequence=line.sequence,
            interrupt_id="",
            version=0,
            kind=None,
            session_id=said.session_id,
            request_id=said.request_id,
            user_id=said.user_id,
            command_id=said.about.command_id,
            actor=said.about.actor,
            content=msgspec.json.decode(said.content),
            terms={},
        )
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
