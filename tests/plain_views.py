"""What each view must hold in a partition, by a plain loop over its events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from interrupts import Position, RecordedEvent
from tests.tallies import Counter

NEWEST: Final = 3
"""How many of a session `Notes` keeps."""


def _kind(event: RecordedEvent) -> str:
    """Its kind, which what was published has none of: that is in no view."""
    assert event.kind is not None
    return event.kind.value


def pending(events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """What is pending, four times, by the number of its creation."""
    ended = {event.interrupt_id for event in events if event.version > 1}
    held: dict[str, Any] = {}
    for event in events:
        if event.interrupt_id not in ended:
            places = ("kind", _kind(event)), ("session", event.session_id)
            for what, which in (*places, ("request", event.request_id), ("user", event.user_id)):
                held.setdefault(f"{what}:{which}", {})[event.interrupt_id] = float(event.sequence or 0)
    return held


def closed(events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """What is closed, by the number of its end."""
    held: dict[str, Any] = {}
    for event in events:
        if event.version > 1:
            held.setdefault(f"session:{event.session_id}", {})[event.interrupt_id] = float(event.sequence or 0)
    return held


def counts(events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """How many there are, by kind and status."""
    held: dict[str, int] = {}
    for event in events:
        if event.version > 1:
            after = f"{_kind(event)}:{event.type.removeprefix('interrupt.')}"
            held[after] = held.get(after, 0) + 1
        pending = f"{_kind(event)}:pending"
        held[pending] = held.get(pending, 0) + (1 if event.version == 1 else -1)
    return {"counted": {field: str(number) for field, number in held.items()}}


def notes(events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """What `Notes` keeps."""
    waits: dict[str, str] = {}
    users: dict[str, int] = {}
    new: dict[str, dict[str, float]] = {}
    for event in events:
        mine = new.setdefault(f"new:{event.session_id}", {})
        made = event.version == 1
        users[event.user_id] = users.get(event.user_id, 0) + (1 if made else -1)
        if made:
            waits[event.interrupt_id] = event.session_id
            mine[event.interrupt_id] = float(event.sequence or 0)
            if len(mine) > NEWEST:
                del mine[min(mine, key=mine.__getitem__)]
        else:
            waits.pop(event.interrupt_id)
            mine.pop(event.interrupt_id, None)
            users[f"{event.user_id} closed"] = users.get(f"{event.user_id} closed", 0) + 1
    return {"waits": waits, "users": {user: str(number) for user, number in users.items()}, **new}


def rates(events: Sequence[RecordedEvent]) -> dict[str, Any]:
    """The creations of each user in each group that they say, or in that of all; some say that they are in none."""
    counter = Counter()
    for event in events:
        if event.version == 1:
            groups = event.terms.get("counted")
            for group in ["interrupts.create"] if groups is None else groups:
                counter.add(event.user_id, group, Position.parse(event.position).ms)
    return dict(counter.cells)


def targets(events: Sequence[RecordedEvent], partition_of: Callable[[str], int]) -> dict[str, Any]:
    """The place of the last creation of a partition that was counted in each partition, its own among them."""
    places = {}
    for event in events:
        if event.version == 1 and event.terms.get("counted") != ():
            places[str(partition_of(event.user_id))] = event.position.partition(":")[2].replace("-", " ")
    return {"targets": places}


PLAIN: Final = {"pending": pending, "closed": closed, "counts": counts, "rates": rates, "notes": notes}
