"""Open connections to one server. A lane carries one call at a time: its commands, then their replies, in order.

The client library's own retries and time-outs are off: a call is repeated by `server`, which knows that it may be, and
which counts whether a repeated call may have happened before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

LANES_MAX: Final = 16
"""Connections to one server that this process uses at once for commands."""

Command = tuple[Any, ...]


class UnreachableError(Exception):
    """The server did not answer. `sent`: the commands may have reached it all the same. `final`: do not try again."""

    def __init__(self, message: str, *, sent: bool, final: bool = False) -> None:
        super().__init__(message)
        self.sent = sent
        self.final = final


class Lanes:
    """The connections to one server, opened as they are needed and kept."""

    def __init__(self, make: Callable[[], AbstractConnection]) -> None:
        self._make = make
        self._free: list[AbstractConnection] = []
        self._closed = False
        self._bound = asyncio.Semaphore(LANES_MAX)

    async def call(self, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        """The replies in order; a server's refusal of one command is a `ResponseError` among them.

        Raises `UnreachableError` where there was no answer; the connection is then thrown away, so that a late answer
        never meets the wrong question.
        """
        async with self._bound:
            lane = self._free.pop() if self._free else self._make()
            sent = False
            try:
                async with asyncio.timeout(timeout_s):
                    if lane.is_connected and await lane.can_read():
                        await lane.disconnect(nowait=True)  # closed by the server while it was idle
                    if not lane.is_connected:
                        await lane.connect()  # type: ignore[no-untyped-call]
                    packed = [pack_command(command) for command in commands]
                    sent = True
                    await lane.send_packed_command(packed, check_health=False)
                    replies: list[Any] = []
                    for _ in commands:
                        try:
                            replies.append(await lane.read_response())
                        except ResponseError as refusal:
                            replies.append(refusal)
            except AuthenticationError as error:
                await lane.disconnect(nowait=True)
                raise UnreachableError(f"it refused our credentials ({error})", sent=False, final=True) from None
            except BusyLoadingError as error:
                await lane.disconnect(nowait=True)
                raise UnreachableError(str(error), sent=False) from None
            except (TimeoutError, RedisError, OSError) as error:
                await lane.disconnect(nowait=True)
                raise UnreachableError(str(error) or f"no answer within {timeout_s:g} s", sent=sent) from error
            except BaseException:  # a cancellation above all: the answer is still to come, and must meet nobody
                await lane.disconnect(nowait=True)
                raise
            if self._closed:
                await lane.disconnect(nowait=True)
            else:
                self._free.append(lane)
            return replies

    def apart(self) -> Lanes:
        """Connections of one's own to the same server, for blocking reads; the caller closes them."""
        return Lanes(self._make)

    async def close(self) -> None:
        """Closes what is idle now, and the others when their call is over."""
        self._closed = True
        while self._free:
            await self._free.pop().disconnect()
