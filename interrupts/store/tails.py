"""Following the logs of many partitions at once, for whoever must hear of what comes: those who wait, those who expire.

There is one connection, and one blocking read, for all partitions of a server; in a cluster one for each partition.
What makes it sure that nothing is missed:

- A partition's position is taken before `follow` returns. Whoever looks at something after that either sees what
  happened, or is told of it.
- When this machine was suspended, or its clock set, all timers are wrong: `lost` is called, too.
- When a connection was lost, the log may have been another's for a moment, or have been rolled back. So the positions
  are taken anew, and then `lost` is called: whoever waits for something must look again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final

from interrupts.errors import UnavailableError
from interrupts.keys import Keys
from interrupts.limits import RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S, TAIL_COUNT_MAX
from interrupts.store.follow import Follow
from interrupts.store.lanes import UnreachableError
from interrupts.store.server import Server

CLOCK_STEP_S: Final = 0.5
"""By how much this machine's clocks must have moved apart to say that one was set, or that it was suspended."""
Heard = Callable[[int, Sequence[Any]], None]
"""Told of entries of a partition's log, in order."""
Lost = Callable[[Iterable[int]], None]
"""Told that entries of these partitions may have been missed; the positions were taken again before."""


class Tails:
    """Follows partitions of one namespace, from when it is asked to until it is closed."""

    def __init__(self, server: Server, keys: Keys, heard: Heard, lost: Lost, say: Callable[..., None]) -> None:
        self._server, self._keys = server, keys
        self._heard, self._lost, self._say = heard, lost, say
        self._feeds: dict[int, _Feed] = {}

    async def follow(self, partitions: Iterable[int]) -> None:
        """Returns when each of these is followed, from a position taken before. Raises `UnavailableError`."""
        groups: dict[int, list[int]] = {}
        for partition in partitions:
            groups.setdefault(0 if self._server.route.one_server else partition, []).append(partition)
        for number, group in groups.items():
            feed = self._feeds.get(number)
            if feed is None:
                feed = self._feeds[number] = _Feed(self._server, self._keys, self._heard, self._lost, self._say)
            if not feed.at.keys() >= set(group):
                await feed.add(group)

    def keep_only(self, partitions: Iterable[int]) -> None:
        """Follows none but these any more; those that were not followed are not either."""
        self.forget({partition for feed in self._feeds.values() for partition in feed.at}.difference(partitions))

    def forget(self, partitions: Iterable[int]) -> None:
        """Does not follow these any more."""
        forgotten = set(partitions)
        for number, feed in list(self._feeds.items()):
            feed.at = {partition: at for partition, at in feed.at.items() if partition not in forgotten}
            if not feed.at and not self._server.route.one_server:
                del self._feeds[number]
                feed.stop()

    def leave_off(self) -> Coroutine[Any, Any, None]:
        """Follows nothing any more, from this call on; `follow` begins anew. What it returns closes the connections."""
        feeds, self._feeds = self._feeds, {}
        return _all_closed(list(feeds.values()))

    async def close(self) -> None:
        """Follows nothing any more."""
        await self.leave_off()


async def _all_closed(feeds: Sequence[_Feed]) -> None:
    await asyncio.gather(*(feed.close() for feed in feeds))


class _Feed:
    """One connection, and the partitions that are followed on it."""

    def __init__(self, server: Server, keys: Keys, heard: Heard, lost: Lost, say: Callable[..., None]) -> None:
        self.at: dict[int, str] = {}
        self._server, self._keys = server, keys
        self._heard, self._lost, self._say = heard, lost, say
        self._follow = Follow(server, keys)
        self._adding = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None
        self._ahead_s = time.time() - time.monotonic()

    async def add(self, partitions: Iterable[int]) -> None:
        """Follows these, too."""
        async with self._adding:
            new = [partition for partition in partitions if partition not in self.at]
            positions = await self._positions(new)
            self.at |= positions
            if self._running is None:
                self._running = asyncio.create_task(self._run())
            elif new:
                self._follow.wake()

    def stop(self) -> None:
        """Ends by itself."""
        if self._running is not None:
            self._running.cancel()

    async def close(self) -> None:
        self.stop()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        await self._follow.close()

    async def _run(self) -> None:
        try:
            await self._keep_reading()
        finally:
            await self._follow.close()

    async def _keep_reading(self) -> None:
        pause_s = RETRY_PAUSE_FIRST_S
        gap = False
        while not self._server.closed:
            try:
                if gap:
                    positions = await self._positions(list(self.at))
                    self.at |= {partition: at for partition, at in positions.items() if partition in self.at}
                    gap = False
                    self._lost(tuple(self.at))
                found = await self._follow.read(dict(self.at), TAIL_COUNT_MAX)
                gap = self._has_slept()
                for partition, entries in found.items():
                    if partition in self.at:
                        self.at[partition] = entries[-1][0].decode()
                        self._heard(partition, entries)
                pause_s = RETRY_PAUSE_FIRST_S
            except (UnreachableError, UnavailableError) as error:
                if not gap and not self._server.closed:
                    self._say("warning", "interrupts.tail_waits", partitions=sorted(self.at), why=str(error))
                gap = True
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
            except Exception as error:  # noqa: BLE001 - a fault here would leave everybody waiting in silence
                self._say("error", "interrupts.tail_fault", error=repr(error)[:500])
                gap = True
                await asyncio.sleep(RETRY_PAUSE_MAX_S)

    def _has_slept(self) -> bool:
        """Whether this machine was suspended since the last read, or its clock was set: timers are wrong then."""
        ahead_s = time.time() - time.monotonic()
        slept = abs(ahead_s - self._ahead_s) > CLOCK_STEP_S
        self._ahead_s = ahead_s
        return slept

    async def _positions(self, partitions: Sequence[int]) -> Mapping[int, str]:
        """The place of the newest event of each. Raises `UnavailableError`."""
        keys = self._keys
        newest = await asyncio.gather(
            *(
                self._server.command(keys.slots[partition], "XREVRANGE", keys.logs[partition], "+", "-", "COUNT", 1)
                for partition in partitions
            )
        )
        found = zip(partitions, newest, strict=True)
        return {partition: entries[0][0].decode() if entries else "0-0" for partition, entries in found}
