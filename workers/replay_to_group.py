"""Handing events to a group of reactions once more: as many at a time as leave it room for what is new.

They are added to what the group holds, from where whoever runs it takes them, each in its place in its session's order.
What is parked of them is not parked any more. Only what the group wants by its patterns, and has come past already, is
handed over: to all that comes after its place it will come by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import HELD_MAX, RELEASE_BATCH_MAX, RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S
from interrupts.store.groups import Groups
from workers.event import Event
from workers.group_standing import held_count, owners_in
from workers.replay_reading import Replay, Tell

AHEAD_MAX: Final = HELD_MAX // 10
"""Events that a group may hold in a partition while more are handed to it. It stops reading what is new at ten times as
many."""
TELL_AFTER_S: Final = 5.0
"""After so long without room in a partition, that is said."""


async def places_of(service: InterruptService, group: str) -> Mapping[int, str]:
    """Up to where a group has come in each partition: a stream id. Raises `UnavailableError`."""
    groups = Groups(service.store.server, service.store.keys)
    partitions = range(service.log.partitions)
    standings = await asyncio.gather(*(groups.standing(group, partition) for partition in partitions))
    return {partition: at.stream_id for partition, (at, _) in zip(partitions, standings, strict=True)}


async def check_is_run(service: InterruptService, group: str) -> None:
    """Raises `UnavailableError` if no process runs this group anywhere."""
    if not any(await owners_in(service, group, range(service.log.partitions))):
        raise UnavailableError(
            f"No worker runs the group {group!r}, so nobody would handle what is handed to it. Nothing was replayed. "
            "Start one: interrupts worker --handlers MODULE:NAME"
        )


class Feeding:
    """Feeds one group with a replay's events."""

    def __init__(self, service: InterruptService, replay: Replay, group: str, tell: Tell | None = None) -> None:
        self._service, self._replay, self._group, self._tell = service, replay, group, tell
        self._groups = Groups(service.store.server, service.store.keys)

    async def run(self) -> None:
        """Returns when all are handed over. Raises `UnavailableError`, and if nobody runs the group."""
        await check_is_run(self._service, self._group)
        tasks = [asyncio.create_task(self._partition(partition)) for partition in self._replay.partitions]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _partition(self, partition: int) -> None:
        async for events in self._replay.pages(partition):
            waiting = events
            while waiting:
                room = await self._room(partition)
                some = waiting[: min(room, RELEASE_BATCH_MAX)]
                ids = [event.stream_id for event in some]
                done = set(await self._groups.release(self._group, partition, "feed", ids))
                self._handed(some, done)
                waiting = [event for event in waiting if event.stream_id not in done]

    async def _room(self, partition: int) -> int:
        """How many events there is room for, once there is any."""
        pause_s, waited_s, told = RETRY_PAUSE_FIRST_S, 0.0, False
        while True:
            room = AHEAD_MAX - await held_count(self._service, self._group, partition)
            if room > 0:
                return room
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
            if waited_s > TELL_AFTER_S and not told and self._tell is not None:
                told = True
                (owner,) = await owners_in(self._service, self._group, [partition])
                why = "nobody runs it there: is a worker running?" if owner is None else "its handlers take their time"
                self._tell(f"partition {partition}: {self._group} has {AHEAD_MAX:,} events to handle, and {why}")

    def _handed(self, events: list[Event], done: set[str]) -> None:
        for event in events:
            if event.stream_id in done:
                self._replay.done(event)
