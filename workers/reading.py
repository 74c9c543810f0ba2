"""Reading for one group of reactions: what comes in its partitions, as far as there is room for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from interrupts import InterruptService
from interrupts.errors import CorruptLogError, UnavailableError
from interrupts.event_names import matches
from interrupts.glance import glance
from interrupts.limits import (
    REACT_EVENTS_FIRST,
    REACT_EVENTS_MAX,
    REACT_READ_BYTES_MAX,
    RETRY_PAUSE_FIRST_S,
    RETRY_PAUSE_MAX_S,
)
from interrupts.store.follow import Follow
from interrupts.store.groups import Parked
from interrupts.store.lanes import UnreachableError
from workers.committing import Committer
from workers.event import Event
from workers.item import Entry, Item, Session
from workers.lane import Lane
from workers.subscriptions import Subscription

_WAKE_AFTER_S: Final = 0.005
MARKS: Final = ("interrupt.delivered", "interrupt.acknowledged")


class Wanted:
    """Which events a group wants, by name. Marks are nobody's news."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._known: dict[str, bool] = {}

    def __call__(self, name: str) -> bool:
        """Whether it wants events of this name."""
        known = self._known.get(name)
        if known is None:
            known = name not in MARKS and any(matches(pattern, name) for pattern in self._patterns)
            if len(self._known) < REACT_EVENTS_MAX:
                self._known[name] = known
        return known


class Reading:
    """Reads for a group, on one connection a server; in a cluster on one a partition."""

    def __init__(
        self,
        service: InterruptService,
        subscription: Subscription,
        lanes: Mapping[int, Lane],
        committer: Committer,
        begin: Callable[[Session], None],
    ) -> None:
        self._service = service
        self._group = subscription.group
        self._wanted = Wanted(subscription.patterns)
        self._lanes = lanes
        self._committer = committer
        self._begin = begin
        self._tails: dict[int, tuple[Follow, asyncio.Event, asyncio.Task[None]]] = {}
        self._waking: dict[int, asyncio.TimerHandle] = {}
        self._fault: asyncio.Future[None] | None = None
        self._event_bytes = REACT_READ_BYTES_MAX // REACT_EVENTS_FIRST

    def read_on(self, partition: int) -> None:
        """There is a partition to read from, or one in which there is room again."""
        store = self._service.store
        number = 0 if store.server.route.one_server else partition
        if number not in self._tails:
            tail, woken = Follow(store.server, store.keys), asyncio.Event()
            task = asyncio.create_task(self._read(number, tail, woken))
            task.add_done_callback(self._ended)
            self._tails[number] = tail, woken, task
        if number not in self._waking:  # several at once cost one new read
            self._waking[number] = asyncio.get_running_loop().call_later(_WAKE_AFTER_S, self._wake, number)

    def _wake(self, number: int) -> None:
        del self._waking[number]
        tail, woken, _ = self._tails[number]
        woken.set()
        tail.wake()

    def fault(self) -> asyncio.Future[None]:
        """Raises when reading ends with a fault that nobody has foreseen."""
        if self._fault is None:
            self._fault = asyncio.get_running_loop().create_future()
        return self._fault

    async def end(self) -> None:
        """Reads no more."""
        if self._fault is not None:
            self._fault.cancel()
        for waking in self._waking.values():
            waking.cancel()
        tasks = [task for _, _, task in self._tails.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(tail.close() for tail, _, _ in self._tails.values()))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() and not self.fault().done():
            self.fault().set_exception(task.exception())  # type: ignore[arg-type]

    async def _read(self, number: int, tail: Follow, woken: asyncio.Event) -> None:
        pause_s = RETRY_PAUSE_FIRST_S
        one_server = self._service.store.server.route.one_server
        while True:
            woken.clear()
            mine = [lane for partition, lane in self._lanes.items() if one_server or partition == number]
            hungry = {lane.partition: lane for lane in mine if self._is_hungry(lane)}
            if not hungry:
                await woken.wait()
                continue
            after = {partition: lane.read_id for partition, lane in hungry.items()}
            try:
                events = min(REACT_EVENTS_MAX, REACT_READ_BYTES_MAX // self._event_bytes)
                found = await tail.read(after, max(1, events // len(after)))
                pause_s = RETRY_PAUSE_FIRST_S
            except (UnreachableError, UnavailableError) as error:
                self._service.say("warning", "reactions.waiting", group=self._group, why=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
                continue
            came: list[tuple[Lane, list[Item]]] = []
            for partition, entries in found.items():
                items = self._came(hungry[partition], entries)
                if items:
                    came.append((hungry[partition], items))
            if came:
                # From here on it is known that they may have been begun.
                await asyncio.gather(*(self._committer.now(lane) for lane, _ in came[: 1 if one_server else None]))
                for lane, items in came:
                    if not lane.is_given_up():
                        for item in items:
                            self._begin(lane.queue(item))
                await asyncio.sleep(0)
            else:
                for partition in found:
                    self._committer.soon(hungry[partition])

    def _is_hungry(self, lane: Lane) -> bool:
        if not lane.hungry:
            lane.starved = True
            if lane.full and not lane.told_full:
                lane.told_full = True
                self._service.say(
                    "error",
                    "reactions.full",
                    group=self._group,
                    partition=lane.partition,
                    held=lane.held,
                    meaning="so much is held that nothing more is read here until some of it is done or parked",
                )
            return False
        lane.told_full = False
        return True

    def _came(self, lane: Lane, entries: Sequence[Entry]) -> list[Item]:
        """Takes in what was read; returns what is wanted of it."""
        if lane.is_given_up():
            return []
        came = []
        size = sum(len(fields[-1]) for _, fields in entries) // len(entries)
        self._event_bytes = max(1, size, self._event_bytes // 2)
        partition, wanted, held, before = lane.partition, self._wanted, lane.held_ids, lane.read_to
        for entry in entries:
            stream_id, fields = entry[0].decode(), entry[1]
            try:
                name, session_id = glance(fields[-1])
            except CorruptLogError as error:
                parked = Parked(0, str(error)[:500], time.time_ns() // 1_000_000)
                lane.refused(stream_id, msgspec.json.encode(parked).decode())
                self._service.say(
                    "error", "reactions.unreadable", group=self._group, position=f"{partition}:{stream_id}"
                )
            else:
                if wanted(name) and stream_id not in held:
                    came.append(lane.came(Event(partition, stream_id, name, session_id, fields[-1]), before))
            before = entry
        lane.read_to = before
        return came
