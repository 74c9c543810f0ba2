"""What an interrupt is, after its events: a pure fold."""

from __future__ import annotations

from copy import copy
from typing import Final

import msgspec

from interrupts.codec import (
    Line,
    decode_cancelled_content,
    decode_created_content,
    decode_lines,
    decode_only,
    decode_resolved_content,
)
from interrupts.errors import CorruptLogError
from interrupts.events import (
    Acknowledged,
    AnyEvent,
    Cancelled,
    Created,
    CreatedContent,
    Delivered,
    Expired,
    Extended,
    Resolved,
    Terms,
)
from interrupts.model import FlowInterrupt, InterruptResponse, InterruptStatus
from interrupts.positions import time_of

EXPIRED_REASON: Final = "deadline passed"


class State(msgspec.Struct, gc=False):
    """An interrupt with what deciding about it needs: its terms, its enforced deadline, its last event, and the state
    before that."""

    interrupt: FlowInterrupt
    terms: Terms
    deadline_ms: int | None
    event: AnyEvent
    before: State | None = None

    def caused_by(self, command_id: str) -> AnyEvent | None:
        """The event that this command has caused already, if any."""
        state: State | None = self
        while state is not None:
            if state.event.about.command_id == command_id:
                return state.event
            state = state.before
        return None

    @property
    def created(self) -> AnyEvent:
        """The first event."""
        state = self
        while state.before is not None:
            state = state.before
        return state.event

    def overdue(self, now_ms: int) -> bool:
        """Whether the deadline has passed and nothing has closed it before."""
        return (
            self.deadline_ms is not None
            and self.deadline_ms <= now_ms
            and self.interrupt.status is InterruptStatus.PENDING
        )


def fold(packed: bytes, partition: int) -> State:
    """The state in an interrupt's key."""
    state: State | None = None
    try:
        only = decode_only(packed)
        if only is not None and isinstance(event := only[2], Created):
            stream_id, ms = only[:2]
            return _created(event, ms, f"{partition}:{stream_id}", decode_created_content(event.content))
        for line in decode_lines(packed):
            state = evolve(state, line, partition)
    except msgspec.MsgspecError as error:
        raise CorruptLogError(
            f"An interrupt's content can't be read ({error}): it is damaged, or was written by a newer version of this "
            "library. Nothing was changed."
        ) from error
    if state is None:
        raise CorruptLogError("An interrupt's key holds no event: not written by us.")
    return state


def evolve(
    state: State | None, line: Line, partition: int, content: CreatedContent | InterruptResponse | None = None
) -> State:
    """The state after one more event. `content` spares decoding it where the caller has just encoded it."""
    event = line.event
    position = f"{partition}:{line.stream_id}"
    if state is None:
        if not isinstance(event, Created):
            raise CorruptLogError(f"The first event of interrupt {event.id} is not its creation.")
        said = content if isinstance(content, CreatedContent) else decode_created_content(event.content)
        return _created(event, line.ms, position, said)
    now = copy(state.interrupt)
    now.version = event.version
    now.position = position
    deadline_ms = None
    match event:
        case Resolved():
            now.status = InterruptStatus.RESOLVED
            answer = content if isinstance(content, InterruptResponse) else None
            now.response = answer or decode_resolved_content(event.content).response
            now.resolved_at = time_of(line.ms)
            now.resolved_by = event.about.actor
        case Cancelled():
            now.status = InterruptStatus.CANCELLED
            now.reason = decode_cancelled_content(event.content).reason
            now.resolved_at = time_of(line.ms)
            now.resolved_by = event.about.actor
        case Expired():
            now.status = InterruptStatus.EXPIRED
            now.reason = EXPIRED_REASON
            now.resolved_at = time_of(line.ms)
        case Extended():
            deadline_ms = line.ms + event.ttl_ms
            now.expires_at = time_of(deadline_ms)
            deadline_ms = deadline_ms if state.terms.auto_expire else None
        case Delivered() | Acknowledged():
            pass
        case Created():
            raise CorruptLogError(f"Interrupt {event.id} was created twice.")
    return State(now, state.terms, deadline_ms, event, state)


def _created(event: Created, ms: int, position: str, content: CreatedContent) -> State:
    terms = event.terms
    deadline_ms = None if terms.ttl_ms is None else ms + terms.ttl_ms
    interrupt = FlowInterrupt(
        event.id,
        event.kind,
        event.request_id,
        event.user_id,
        event.session_id,
        terms.envelope_id,
        content.question,
        content.message,
        content.data,
        None,
        InterruptStatus.PENDING,
        time_of(ms),
        None if deadline_ms is None else time_of(deadline_ms),
        None,
        terms.trace_id,
        terms.span_id,
        event.version,
        position,
        None,
        None,
        list(terms.allowed_responses),
        terms.response_schema,
    )
    return State(interrupt, terms, deadline_ms if terms.auto_expire else None, event)


def as_of(state: State, now_ms: int) -> FlowInterrupt:
    """The interrupt as it reads at this time: an overdue one is expired, whether or not the event is there yet."""
    if not state.overdue(now_ms):
        return state.interrupt
    late = copy(state.interrupt)
    late.status = InterruptStatus.EXPIRED
    late.resolved_at = late.expires_at
    late.reason = EXPIRED_REASON
    return late
