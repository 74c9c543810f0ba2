"""Waiting for news of the log, or of other streams: blocking reads, on a connection of their own, that can be ended.

A block's own time-out is no timer: nothing is due at its end, and the server keeps it only roughly. Who has something
else to do at a certain time says so (`until_s`), and the wait ends by our own clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from interrupts.errors import UnavailableError
from interrupts.keys import Keys
from interrupts.limits import ATTEMPT_TIMEOUT_S, TAIL_BLOCK_MS
from interrupts.store.lanes import Lanes, UnreachableError
from interrupts.store.server import Server, transient


class Follow:
    """Reads what comes after given places in the logs of some partitions, or in other `streams`, one of each partition.

    They must all be on one server, or be one partition.
    """

    def __init__(self, server: Server, keys: Keys, streams: Sequence[str] | None = None) -> None:
        self._server = server
        self._keys = keys
        self._streams = keys.logs if streams is None else streams
        self._lanes: Lanes | None = None
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Ends a read that waits, or the next one that would, with nothing."""
        self._woken.set()

    async def read(
        self, after: Mapping[int, str], count: int, *, block: bool = True, until_s: float | None = None
    ) -> dict[int, list[Any]]:
        """By partition at most `count` entries after these stream ids. With `block` it waits until there are some, at
        most until the loop's clock shows `until_s`, or for some seconds: then there are none.

        Raises `UnreachableError` if waiting may mend it; the connection is then gone. Else `UnavailableError`: wrong
        credentials, a key that is no log, a closed service.
        """
        if self._server.closed:
            raise UnavailableError("The service was closed while its log was followed; end what follows it first.")
        if not block:
            return await self._ask(after, count, ()) if after else {}
        if self._woken.is_set():
            self._woken.clear()
            return {}
        waiting = [asyncio.ensure_future(self._woken.wait())]
        if after:
            waiting.append(asyncio.ensure_future(self._ask(after, count, ("BLOCK", TAIL_BLOCK_MS))))  # type: ignore[arg-type]
        left_s = TAIL_BLOCK_MS / 1000 if not after else None
        if until_s is not None:
            until_left_s = max(0.0, until_s - asyncio.get_running_loop().time())
            left_s = until_left_s if left_s is None else min(left_s, until_left_s)
        try:
            await asyncio.wait(waiting, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if after and waiting[1].done():
                return waiting[1].result()  # type: ignore[return-value]
            return {}
        finally:
            self._woken.clear()
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        """Closes its connection."""
        if self._lanes is not None:
            await self._lanes.close()
            self._lanes = None

    async def _ask(self, after: Mapping[int, str], count: int, block: tuple[Any, ...]) -> dict[int, list[Any]]:
        keys = self._keys
        partitions = {self._streams[partition].encode(): partition for partition in after}
        command = ("XREAD", "COUNT", count, *block, "STREAMS", *partitions, *after.values())
        timeout_s = ATTEMPT_TIMEOUT_S + (TAIL_BLOCK_MS / 1000 if block else 0)
        try:
            if self._lanes is None:
                self._lanes = (await self._server.route.lanes(keys.slots[next(iter(after))])).apart()
            (reply,) = await self._lanes.call([command], timeout_s)
            if transient(reply):
                raise UnreachableError(str(reply), sent=False)
        except UnreachableError as error:
            await self.close()
            if error.final:
                raise UnavailableError(f"Redis is away: {error}.") from error
            await self._server.route.recover()
            raise
        if isinstance(reply, Exception):
            raise UnavailableError(f"Redis refused to show the log: {reply}.")
        return {partitions[name]: entries for name, entries in reply or ()}
