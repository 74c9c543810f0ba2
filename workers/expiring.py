"""The role that turns deadlines into events, to the millisecond and without a tick.

For each of its partitions it knows when the next deadline is, and sleeps until then, or until a nearer one is made:
it follows the log, in which each creation and each extension says its time to live. So nothing is asked of the server
while nothing is due.

Why none is missed: a partition is followed (and its position in the log taken) before its deadlines are looked at. What
was there then is seen by that look, what comes later is heard. After a lost connection all are looked at again. Times
are the server's: when the timer here runs out too early, the look finds nothing due and says how long it still is.

Several processes share the partitions. Should two look after the same one, each interrupt expires once all the same
(see `interrupts.expiry`).
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from interrupts import InterruptService
from interrupts.codec import decode_event
from interrupts.errors import CorruptLogError, UnavailableError
from interrupts.events import Created, Extended
from interrupts.limits import FOLLOWERS_MAX, RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S
from interrupts.store.tails import CLOCK_STEP_S, Tails
from interrupts.views import place_of
from workers.attending import Attendance

ROLE: Final = "expiry"
CLOCK_LOOK_S: Final = 10.0
"""How often the server is asked for its time, where nothing else is: nobody tells when its clock is set forward."""
_AT_ONCE: Final = -math.inf
_NEVER: Final = math.inf
_WITH_A_DEADLINE: Final = (b'["interrupt.created"', b'["interrupt.extended"')


class ExpiryRole:
    """Expires what is due in this process's share of a namespace."""

    def __init__(self, service: InterruptService) -> None:
        self._service = service
        self._expiry = service.expiry
        self._attendance = Attendance(service, ROLE, "", self._take)
        self._tails = Tails(service.store.server, service.store.keys, self._heard, self._lost, service.say)
        self._due_at: dict[int, float] = {}
        """When to look at a partition again, on the loop's clock."""
        self._unlooked: set[int] = set()
        """Partitions of which it is not known whether something is due."""
        self._ahead_s: dict[int, float] = {}
        """By how much the loop's clock is ahead of a partition's."""
        self._together = service.store.server.route.one_server
        count = FOLLOWERS_MAX if self._together else service.store.keys.partitions
        self._news = [asyncio.Event() for _ in range(count)]
        self._asked = asyncio.Event()
        self._expired_before = self._expiry.expired
        self._crowded: set[int] = set()
        """Partitions that are not followed, as more is due there than one batch."""
        self._joined = False
        self._clocks: dict[int, float] = {}
        """By how much the loop's clock was ahead of a server's when it was last asked."""

    async def run(self) -> None:
        """Works until it is asked to stop."""
        if self._asked.is_set():
            return
        work = [asyncio.create_task(self._work()), asyncio.create_task(self._asked.wait())]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self._tails.close()
            await self._attendance.leave()
        if not work[0].cancelled():
            work[0].result()

    def stop(self) -> None:
        """Asks it to end."""
        self._asked.set()

    @property
    def ready(self) -> bool:
        """Whether all that was due when it began has been looked at."""
        return self._joined and not self._unlooked

    def numbers(self) -> dict[str, int | float | str]:
        """How many it has expired, and how many partitions are its own."""
        return {"expired": self._expiry.expired - self._expired_before, "partitions": len(self._due_at)}

    async def _work(self) -> None:
        await self._attendance.join()
        self._joined = True
        async with asyncio.TaskGroup() as group:
            group.create_task(self._attendance.keep_on())
            for number in range(len(self._news)):
                group.create_task(self._keep_expiring(number))

    async def _keep_expiring(self, number: int) -> None:
        """Looks after some of the partitions: while one such task waits for the server, another one decides.

        In a cluster each looks after one: a node that is away must not hold up the others.
        """
        pause_s = RETRY_PAUSE_FIRST_S
        while True:
            try:
                await self._step(number)
                pause_s = RETRY_PAUSE_FIRST_S
            except (UnavailableError, CorruptLogError) as error:
                self._service.say("warning", "expiry.waiting", why=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)

    async def _step(self, number: int) -> None:
        loop, news = asyncio.get_running_loop(), self._news[number]
        news.clear()
        mine = [partition for partition in self._due_at if self._task_of(partition) == number]
        due = [partition for partition in mine if self._due_at[partition] <= loop.time()]
        if not due:
            at = min((self._due_at[partition] for partition in mine), default=_NEVER)
            if await _until(news, min(at, loop.time() + CLOCK_LOOK_S)) or at <= loop.time():
                return
            due = mine if mine and await self._has_stepped(number, mine[0]) else []
            if not due:
                return
        await self._tails.follow([partition for partition in due if partition not in self._crowded])
        due = [partition for partition in due if partition in self._due_at]  # some may have been given up meanwhile
        before = {partition: self._due_at[partition] for partition in due}
        for partition in due:
            self._due_at[partition] = _NEVER  # from here on what is heard counts
        try:
            looked, _ = await self._expiry.round(due)
        except BaseException:
            for partition in due:
                self._sooner(partition, before[partition])
            self._wake(due)
            raise
        now = loop.time()
        for partition, left in looked.items():
            self._ahead_s[partition] = now - left.now_ms / 1000
            wait_s = 0 if left.more else _NEVER if left.next_ms is None else left.next_ms / 1000
            self._sooner(partition, now + wait_s)
            if not left.more:
                self._unlooked.discard(partition)
            self._note_crowd(partition, more=left.more)

    def _note_crowd(self, partition: int, *, more: bool) -> None:
        """Where more is due than one batch, the log would only tell what is written here. So it is not followed till
        all is done; then it is again, and looked at once more after that, as at the start."""
        if more:
            self._crowded.add(partition)
            self._tails.forget([partition])
        elif partition in self._crowded:
            self._crowded.discard(partition)
            self._sooner(partition, _AT_ONCE)

    async def _has_stepped(self, number: int, partition: int) -> bool:
        """Whether the server's clock was set, by more than what a question takes."""
        store = self._service.store
        seconds, micros = await store.server.command(store.keys.slots[partition], "TIME")
        ahead_s = asyncio.get_running_loop().time() - int(seconds) - int(micros) / 1e6
        before, self._clocks[number] = self._clocks.get(number, ahead_s), ahead_s
        return abs(ahead_s - before) > CLOCK_STEP_S

    def _sooner(self, partition: int, at: float) -> None:
        if partition in self._due_at and at < self._due_at[partition]:
            self._due_at[partition] = at

    def _take(self, partitions: Sequence[int]) -> None:
        """From now on these are this process's."""
        self._tails.keep_only(partitions)
        self._unlooked = self._unlooked.intersection(partitions) | (set(partitions) - self._due_at.keys())
        self._due_at = {partition: self._due_at.get(partition, _AT_ONCE) for partition in partitions}
        self._wake(partitions)

    def _task_of(self, partition: int) -> int:
        """Which task looks after a partition, always the same; each has about as many of whatever is this process's."""
        return zlib.crc32(partition.to_bytes(2)) % FOLLOWERS_MAX if self._together else partition

    def _lost(self, partitions: Iterable[int]) -> None:
        """Something may have been missed: they are looked at at once."""
        looked_at = list(partitions)
        for partition in looked_at:
            self._sooner(partition, _AT_ONCE)
        self._wake(looked_at)

    def _heard(self, partition: int, entries: Sequence[Any]) -> None:
        if not entries:
            return
        newest_ms = place_of(entries[-1][0].decode())[0]
        now = asyncio.get_running_loop().time()
        if newest_ms / 1000 + self._ahead_s.get(partition, -_NEVER) > now + CLOCK_STEP_S:
            self._lost([partition])  # the partition's time has made a step
        for stream_id, fields in entries:
            if not fields[-1].startswith(_WITH_A_DEADLINE):
                continue
            ttl_ms = _ttl_ms(fields[-1])
            if ttl_ms is not None:
                made_at = place_of(stream_id.decode())[0] / 1000 + self._ahead_s.get(partition, _NEVER)
                at = min(made_at, asyncio.get_running_loop().time()) + ttl_ms / 1000
                if at < self._due_at.get(partition, _AT_ONCE):
                    self._due_at[partition] = at
                    self._wake([partition])

    def _wake(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            self._news[self._task_of(partition)].set()


def _ttl_ms(raw: bytes) -> int | None:
    """In how many milliseconds the deadline is that this event sets, if it sets one."""
    try:
        event = decode_event(raw)
    except CorruptLogError:
        return None  # the views say so
    if isinstance(event, Created):
        return event.terms.ttl_ms if event.terms.auto_expire else None
    return event.ttl_ms if isinstance(event, Extended) else None


async def _until(news: asyncio.Event, at: float) -> bool:
    """Returns at this time of the loop's clock, or as soon as there is news; whether there is."""
    try:
        async with asyncio.timeout_at(at):
            await news.wait()
    except TimeoutError:
        return False
    return True
