"""Writing down how far a group has come: one call at a time, which carries whatever has gathered meanwhile.

One at a time, so that an older step never overtakes a younger one. A step that got no answer is sent again until it
has one, as nothing may go on before: it is the same step, and changes nothing the second time. On one server a call
carries all partitions; in a cluster each partition has its own, so that a node that is away holds up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import (
    LEASE_S,
    REACT_ACK_DELAY_S,
    REACT_FULL_PAUSE_S,
    RETRY_PAUSE_FIRST_S,
    RETRY_PAUSE_MAX_S,
)
from interrupts.store.groups import Groups, Noted
from workers.lane import Lane

RENEW_BELOW: Final = 0.5
"""When so much of its time is left, a lease that was not used is renewed."""


def is_to_be_renewed(lane: Lane, now: float) -> bool:
    """Whether its lease needs to be used again soon."""
    return lane.good_until < now + RENEW_BELOW * LEASE_S


class Committer:
    """Writes down what the lanes of one group have to be written down. `changed` is told of each lane whose lease is
    lost, or whose held events others have changed; `room` of each in which there is room again."""

    def __init__(
        self,
        service: InterruptService,
        group: str,
        lanes: dict[int, Lane],
        changed: Callable[[Lane], None],
        room: Callable[[Lane], None],
    ) -> None:
        self.service = service
        self.group = group
        self.groups = Groups(service.store.server, service.store.keys)
        self.lanes = lanes
        self.changed = changed
        self.room = room
        self._one_server = service.store.server.route.one_server
        self._writers: dict[int, _Writer] = {}
        self._fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def now(self, lane: Lane) -> None:
        """Returns when all that is to be written down of it at this moment is, or its lease is lost."""
        await self._writer(lane).now()

    def soon(self, lane: Lane) -> None:
        """Lets it be written down within a moment, together with what comes until then."""
        self._writer(lane).soon()

    async def run(self) -> None:
        """Raises if one of its tasks ends, though none should; until it is cancelled, which ends them."""
        try:
            await self._fault
        finally:
            tasks = [writer.task for writer in self._writers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _writer(self, lane: Lane) -> _Writer:
        number = 0 if self._one_server else lane.partition
        writer = self._writers.get(number)
        if writer is None:
            writer = self._writers[number] = _Writer(self, None if self._one_server else number)
            writer.task.add_done_callback(self._ended)
        return writer

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self._fault.done():
            self._fault.set_exception(task.exception() or RuntimeError("a writer has ended"))


class _Writer:
    """Writes down the lanes of one server, or one partition."""

    def __init__(self, committer: Committer, partition: int | None) -> None:
        self._of = committer
        self._partition = partition
        self._wanted = asyncio.Event()
        self._round = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def now(self) -> None:
        self._wanted.set()
        await self._round.wait()

    def soon(self) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(REACT_ACK_DELAY_S, self._later)

    def _later(self) -> None:
        self._soon = None
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._soon is not None:
                self._soon.cancel()
                self._soon = None
            # Who asks from here on waits for the next round.
            ended, self._round = self._round, asyncio.Event()
            now = asyncio.get_running_loop().time()
            lanes = [
                lane
                for partition, lane in self._of.lanes.items()
                if self._partition in (None, partition)
                and not lane.lost
                and (lane.dirty or is_to_be_renewed(lane, now))
            ]
            if lanes:
                await self._write(lanes)
            ended.set()

    async def _write(self, lanes: Sequence[Lane]) -> None:
        of, loop, pause_s = self._of, asyncio.get_running_loop(), RETRY_PAUSE_FIRST_S
        steps, noted, sent_at = [lane.step() for lane in lanes], list[Noted](), loop.time()
        while not noted:
            sent_at = loop.time()
            try:
                noted = await of.groups.progress(of.group, steps)
            except UnavailableError as error:
                of.service.say("warning", "reactions.can_not_note", group=of.group, why=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
        for lane, one in zip(lanes, noted, strict=True):
            self._settle(lane, one, sent_at)

    def _settle(self, lane: Lane, noted: Noted, sent_at: float) -> None:
        of, where = self._of, {"group": self._of.group, "partition": lane.partition}
        if noted.news is None:
            if noted.broken is not None:
                of.service.say("error", "reactions.broken", why=noted.broken, **where)
            lane.lost = True
            of.changed(lane)
            return
        lane.good_until = sent_at + LEASE_S
        if noted.news != lane.news:
            lane.news = noted.news
            of.changed(lane)
        if lane.starved and lane.hungry:
            lane.starved = False
            of.room(lane)
        if noted.full:
            asyncio.get_running_loop().call_later(REACT_FULL_PAUSE_S, of.changed, lane)
            of.service.say(
                "error",
                "reactions.no_room_to_park",
                meaning="what fails is tried again and again; replay or drop what is parked",
                **where,
            )
