"""Calls to Redis that are safe to repeat, and the durability that a write asks for.

Repeating. Every call that goes through here is idempotent: reads are, and scripts that write check ids and versions.
So an attempt that got no answer is simply made again on a new connection, until the call's time is up. What must not be
lost on the way is one bit: whether an attempt may have reached the server. A call that ends with `UnavailableError`
carries it as `may_have_happened`; a later refusal does not clear it, because the attempt before may still be waiting in
a frozen server's buffer.

Durability. WAIT and WAITAOF speak of what *their own connection* wrote. They travel right behind the script on the same
connection, and in a durable mode the script writes a mark on every call, also when it finds its work done by an
earlier attempt on another connection: the confirmation then covers the mark, and with it everything before it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from interrupts.errors import UnavailableError
from interrupts.limits import (
    ATTEMPT_TIMEOUT_S,
    CALL_TIMEOUT_S,
    DURABILITY_TIMEOUT_S,
    RETRY_PAUSE_FIRST_S,
    RETRY_PAUSE_MAX_S,
)
from interrupts.scripts import Script
from interrupts.store.lanes import Command, UnreachableError
from interrupts.store.routes import ClusterRoute, Route

Durability = Literal["memory", "replicated", "fsynced"]
ScriptCall = tuple[int, Sequence[str], Sequence[Any]]
"""slot, keys and arguments of one run of a script"""

_TRANSIENT_TYPES: Final = (AskError, ClusterDownError, ReadOnlyError, TryAgainError)  # a moved slot is an AskError, too
_TRANSIENT_CODES: Final = ("BUSY ", "NOREPLICAS ", "UNBLOCKED ")


class Confirmation(msgspec.Struct, frozen=True):
    """What the server is asked for after each write: the command, and the reply that is enough."""

    command: Command | None = None
    enough: int = 0

    def given(self, reply: Any) -> bool:
        """Whether the server's reply confirms: enough replicas or disks have it, or (0) its own disk always has."""
        if isinstance(reply, Exception):
            return False
        if self.enough == 0:
            return b"always" in reply
        return int(reply[0] if isinstance(reply, list) else reply) >= self.enough


class Written(msgspec.Struct, frozen=True):
    """What a writing script replied. `confirmed`: its durability is (True where none was asked for). `again`: an
    attempt before this one got no answer, so that work found done may be this very call's own."""

    reply: Any
    confirmed: bool
    again: bool


class _Call:
    """One call over all its attempts: until when it goes on, and whether one of them may have written something."""

    def __init__(self, timeout_s: float, *, writes: bool) -> None:
        self.maybe = False
        self._writes = writes
        self.reason = ""
        self._timeout_s = timeout_s
        self._give_up_at = asyncio.get_running_loop().time() + timeout_s
        self._pause_s = RETRY_PAUSE_FIRST_S

    def lost(self, error: UnreachableError) -> None:
        """An attempt got no answer."""
        self.reason = str(error)
        self.maybe = self.maybe or (self._writes and error.sent)

    async def pause(self) -> None:
        """Waits before the next attempt, each time longer. Raises `UnavailableError` when the call's time is up."""
        if asyncio.get_running_loop().time() + self._pause_s >= self._give_up_at:
            raise self.away(f"; tried for {self._timeout_s:g} s")
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries, guards nothing
        self._pause_s = min(2 * self._pause_s, RETRY_PAUSE_MAX_S)

    def left_s(self) -> float:
        """How much of the call's time is left."""
        return max(0.0, self._give_up_at - asyncio.get_running_loop().time())

    def away(self, how_long: str = "") -> UnavailableError:
        """The refusal when nobody answers."""
        happened = (
            "The write may have happened: repeat it with the same idempotency key or command id, which is always safe."
            if self.maybe
            else "Nothing was written."
        )
        return UnavailableError(f"Redis is away: {self.reason}{how_long}. {happened}", may_have_happened=self.maybe)

    def refused(self, reply: Exception) -> UnavailableError:
        """The refusal when the server refuses. It does not clear what an attempt before may have done."""
        happened = "An attempt before may have been written all the same." if self.maybe else "Nothing was written."
        return UnavailableError(f"Redis refused: {reply}. {happened}", may_have_happened=self.maybe)


