"""Group commit: while some batches are on their way, the calls that come meanwhile gather into the next one.

A lone call travels at once, in the next turn of the event loop; under load the batches fill by themselves, with no
timer to tune. A caller that is cancelled or loses patience leaves its item in the batch: what was handed over is sent,
because nobody can know whether it was already.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Any, Generic, TypeVar

from interrupts.errors import UnavailableError
from interrupts.limits import BATCH_BYTES_MAX, BATCH_ITEMS_MAX, BATCHES_IN_FLIGHT_MAX, CALL_TIMEOUT_S, QUEUE_ITEMS_MAX

Item = TypeVar("Item")
Reply = TypeVar("Reply")


class Batcher(Generic[Item, Reply]):
    """Gathers items into bounded batches and gives each item its own reply.

    `send` gets a batch and returns a reply for each item, in order; a reply that is an exception is raised to its
    caller, and an exception from `send` itself to all callers of the batch. `deliver` hands a reply over, where that is
    more than to end its caller's wait.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Item]], Awaitable[Sequence[Reply | Exception]]],
        deliver: Callable[[Item, asyncio.Future[Any], Reply], None] | None = None,
        *,
        patience_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._send = send
        self._deliver = deliver
        self._patience_s = patience_s
        # Side by side, not in tuples: every object less is one less for the garbage collector to go round for.
        self._waiting: list[Item] = []
        self._futures: list[asyncio.Future[Any]] = []
        self._sizes: list[int] = []
        self._since: list[float] = []
        self._bytes = 0
        self._scheduled = False
        self._in_flight: set[asyncio.Task[None]] = set()

    def submit(self, item: Item, size: int = 0) -> asyncio.Future[Any]:
        """A future for the item's reply."""
        future = asyncio.get_running_loop().create_future()
        self.add(item, future, size)
        return future

    def add(self, item: Item, future: asyncio.Future[Any], size: int = 0) -> None:
        """Queues an item whose reply ends this wait. Refuses when too many wait already; then it was not sent."""
        if len(self._waiting) >= QUEUE_ITEMS_MAX:
            future.set_exception(
                UnavailableError(
                    f"{QUEUE_ITEMS_MAX} calls of this process wait for Redis already. This one was not sent. Slow the "
                    "producers down, or find out why Redis is slow.",
                )
            )
            return
        self._waiting.append(item)
        self._futures.append(future)
        self._sizes.append(size)
        self._bytes += size
        loop = asyncio.get_running_loop()
        self._since.append(loop.time())
        if not self._scheduled and len(self._in_flight) < BATCHES_IN_FLIGHT_MAX:
            self._scheduled = True
            loop.call_soon(self._flush, loop)

    async def drain(self) -> None:
        """Returns when everything that was submitted has its reply."""
        while self._in_flight or self._waiting:
            await asyncio.gather(*self._in_flight, return_exceptions=True)
            await asyncio.sleep(0)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = False
        if self._waiting and loop.time() - self._since[0] > self._patience_s:
            self._give_up(loop.time() - self._patience_s)
        while self._waiting and len(self._in_flight) < BATCHES_IN_FLIGHT_MAX:
            task = loop.create_task(self._run(*self._take()))
            self._in_flight.add(task)
            task.add_done_callback(self._landed)

    def _take(self) -> tuple[list[Item], list[asyncio.Future[Any]]]:
        count = min(len(self._waiting), BATCH_ITEMS_MAX)
        if self._bytes > BATCH_BYTES_MAX:
            total = self._sizes[0]
            for index in range(1, count):
                total += self._sizes[index]
                if total > BATCH_BYTES_MAX:
                    count = index
                    break
        items, futures = self._waiting[:count], self._futures[:count]
        self._forget(count)
        return items, futures

    def _forget(self, count: int) -> None:
        self._bytes -= sum(self._sizes[:count])
        del self._waiting[:count], self._futures[:count], self._sizes[:count], self._since[:count]

    def _give_up(self, before: float) -> None:
        """Refuses what has waited since before this time: it was never sent."""
        late = bisect_left(self._since, before)
        for future in self._futures[:late]:
            if not future.done():
                future.set_exception(
                    UnavailableError(
                        f"Redis is away, or too slow for this process: the call waited {self._patience_s:g} s for its "
                        "turn, and was not sent. Nothing was written."
                    )
                )
        self._forget(late)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if self._waiting and not self._scheduled:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            loop.call_soon(self._flush, loop)

    async def _run(self, items: list[Item], futures: list[asyncio.Future[Any]]) -> None:
        try:
            replies = await self._send(items)
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it is raised to the callers, to each an error of its own
            replies = [copy(error) for _ in items]
        deliver = self._deliver
        for item, future, reply in zip(items, futures, replies, strict=True):
            if future.done():
                continue
            if isinstance(reply, Exception):
                future.set_exception(reply)
            elif deliver is None:
                future.set_result(reply)
            else:
                deliver(item, future, reply)
