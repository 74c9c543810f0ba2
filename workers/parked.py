"""What is parked: events that a group of reactions has given up for now. They are listed, replayed and dropped.

Nothing but these calls, and a replay to the group, takes an event out of what is parked. Replayed, it is handled again
from its first attempt, in its place in its session's order; a worker that runs hears of it within seconds. Dropped, it
stays in the log, and this group will not be given it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from interrupts import CorruptLogError, InterruptService, Position, RecordedEvent, ValidationError
from interrupts.limits import LIST_LIMIT_DEFAULT, PAGE_BYTES_MAX
from interrupts.positions import time_of
from interrupts.store.groups import Groups
from interrupts.store.groups import Parked as Why
from interrupts.views import place_of
from workers.group_pages import Place, check_limit, known_groups
from workers.log_entries import AT_ONCE, Entry, entries_at, event_of, size_of


class ParkedEvent(msgspec.Struct, frozen=True):
    """An event that a group has parked: when, after how many attempts, and of which error.

    `event` is None if the entry can't be read, or is not in the log any more.
    """

    group: str
    position: str
    parked_at: datetime
    attempts: int
    error: str
    event: RecordedEvent | None


class ParkedPage(msgspec.Struct, frozen=True):
    """Some of what is parked. `next_cursor` is None at the end."""

    parked: list[ParkedEvent]
    next_cursor: str | None


class Moved(msgspec.Struct, frozen=True):
    """What became of a call: with how many events it was done; which of them were not parked (any more); and how many
    stay parked, as their group holds so many events that there is no room for more."""

    done: int
    not_parked: list[str]
    no_room: int = 0


async def parked(
    service: InterruptService,
    group: str | None = None,
    *,
    session_id: str | None = None,
    limit: int = LIST_LIMIT_DEFAULT,
    cursor: str | None = None,
) -> ParkedPage:
    """What is parked, of all groups or one, of all sessions or one; in the order that `group_pages` tells.

    A page has at most `limit` events, and fewer where these are large. Raises `NotFoundError`, `ValidationError`,
    `UnavailableError`.
    """
    check_limit(limit)
    groups, behind = Groups(service.store.server, service.store.keys), Place.parse(cursor)
    found, size = list[ParkedEvent](), 0
    partitions = _partitions(service, session_id)
    for name in await known_groups(service, group):
        for partition in partitions:
            if behind is not None and behind.passed(name, partition):
                continue
            after = (-1, 0) if behind is None else behind.behind_in(name, partition)
            there = [pair for pair in await groups.parked(name, partition) if place_of(pair[0]) > after]
            for at in range(0, len(there), AT_ONCE):
                some = there[at : at + AT_ONCE]
                entries = await entries_at(service, partition, [stream_id for stream_id, _ in some])
                for stream_id, why in some:
                    entry = entries.get(stream_id)
                    one = _told(name, partition, stream_id, why, entry)
                    if session_id is not None and (one.event is None or one.event.session_id != session_id):
                        continue
                    if len(found) >= limit or size > PAGE_BYTES_MAX:
                        return ParkedPage(found, f"{found[-1].group}/{found[-1].position}")
                    found.append(one)
                    size += 0 if entry is None else size_of(entry)
    return ParkedPage(found, None)


async def replay_parked(
    service: InterruptService,
    group: str,
    positions: Iterable[str] = (),
    *,
    session_id: str | None = None,
    everything: bool = False,
) -> Moved:
    """Has parked events handled again: those at these positions, those of a session, or all of the group.

    Raises `NotFoundError`, `ValidationError`, `UnavailableError`.
    """
    return await _move(service, group, "again", list(positions), session_id, everything=everything)


async def drop_parked(
    service: InterruptService,
    group: str,
    positions: Iterable[str] = (),
    *,
    session_id: str | None = None,
    everything: bool = False,
) -> Moved:
    """Drops parked events: this group will not be given them again. Chosen, and raises, as `replay_parked`."""
    return await _move(service, group, "drop", list(positions), session_id, everything=everything)


async def _move(
    service: InterruptService,
    group: str,
    what: Literal["again", "drop"],
    positions: Sequence[str],
    session_id: str | None,
    *,
    everything: bool,
) -> Moved:
    if sum((bool(positions), session_id is not None, everything)) != 1:
        raise ValidationError("positions: say which: some positions, one session, or everything.", field="positions")
    asked = _by_partition(service, positions)
    await known_groups(service, group)
    groups = Groups(service.store.server, service.store.keys)

    async def move(partition: int) -> tuple[int, list[str], int]:
        ids = asked.get(partition) or await _parked_ids(service, groups, group, partition, session_id)
        done = await groups.release(group, partition, what, ids) if ids else []
        rest = [stream_id for stream_id in ids if stream_id not in set(done)]
        still = {stream_id for stream_id, _ in await groups.parked(group, partition)} if rest else set()
        gone = [f"{partition}:{stream_id}" for stream_id in rest if stream_id not in still]
        return len(done), gone if positions else [], len(rest) - len(gone)

    moved = await asyncio.gather(*map(move, asked or _partitions(service, session_id)))
    return Moved(
        sum(done for done, _, _ in moved),
        [position for _, gone, _ in moved for position in gone],
        sum(no_room for _, _, no_room in moved),
    )


async def _parked_ids(
    service: InterruptService, groups: Groups, group: str, partition: int, session_id: str | None
) -> list[str]:
    """What is parked there, of all sessions or one."""
    ids = [stream_id for stream_id, _ in await groups.parked(group, partition)]
    if session_id is None:
        return ids
    found = []
    for at in range(0, len(ids), AT_ONCE):
        for stream_id, entry in (await entries_at(service, partition, ids[at : at + AT_ONCE])).items():
            try:
                if event_of(partition, entry).session_id == session_id:
                    found.append(stream_id)
            except CorruptLogError:
                continue  # nobody knows whose it is: it is named by its position
    return found


def _partitions(service: InterruptService, session_id: str | None) -> Sequence[int]:
    """Where to look. Raises `ValidationError`."""
    log = service.log
    return range(log.partitions) if session_id is None else [log.partition_of(session_id)]


def _by_partition(service: InterruptService, positions: Sequence[str]) -> dict[int, list[str]]:
    """The stream ids of these positions, each once. Raises `ValidationError`."""
    found: dict[int, list[str]] = {}
    for at in dict.fromkeys(map(Position.parse, positions)):
        if at.partition >= service.log.partitions:
            raise ValidationError(f"position: {at} is in no partition of this namespace.", field="position")
        found.setdefault(at.partition, []).append(at.stream_id)
    return found


def _told(group: str, partition: int, stream_id: str, why: Why, entry: Entry | None) -> ParkedEvent:
    event = None
    if entry is not None:
        try:
            event = event_of(partition, entry).recorded
        except CorruptLogError:
            event = None  # which is why it is parked
    return ParkedEvent(group, f"{partition}:{stream_id}", time_of(why.at_ms), why.attempts, why.error, event)
