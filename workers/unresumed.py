"""Answered, but nobody resumed: what has ended, and what was to go on with it has not.

Groups of reactions that resume (`resumes=True`) mark in an interrupt's history that its end was handed over to them,
and that they are done. Listed is what such a group wants, by its patterns, and has not marked as done: what it has not
come to yet, what it holds, and what it has parked. What ended before a group was there, and what was dropped from what
it had parked, is none of its business any more, and is not listed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from interrupts import CorruptLogError, InterruptService
from interrupts.limits import LIST_LIMIT_DEFAULT
from interrupts.positions import time_of
from interrupts.store.groups import Groups, Held
from interrupts.store.groups import Parked as ParkedWhy
from interrupts.views import place_of
from workers.event import Event
from workers.group_pages import Place, check_limit, known_groups
from workers.group_standing import owners_in
from workers.log_entries import AT_ONCE, Entry, entries_at, entries_between, event_of
from workers.reading import Wanted

ENDS: Final = ("interrupt.resolved", "interrupt.cancelled", "interrupt.expired")
SCAN_MAX: Final = 10_000
"""Entries of the log that one call looks at behind the places of groups; then its page is short, and has a cursor."""
_PAGE: Final = 500
Why = Literal["waiting", "handling", "failing", "parked"]


class Unresumed(msgspec.Struct, frozen=True):
    """An interrupt that has ended at `since`, and with which `group` has not gone on.

    `why`: `waiting` (it was not handed over yet, or to a process that has ended), `handling` (it is being handled),
    `failing` (it was tried `attempts` times, the last time with this `error`, and will be tried again), or `parked`
    (given up, at `parked_at`, until somebody replays it).
    """

    group: str
    interrupt_id: str
    kind: str
    session_id: str
    request_id: str
    user_id: str
    type: str
    position: str
    since: datetime
    why: Why
    attempts: int = 0
    error: str = ""
    parked_at: datetime | None = None


class UnresumedPage(msgspec.Struct, frozen=True):
    """Some of them. `next_cursor` is None at the end; until then also a page with nothing on it may have one."""

    unresumed: list[Unresumed]
    next_cursor: str | None


async def unresumed(
    service: InterruptService,
    group: str | None = None,
    *,
    limit: int = LIST_LIMIT_DEFAULT,
    cursor: str | None = None,
) -> UnresumedPage:
    """What has ended and was not gone on with, by all groups that resume, or by one; in the order of `group_pages`.

    Raises `NotFoundError` for a group that there is not, `ValidationError`, `UnavailableError`.
    """
    check_limit(limit)
    behind, found, seen = Place.parse(cursor), list[Unresumed](), 0
    for name, info in (await known_groups(service, group)).items():
        if not info.resumes:
            continue
        wanted = Wanted(info.patterns)
        for partition in range(service.log.partitions):
            if behind is not None and behind.passed(name, partition):
                continue
            after = (-1, 0) if behind is None else behind.behind_in(name, partition)
            looking = _Looking(service, name, partition, wanted)
            async for events, reached in looking.ends(after):
                for one in await looking.told(events):
                    found.append(one)
                    if len(found) == limit:
                        return UnresumedPage(found, f"{name}/{one.position}")
                if looking.seen + seen >= SCAN_MAX:
                    return UnresumedPage(found, str(Place(name, partition, reached)))
            seen += looking.seen
    return UnresumedPage(found, None)


class _Looking:
    """Looks at one group in one partition."""

    def __init__(self, service: InterruptService, group: str, partition: int, wanted: Wanted) -> None:
        self._service, self._group, self._partition, self._wanted = service, group, partition, wanted
        self._groups = Groups(service.store.server, service.store.keys)
        self._held: dict[str, Held] = {}
        self._parked: dict[str, ParkedWhy] = {}
        self._leased = False
        self.seen = 0

    async def ends(self, after: tuple[int, int]) -> AsyncIterator[tuple[list[Event], str]]:
        """What may not have been gone on with, in order, and up to where that is all."""
        group, partition = self._group, self._partition
        (at, _), held, parked, (owner,) = await asyncio.gather(
            self._groups.standing(group, partition),
            self._groups.held(group, partition),
            self._groups.parked(group, partition),
            owners_in(self._service, group, [partition]),
        )
        self._held, self._parked = {one.stream_id: one for one in held}, dict(parked)
        self._leased = owner is not None
        noted = (stream_id for stream_id in self._held | self._parked if after < place_of(stream_id) <= at.place)
        behind = sorted(noted, key=place_of)
        for number in range(0, len(behind), AT_ONCE):
            some = behind[number : number + AT_ONCE]
            entries = await entries_at(self._service, partition, some)
            yield self._ends_in([entries[each] for each in some if each in entries]), some[-1]
        ms, number = max(after, at.place)
        reached = f"{ms}-{number}"
        while entries_there := await entries_between(self._service, partition, f"({reached}", "+", _PAGE):
            self.seen += len(entries_there)
            reached = entries_there[-1][0].decode()
            yield self._ends_in(entries_there), reached
            if len(entries_there) < _PAGE:
                return

    async def told(self, events: list[Event]) -> list[Unresumed]:
        """Those of them that were not gone on with, and why."""
        found = []
        for at in range(0, len(events), AT_ONCE):
            some = events[at : at + AT_ONCE]
            histories = await asyncio.gather(*(self._service.history(event.interrupt_id) for event in some))
            for event, history in zip(some, histories, strict=True):
                marks = {one.command_id for one in history}
                if f"acknowledged:{self._group}" not in marks:
                    found.append(self._one(event, delivered=f"delivered:{self._group}" in marks))
        return found

    def _ends_in(self, entries: Sequence[Entry]) -> list[Event]:
        return [event for event in map(self._end, entries) if event is not None]

    def _end(self, entry: Entry) -> Event | None:
        try:
            event = event_of(self._partition, entry)
            if event.event_type in ENDS and self._wanted(event.event_type):
                return event if event.interrupt_id else None
        except CorruptLogError:
            return None  # nobody knows whose end it is; a group parks it, and there it is listed
        return None

    def _one(self, event: Event, *, delivered: bool) -> Unresumed:
        told, stream_id = event.recorded, event.stream_id
        parked, held = self._parked.get(stream_id), self._held.get(stream_id)
        why: Why = "handling" if self._leased and delivered else "waiting"
        attempts, error, parked_at = 0, "", None
        if parked is not None:
            why, attempts, error, parked_at = "parked", parked.attempts, parked.error, time_of(parked.at_ms)
        elif held is not None:
            attempts, error = held.attempts, held.error
            if held.begun and self._leased:
                why = "handling"
            elif held.error:
                why = "failing"
            elif not held.begun:
                why = "waiting"
        return Unresumed(
            group=self._group,
            interrupt_id=told.interrupt_id,
            kind="" if told.kind is None else told.kind.value,
            session_id=told.session_id,
            request_id=told.request_id,
            user_id=told.user_id,
            type=told.type,
            position=told.position,
            since=told.at,
            why=why,
            attempts=attempts,
            error=error,
            parked_at=parked_at,
        )
