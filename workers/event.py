"""What a handler gets: an event of the log, in the words of whoever reacts to it."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any

from interrupts.codec import decode_event
from interrupts.positions import time_of
from interrupts.recorded import RecordedEvent, recorded_at


class Event:
    """One event, as it is handed to a handler. The same event may come again: `position` is the same then.

    `event_type`: its name, such as `interrupt.resolved` or `session.chat.completed`. `attempt`: how often it was handed
    over, with this time. What it says is decoded when it is first asked for.
    """

    def __init__(self, partition: int, stream_id: str, event_type: str, session_id: str, raw: bytes) -> None:
        self.partition = partition
        self.stream_id = stream_id
        self.event_type = event_type
        self.session_id = session_id
        self.attempt = 1
        self._raw = raw

    @property
    def position(self) -> str:
        """Its place in the log, which no other event has."""
        return f"{self.partition}:{self.stream_id}"

    @property
    def raw(self) -> bytes:
        """As it is stored."""
        return self._raw

    @property
    def size(self) -> int:
        """Its bytes, as stored."""
        return len(self._raw)

    @property
    def timestamp(self) -> datetime:
        """When it happened, by the server's clock."""
        return time_of(int(self.stream_id.partition("-")[0]))

    @cached_property
    def recorded(self) -> RecordedEvent:
        """All that the log says of it."""
        return recorded_at(self.partition, self.stream_id, decode_event(self._raw))

    @property
    def interrupt_id(self) -> str:
        """The interrupt that it is of; "" for what was published."""
        return self.recorded.interrupt_id

    @cached_property
    def data(self) -> dict[str, Any]:
        """What was published; of an interrupt's event its ids and what was said (question, response, reason, …)."""
        told = self.recorded
        if not told.interrupt_id:
            return told.content
        return {
            "interrupt_id": told.interrupt_id,
            "kind": told.kind,
            "session_id": told.session_id,
            "request_id": told.request_id,
            "user_id": told.user_id,
            "version": told.version,
            "actor": told.actor,
            **told.content,
        }

    def __repr__(self) -> str:
        return f"<Event {self.event_type} {self.position} attempt {self.attempt}>"