class Server:
    """Redis, as the layers above see it: scripts and commands that are repeated until they are answered."""

    def __init__(
        self,
        route: Route,
        *,
        confirmation: Confirmation | None = None,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self.route = route
        self.confirmation = confirmation or Confirmation()
        self._attempt_timeout_s = attempt_timeout_s
        self.call_timeout_s = call_timeout_s
        self.closed = False

    @property
    def durable(self) -> bool:
        """Whether writes are confirmed before they count as done."""
        return self.confirmation.command is not None

    async def run(
        self, script: Script, slot: int, keys: Sequence[str], args: Sequence[Any], *, derived: bool = False
    ) -> Written:
        """Runs a script that writes. What is `derived` can be made again from the log, and is not confirmed.

        Raises `UnavailableError`.
        """
        confirm = [self.confirmation.command] if self.confirmation.command is not None and not derived else []
        call = _Call(self.call_timeout_s, writes=True)
        replies = await self._script(call, script, slot, keys, args, confirm)
        return Written(replies[0], not confirm or self.confirmation.given(replies[1]), call.maybe)

    async def read(self, script: Script, slot: int, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """The reply of a script that only reads. Raises `UnavailableError`."""
        call = _Call(self.call_timeout_s, writes=False)
        return (await self._script(call, script, slot, keys, args, []))[0]

    async def read_all(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """The replies of a script that only reads, for several slots: on one server in one round trip.

        Raises `UnavailableError`.
        """
        if not self.route.one_server or len(calls) <= 1:
            return list(await asyncio.gather(*(self.read(script, *call) for call in calls)))
        call = _Call(self.call_timeout_s, writes=False)
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for _, keys, args in calls]
        replies = await self._answered(call, calls[0][0], commands)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            _, keys, args = calls[0]
            commands[0] = ("EVAL", script.text, len(keys), *keys, *args)
            replies = await self._answered(call, calls[0][0], commands)
        for reply in replies:
            if isinstance(reply, Exception):
                raise call.refused(reply)
        return replies

    async def command(self, slot: int, *command: Any, writes: bool = False) -> Any:
        """The reply to a command that can be repeated: one that reads, or sets something. Raises `UnavailableError`."""
        call = _Call(self.call_timeout_s, writes=writes)
        (reply,) = await self._answered(call, slot, [command])
        if isinstance(reply, Exception):
            raise call.refused(reply)
        return reply

    async def close(self) -> None:
        """Closes all connections, for good."""
        self.closed = True
        await self.route.close()

    async def _script(
        self, call: _Call, script: Script, slot: int, keys: Sequence[str], args: Sequence[Any], then: list[Command]
    ) -> list[Any]:
        replies = await self._answered(call, slot, [("EVALSHA", script.sha, len(keys), *keys, *args), *then])
        if isinstance(replies[0], NoScriptError):
            # The script cache is volatile: sent whole, the script is cached again.
            replies = await self._answered(call, slot, [("EVAL", script.text, len(keys), *keys, *args), *then])
        if isinstance(replies[0], Exception):
            raise call.refused(replies[0])
        return replies

    async def _answered(self, call: _Call, slot: int, commands: list[Command]) -> list[Any]:
        """The replies, of the first attempt whose first command was executed or refused for good."""
        if self.closed:
            raise UnavailableError("This service is closed: use it inside its `async with` block. Nothing was written.")
        while True:
            try:
                replies = await self._attempt(slot, commands)
                if not transient(replies[0]):
                    return replies
                call.reason = str(replies[0])
            except UnreachableError as error:
                call.lost(error)
                if error.final:
                    raise call.away() from error
            await call.pause()
            await self._recover(call)

    async def _recover(self, call: _Call) -> None:
        """Looks again where the server is, within the call's time; what that finds out does not clear what was sent."""
        try:
            async with asyncio.timeout(call.left_s()):
                await self.route.recover()
        except TimeoutError:
            return
        except UnavailableError as error:
            call.reason = str(error)
            raise call.away() from error

    async def _attempt(self, slot: int, commands: list[Command]) -> list[Any]:
        timeout_s = self._attempt_timeout_s
        if len(commands) > 1:
            timeout_s += DURABILITY_TIMEOUT_S
        lanes = await self.route.lanes(slot)
        replies = await lanes.call(commands, timeout_s)
        moving = replies[0]
        if type(moving) is AskError and isinstance(self.route, ClusterRoute):
            # The slot is on its way to another node, and this key is there already: it answers after ASKING.
            there = self.route.at((moving.host, moving.port))
            return (await there.call([("ASKING",), *commands], timeout_s))[1:]
        return replies


def transient(reply: Any) -> bool:
    """Whether this refusal passes by itself, or by looking where the partition is now. Nothing was written."""
    return isinstance(reply, _TRANSIENT_TYPES) or (
        isinstance(reply, ResponseError) and str(reply).startswith(_TRANSIENT_CODES)
    )
