"""Sending: many at once, a bounded number to each endpoint, so that one that is slow holds up nobody else.

What is promised, and how it is kept, whatever crashes:

- **At least once.** A delivery leaves the queue in Redis only when its endpoint has said 2xx, or it is given up, which
  is kept. Whoever sends it has claimed it; if nothing is heard of it until the claim ends, it is anybody's again.
- **Not twice at once.** A claim lasts longer than the endpoint may take to answer, and what was not begun soon after it
  was taken is not begun. What a process that was frozen says of a delivery that is another's by now changes nothing,
  unless it is that it was delivered.
- **One id.** It is made of the event's place and the endpoint, so it is the same for every try by anybody.
- **Nobody waits for another endpoint.** Each has a line of its own; what does not fit into it waits in Redis.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from interrupts import InterruptService
from interrupts.store.deliveries import Deliveries, Due, Sent, Settled
from workers.webhooks.fetching import Fetching
from workers.webhooks.line import BEGIN_WITHIN_S, END_BEFORE_S, Item, Line
from workers.webhooks.noting import Noting
from workers.webhooks.posting import Poster
from workers.webhooks.registry import Registry
from workers.webhooks.telling import delivery_id, unpacked
from workers.webhooks.tries import tried
from workers.webhooks.trying import Trying

TO_NOTE_S: Final = 0.5
"""So much of the time for the end is kept for writing down what was sent."""


class Sending:
    """Sends what it is handed, and what it fetches. `gone` is told of an endpoint that wants nothing any more, and
    `fails` of one of which every try has failed for so many milliseconds."""

    def __init__(
        self,
        service: InterruptService,
        registry: Registry,
        poster: Poster,
        *,
        in_hand_max: int,
        gone: Callable[[str, int], None],
        fails: Callable[[str, int], None],
    ) -> None:
        self._service = service
        self._registry = registry
        self._in_hand_max = in_hand_max
        self._fails = fails
        self._deliveries = Deliveries(service.store.server, service.store.keys)
        self._noting = Noting(service, self._noted)
        self._trying = Trying(poster, self._noting.note, gone, lambda: registry.rev)
        self._lines: dict[str, Line] = {}
        self._fetching = Fetching(service, self._lines, self._room, self._queue, self._pump)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self.run = self._fetching.run
        self.in_hand = 0
        """How many deliveries are this process's to send, or were sent and are not written down."""
        self.delivered = self.failed = self.given_up = 0

    def own(self, partitions: Iterable[int]) -> None:
        """From now on it fetches what waits in these partitions."""
        self._fetching.partitions = frozenset(partitions)

    def room(self, hook: str) -> tuple[int, int]:
        """How many more deliveries to this endpoint may be taken at once, and for how many milliseconds each."""
        line = self._line(hook)
        if line is None or self._ending or not line.is_open(asyncio.get_running_loop().time()):
            return 0, 0
        return self._room(line), line.claim_ms

    def take(self, partition: int, hook: str, due: Due, taken_at: float) -> None:
        """A delivery that was claimed for this process, at that time on the loop's clock."""
        line = self._line(hook)
        if line is not None:
            self._queue(line, partition, due, taken_at)
            self._pump(line)

    def waits(self, partition: int, hook: str) -> None:
        """Something waits there for this endpoint."""
        line = self._line(hook)
        if line is not None:
            line.wait_in(partition, asyncio.get_running_loop().time())
            self._fetching.look(line)

    def changed(self, hooks: Iterable[str]) -> None:
        """These endpoints are not what they were, or have something new that waits."""
        for hook in hooks:
            one = self._registry.by_id.get(hook)
            line = self._line(hook)
            if one is None:
                self._clear(hook)
            elif line is not None:
                line.endpoint = one
                if one.off is not None:
                    self._trying.back_all(line, 0)
                for partition in self._fetching.partitions:
                    self.waits(partition, hook)

    async def look_at(self, partition: int) -> None:
        """Looks for what waits there. Raises `UnavailableError`."""
        for hook in await self._deliveries.waiting_for(partition):
            if hook not in self._registry.by_id:
                self.changed(await self._registry.refresh())
            if hook in self._registry.by_id:
                self.waits(partition, hook)
            elif hook not in self._registry.unreadable:
                # It was written down for an endpoint while that was taken away.
                await self._deliveries.purge(partition, hook)

    def stop(self) -> None:
        """Begins with nothing more."""
        self._ending = True
        self._fetching.stop()

    async def end(self, until: float) -> None:
        """Waits for what is at work, and gives back the rest: till then, on the loop's clock. Does not raise."""
        self.stop()
        clock = asyncio.get_running_loop().time
        for line in self._lines.values():
            self._trying.back_all(line, 0)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=max(0.0, until - TO_NOTE_S - clock()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._noting.end(max(0.0, until - clock()))

    def _line(self, hook: str) -> Line | None:
        line = self._lines.get(hook)
        if line is None:
            one = self._registry.by_id.get(hook)
            if one is None:
                return None
            line = self._lines[hook] = Line(one)
        return line

    def _room(self, line: Line) -> int:
        """A quarter of what is free: those that hang must not take all of it. One at least, in so many lines again."""
        free = max(0, self._in_hand_max - self.in_hand)
        first = 1 - line.in_hand if self.in_hand < 2 * self._in_hand_max else 0
        return max(0, min(line.room, max(free // 4, first)))

    def _queue(self, line: Line, partition: int, due: Due, taken_at: float) -> None:
        if not due.body:
            self.in_hand += 1
            self._trying.lost(line, partition, due)
            return
        name, body = unpacked(due.body)
        attempt = tried(due.tries).attempt + 1
        begin_by, end_by = taken_at + BEGIN_WITHIN_S, taken_at + line.claim_ms / 1000 - END_BEFORE_S
        line.queue.append(Item(partition, due.stream_id, due.until, begin_by, end_by, attempt, name, body))
        self.in_hand += 1

    def _pump(self, line: Line) -> None:
        """Begins with as many as may be: each goes on with the next one when it is done."""
        loop = asyncio.get_running_loop()
        if line.queue and not line.is_open(loop.time()):
            # It was taken, or was on its way, when the endpoint asked to be left alone.
            self._trying.back_all(line, round(max(0.0, line.rest_until - loop.time()) * 1000))
        waiting = len(line.queue)
        while waiting > 0 and line.at_work < line.endpoint.what.concurrency and self._may_begin(line, loop.time()):
            waiting -= 1
            line.at_work += 1
            task = loop.create_task(self._send(line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._fetching.look(line)

    def _may_begin(self, line: Line, now: float) -> bool:
        return not self._ending and line.is_open(now)

    def _next(self, line: Line, now: float) -> Item | None:
        """What is begun with next, if anything is."""
        while line.queue and self._may_begin(line, now):
            item = line.queue.popleft()
            if item.begin_by >= now:
                return item
            # By the time of an answer the claim might be over. Whoever fetches it next sends it.
            self._trying.back(line, item, 0)
        return None

    async def _send(self, line: Line) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while (item := self._next(line, clock())) is not None:
                answered = await self._trying.once(line, item)
                line.ended(clock(), well=answered)
                self._fetching.look(line)
        finally:
            line.at_work -= 1
            self._fetching.look(line)

    def _clear(self, hook: str) -> None:
        line = self._lines.pop(hook, None)
        if line is not None:
            self.in_hand -= len(line.queue)
            line.queue.clear()
            line.due.clear()
            line.leave()

    def _noted(self, sent: Sent, settled: Settled) -> None:
        """It is written down what became of a delivery."""
        self.in_hand -= 1
        if settled.broken:
            self._service.say(
                "error",
                "webhooks.broken",
                webhook=sent.hook,
                partition=sent.partition,
                meaning="the keys of what is to be sent to it are not what was written there: it may be sent again",
            )
        if sent.what == "ok":
            self.delivered += 1
        elif sent.what in ("again", "fail"):
            self.failed += 1
            self._say_failed(sent, settled)
            if settled.done:
                self._fails(sent.hook, settled.failing_ms)
        line = self._lines.get(sent.hook)
        if line is not None:
            if sent.what in ("again", "back"):
                line.wait_in(sent.partition, asyncio.get_running_loop().time() + sent.due_ms / 1000)
            self._fetching.look(line)
        self._fetching.room_again()

    def _say_failed(self, sent: Sent, settled: Settled) -> None:
        where = {"webhook": sent.hook, "delivery": delivery_id(f"{sent.partition}:{sent.stream_id}", sent.hook)}
        told = tried(sent.tries)
        if sent.what == "fail" and settled.done:
            self.given_up += 1
            why = told.error or f"status {told.status}"
            self._service.say("warning", "webhooks.given_up", attempts=told.attempt, why=why, **where)
        if settled.dropped:
            self._service.say(
                "error",
                "webhooks.dropped",
                forgotten=settled.dropped,
                meaning="more deliveries to this endpoint were given up than are kept: the oldest are gone",
                **where,
            )
