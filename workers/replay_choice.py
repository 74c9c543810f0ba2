"""What is to be replayed: from where to where, and which events of that. Pure but for the names of partitions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from interrupts import InterruptService, Position, ValidationError
from interrupts.checks import check_id, check_kind, shown
from interrupts.event_names import check_event_pattern, matches
from interrupts.ids import is_id
from interrupts.limits import REACT_EVENTS_MAX
from interrupts.positions import ms_of
from workers.event import Event

Bound = datetime | Sequence[Position] | None
"""A time; or positions, at most one in each partition."""


class Choice(msgspec.Struct, frozen=True):
    """Events that are to be replayed. What is None or empty restricts nothing.

    `start`: the first event is at this time or position, or the next after it; of positions that are not given for
    each partition, the others begin at the time of the earliest. `until`: the last event, the same way round; without
    it what is there when the replay begins. All filters hold together; of patterns and kinds one is enough.
    """

    start: Bound = None
    until: Bound = None
    patterns: Sequence[str] = ()
    session_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    kinds: Sequence[str] = ()
    interrupt_id: str | None = None

    def __post_init__(self) -> None:
        """Refuses, by name, what can't be meant. Raises `ValidationError`."""
        for pattern in self.patterns:
            check_event_pattern(pattern)
        for kind in self.kinds:
            check_kind(kind)
        for field in ("session_id", "request_id", "user_id"):
            if getattr(self, field) is not None:
                check_id(field, getattr(self, field))
        if self.interrupt_id is not None and not is_id(self.interrupt_id):
            raise ValidationError(f"interrupt_id: {shown(self.interrupt_id)} is no interrupt's id.", field="id")
        for field in ("start", "until"):
            self._check_bound(field, getattr(self, field))

    @staticmethod
    def _check_bound(field: str, bound: Bound) -> None:
        if bound is None or isinstance(bound, datetime):
            return
        partitions = [position.partition for position in bound]
        if not partitions or len(partitions) != len(set(partitions)):
            raise ValidationError(f"{field}: give one position for a partition, not several, nor none.", field=field)

    def partitions(self, service: InterruptService) -> list[int]:
        """Where such events can be: a session is in one partition, and so is an interrupt. Raises `ValidationError`."""
        keys = service.store.keys
        for field, bound in (("start", self.start), ("until", self.until)):
            for position in () if bound is None or isinstance(bound, datetime) else bound:
                if position.partition >= keys.partitions:
                    raise ValidationError(
                        f"{field}: {position} is in no partition of this namespace, which has 0 to "
                        f"{keys.partitions - 1}.",
                        field=field,
                    )
        where = set(range(keys.partitions))
        if self.session_id is not None:
            where &= {keys.partition_of_session(self.session_id)}
        if self.interrupt_id is not None:
            where &= {keys.partition_of_id(self.interrupt_id)}
        return sorted(where)

    def first_in(self, partition: int) -> tuple[int, int]:
        """The first place in a partition that is meant."""
        if self.start is None:
            return 0, 0
        if isinstance(self.start, datetime):
            return max(0, ms_of(self.start)), 0
        for position in self.start:
            if position.partition == partition:
                return position.ms, position.number
        return min(position.ms for position in self.start), 0

    def last_in(self, partition: int) -> str:
        """The last place in a partition that is meant, as XRANGE takes it."""
        if self.until is None:
            return "+"
        if isinstance(self.until, datetime):
            return str(max(0, ms_of(self.until)))
        for position in self.until:
            if position.partition == partition:
                return position.stream_id
        return str(max(position.ms for position in self.until))


class Chooser:
    """Says of events whether they are meant. It remembers what it has said of their names."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._kinds = {check_kind(kind) for kind in choice.kinds}
        self._known: dict[str, bool] = {}
        self._looks_inside = any((choice.request_id, choice.user_id, choice.kinds, choice.interrupt_id))

    def __call__(self, event: Event) -> bool:
        """Whether it is meant. Raises `CorruptLogError` if that can't be told, as it can't be read."""
        choice = self._choice
        if not self._is_named(event.event_type):
            return False
        if choice.session_id is not None and event.session_id != choice.session_id:
            return False
        if not self._looks_inside:
            return True
        told = event.recorded
        return (
            (choice.request_id is None or told.request_id == choice.request_id)
            and (choice.user_id is None or told.user_id == choice.user_id)
            and (not self._kinds or told.kind in self._kinds)
            and (choice.interrupt_id is None or told.interrupt_id == choice.interrupt_id)
        )

    def _is_named(self, name: str) -> bool:
        patterns = self._choice.patterns
        if not patterns:
            return True
        known = self._known.get(name)
        if known is None:
            known = any(matches(pattern, name) for pattern in patterns)
            if len(self._known) < REACT_EVENTS_MAX:
                self._known[name] = known
        return known
