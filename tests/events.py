"""Events and entries of a log, made up for tests."""

from __future__ import annotations

from interrupts.codec import STATUS_LETTER, encode
from interrupts.events import NO_CONTENT, About, AnyEvent, Cancelled, Created, Expired, Resolved, Terms
from interrupts.model import InterruptKind, InterruptStatus
from projections.folding import Entry

ENDS: dict[str, type[Resolved | Cancelled | Expired]] = {
    "resolved": Resolved,
    "cancelled": Cancelled,
    "expired": Expired,
}


def created(
    interrupt_id: str, *, kind: str = "clarification", session: str = "s", request: str = "r", user: str = "u"
) -> Created:
    """A creation."""
    return Created(
        interrupt_id, 1, InterruptKind(kind), session, request, user, NO_CONTENT, About(), Terms(auto_expire=False)
    )


def ended(first: Created, how: str) -> Resolved | Cancelled | Expired:
    """The end of what was created: resolved, cancelled or expired."""
    return ENDS[how](first.id, 2, first.kind, first.session_id, first.request_id, first.user_id, NO_CONTENT, About())


def packed(*events: tuple[AnyEvent, str], status: InterruptStatus = InterruptStatus.PENDING) -> bytes:
    """An interrupt's key, without a deadline: events and their stream ids."""
    head = f"{len(events)}{STATUS_LETTER[status]}\n".encode()
    return head + b"".join(stream_id.encode() + b" " + encode(event) + b"\n" for event, stream_id in events)


def entry(sequence: int, event: AnyEvent | bytes, stream_id: str | None = None) -> Entry:
    """An entry of a log: by default one a millisecond, so that its number is its time."""
    raw = event if isinstance(event, bytes) else encode(event)
    return (stream_id or f"{sequence}-0").encode(), [b"s", b"%d" % sequence, b"e", raw]
