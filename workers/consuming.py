"""One group of reactions in one process: which partitions it has, reading them, and handing what comes to the handlers.

What is promised, and how it is kept, whatever crashes:

- **At least once.** The place up to which a group is done moves only past events that were handled, or are written down
  as held or parked, in the same step. Whoever takes over begins behind it.
- **In order.** One process at a time has a partition, by a lease; in it one event of a session is handled at a time,
  and the next one when that is done or parked. A process that was frozen learns that its lease is another's before it
  begins with another event, and can acknowledge nothing.
- **Only a failing session waits.** Its events are held: written down by themselves, so that all others move on.
- **Every attempt counts before it begins.** For the first one, the log's server is told up to where handlers may be
  begun (`begun`), a stretch at a time; for further ones the event is marked. After a crash whoever takes over finds
  what may have been begun, and treats it as suspect (see `handling`).
- **Nothing is dropped.** What fails too often is parked with its error, until somebody replays or drops it. Where there
  is no room to park it, it is tried on.

A partition changes hands when processes come and go: who has it finishes what is in hand, and gives the lease back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import LEASE_S, WORKER_BEAT_S
from interrupts.store.groups import Groups
from workers.attending import Attendance
from workers.committing import Committer, is_to_be_renewed
from workers.handling import Handling
from workers.lane import Lane
from workers.reading import Reading
from workers.recovering import Recovering
from workers.subscriptions import Subscription

OPEN_TIMEOUT_S: Final = 2.0
"""How long the start waits for its partitions; those that come later are begun with later."""
CUT_TIMEOUT_S: Final = 1.0
"""How long those may take that were cut off."""


class Consumer:
    """One subscription, from `start` to `end`."""

    def __init__(self, service: InterruptService, subscription: Subscription, alone: asyncio.Lock) -> None:
        self._service = service
        self.subscription = subscription
        self._groups = Groups(service.store.server, service.store.keys)
        self._lanes: dict[int, Lane] = {}
        self._wanted: frozenset[int] = frozenset()
        self._committer = Committer(
            service, subscription.group, self._lanes, self._changed, lambda lane: self._reading.read_on(lane.partition)
        )
        self.handling = Handling(service, subscription, self._committer, alone)
        self._attendance = Attendance(service, f"group:{subscription.group}", "", self._take)
        self._recovering = Recovering(service, subscription, self._groups, self._attendance.worker, self._committer.now)
        self._tending = asyncio.Event()
        self._reload: set[Lane] = set()
        self._closing: dict[int, asyncio.Task[None]] = {}
        self._reading = Reading(service, subscription, self._lanes, self._committer, self.handling.begin)
        self._committing: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._opening: dict[int, asyncio.Task[None]] = {}
        self._ending = False

    @property
    def ready(self) -> bool:
        """Whether it has all partitions that are its own."""
        return self._lanes.keys() >= self._wanted

    async def enlist(self) -> None:
        """Makes the group known in all partitions. Raises `UnavailableError`."""
        await self._recovering.enlist()

    async def start(self) -> None:
        """Returns when it has the partitions that can be reached. Raises `UnavailableError`."""
        await self._recovering.enlist(all_of_them=False)
        self._committing = asyncio.create_task(self._committer.run())
        await self._attendance.join()
        self._open_wanted()
        if self._opening:
            await asyncio.wait(self._opening.values(), timeout=OPEN_TIMEOUT_S)
        self._tasks += (asyncio.create_task(self._attendance.keep_on()), asyncio.create_task(self._tend()))

    async def end(self, within_s: float) -> None:
        """Finishes what is in hand, in about this time, and gives back what it has. Does not raise."""
        attending, tending = self._tasks[:1], self._tasks[1:]
        await _cancelled(*attending)  # first of all, lest it takes something on again
        self._wanted, self._ending = frozenset(), True
        if self._opening:
            await asyncio.wait(self._opening.values(), timeout=CUT_TIMEOUT_S)
        opening = list(self._opening.values())
        await self._reading.end()
        lanes = list(self._lanes.values())
        for lane in lanes:
            self._close(lane)
        cut = asyncio.get_running_loop().call_later(within_s, self._cut, lanes)
        await asyncio.gather(*self._closing.values(), return_exceptions=True)
        cut.cancel()
        await _cancelled(*tending, *opening)  # until here it has renewed the leases
        await self.handling.end()
        if self._committing is not None:
            await _cancelled(self._committing)
        await self._attendance.leave()

    async def fault(self) -> None:
        """Returns or raises when one of its tasks ends, though none should."""
        assert self._committing is not None  # it was started
        tasks = [*self._tasks, self._committing, self._reading.fault()]
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()

    def numbers(self) -> dict[str, int]:
        """What it has done."""
        handling = self.handling
        return {
            "handled": handling.handled,
            "failed": handling.failed,
            "parked": handling.parked,
            "held": sum(lane.held for lane in self._lanes.values()),
            "partitions": len(self._lanes),
        }

    def _take(self, partitions: Sequence[int]) -> None:
        self._wanted = frozenset(partitions)
        self._tending.set()

    def _changed(self, lane: Lane) -> None:
        """Its lease is lost, or others have changed what is held."""
        if lane.lost:
            self.handling.drop(lane, "another process has this partition now, or the server has lost what was written")
        else:
            self._reload.add(lane)
        self._tending.set()

    async def _tend(self) -> None:
        """Takes and gives up partitions, renews leases, and looks after handlers that take long."""
        while True:
            try:
                async with asyncio.timeout(WORKER_BEAT_S):
                    await self._tending.wait()
            except TimeoutError:
                pass
            self._tending.clear()
            now = time.monotonic()
            for lane in list(self._lanes.values()):
                self.handling.look_after(lane, now)
                if lane.lost and not lane.closing:
                    self._service.say(
                        "warning", "reactions.lease_lost", group=self.subscription.group, partition=lane.partition
                    )
                    del self._lanes[lane.partition]
                    continue
                if lane.partition not in self._wanted:
                    self._close(lane)
                if is_to_be_renewed(lane, now):  # also while its handlers come to their end
                    self._committer.soon(lane)
            self._open_wanted()
            try:
                for lane in list(self._reload):
                    self._reload.discard(lane)
                    try:
                        await self._again(lane)
                    except UnavailableError:
                        self._reload.add(lane)
                        raise
            except UnavailableError as error:
                self._service.say("warning", "reactions.waiting", group=self.subscription.group, why=str(error))

    def _open_wanted(self) -> None:
        """Each partition by itself: one on a node that is away must not hold up the others."""
        for partition in self._wanted - self._lanes.keys() - self._closing.keys() - self._opening.keys():
            task = asyncio.create_task(self._open(partition))
            self._opening[partition] = task
            task.add_done_callback(partial(self._opened, partition))

    def _opened(self, partition: int, task: asyncio.Task[None]) -> None:
        del self._opening[partition]
        if not task.cancelled() and task.exception():
            self._service.say("error", "reactions.fault", partition=partition, error=repr(task.exception())[:500])

    async def _open(self, partition: int) -> None:
        try:
            lane = await self._recovering.open(partition)
        except UnavailableError as error:
            self._service.say("warning", "reactions.waiting", group=self.subscription.group, why=str(error))
            return
        if lane is None:
            return  # another has it still: it is asked for again
        self._lanes[partition] = lane
        if self._ending:
            self._close(lane)
            return
        for session in list(lane.sessions.values()):
            self.handling.begin(session)
        self._reading.read_on(partition)
        self._committer.soon(lane)

    async def _again(self, lane: Lane) -> None:
        """Takes in what others have added to what is held."""
        if lane.is_given_up():
            return
        for item in await self._recovering.added(lane):
            self.handling.begin(item.session)

    def _close(self, lane: Lane) -> None:
        if lane.partition not in self._closing:
            task = asyncio.create_task(self._give_up(lane))
            self._closing[lane.partition] = task
            task.add_done_callback(lambda _: self._closed(lane.partition))

    def _closed(self, partition: int) -> None:
        del self._closing[partition]
        self._tending.set()

    def _cut(self, lanes: Sequence[Lane]) -> None:
        for lane in lanes:
            self.handling.drop(lane, "the process ends")

    async def _give_up(self, lane: Lane) -> None:
        lane.closing = True
        if not await lane.idle(self.subscription.timeout_s):
            self.handling.drop(lane, "its partition is given up")
            await lane.idle(CUT_TIMEOUT_S)
        try:
            async with asyncio.timeout(LEASE_S):
                if not lane.lost:
                    lane.let_go()
                    await self._committer.now(lane)
                    lane.lost = True
                    await self._groups.give_back(self.subscription.group, lane.partition, self._attendance.worker)
        except (TimeoutError, UnavailableError) as error:
            self._service.say("warning", "reactions.left_in_a_hurry", partition=lane.partition, why=str(error))
        finally:
            lane.lost = True
            self._lanes.pop(lane.partition, None)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
