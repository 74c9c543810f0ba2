"""The gate that creations pass where there are rate limits: never more than the limit gets into the log.

A user's limits are in the user's partition, and the interrupt in its session's: two scripts, perhaps on two servers.
So a creation is first *reserved* there, and then appended here.

Why no more than the limit is ever in the log, in any window, whatever happens in between. A reservation is named after
its interrupt, and counts from the moment it is made:

- as a creation at the last moment at which it may still be appended. The append refuses it later (by the clock of its
  own server: those of a cluster have to agree within seconds). So while it is not known what became of it, it counts in
  every window that it might come to be in;
- once it is appended: as one made when it was, either because this process says so (`settle`), or because the
  projection counts it from the log, which takes the reservation away in the same step. Of these two whoever comes first
  does it, and the other finds nothing to do;
- once it is refused for good: not at all. It is given back by the attempt that has made it, and only if there was none
  before and none after it under the same name: of two attempts with the same idempotency key one may be refused and the
  other be in the log;
- after a crash or a lost reply: as long as a creation at that last moment would. Nobody gives it back, as nobody can
  know. The user may lose one call; the limit holds.

Reserving again under the same name, as a retry does, moves the reservation: an interrupt never counts twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec

from interrupts.codec import Line, decode_lines
from interrupts.commands import Create
from interrupts.errors import CorruptLogError, UnavailableError
from interrupts.events import AnyEvent, Created
from interrupts.limits import RESERVE_AGAIN_MAX
from interrupts.model import InterruptKind
from interrupts.rate_rules import RateLimits, reservation
from interrupts.rates import RateLimitConfig, RateLimitResult
from interrupts.store.log import NEVER, NEW, Appended, Log, TooLateError
from interrupts.store.tallies import KNOWN, Reserved, Tallies

Append = Callable[[str, bytes, str, int | None], "asyncio.Future[Appended]"]
"""Appends an interrupt's event on these terms, with this time to live: as `Log.append`."""


class _Asked(msgspec.Struct, frozen=True):
    """What is reserved for a kind, in the scripts' words."""

    words: str
    groups: str
    configs: tuple[RateLimitConfig, ...]


class Refusal(msgspec.Struct, frozen=True):
    """A creation that may not come now, and the group whose limit says so."""

    result: RateLimitResult
    group: str


class Gate:
    """Lets creations through to one log, as far as limits allow."""

    def __init__(self, log: Log, limits: RateLimits) -> None:
        self._log = log
        self._tallies = Tallies(log)
        self._inside = 0
        self._all_out = asyncio.Event()
        self._asked: dict[InterruptKind, _Asked] = {}
        for kind in InterruptKind:
            rules = limits.rules_of_creation(kind)
            self._asked[kind] = _Asked(
                "\n".join(f"{rule.config.words()} {rule.group}" for rule in rules),
                "\n".join(rule.group for rule in rules),
                tuple(rule.config for rule in rules),
            )

    async def append(
        self, command: Create, event: bytes, ttl_ms: int | None, append: Append | None = None
    ) -> Appended | Refusal:
        """Appends a creation that may come now; what an earlier one with its key has made is returned in any case.

        `append` does it in place of the log's own, where it goes together with something else. Raises
        `UnavailableError`.
        """
        self._inside += 1
        try:
            return await self._append(command, event, ttl_ms, append or self._log.append)
        finally:
            self._inside -= 1
            if not self._inside:
                self._all_out.set()

    async def _append(self, command: Create, event: bytes, ttl_ms: int | None, append: Append) -> Appended | Refusal:
        asked = self._asked[command.kind]
        for left in reversed(range(RESERVE_AGAIN_MAX)):
            name = reservation(command.id, asked.groups)
            reserving = self._tallies.reserve(command.user_id, name, asked.words, asked.configs)
            try:
                reserved = await asyncio.shield(reserving)
            except asyncio.CancelledError:
                reserving.add_done_callback(partial(self._unwanted, command, asked))
                raise
            if not reserved.at_ms:
                return await self._made_before(command, asked, reserved)
            future = append(command.id, event, f"{NEW} {reserved.at_ms}", ttl_ms)
            settling = _Settling(self._tallies, command, asked, reserved)
            future.add_done_callback(settling)
            try:
                # The caller may be gone before it is known what became of it; that is settled all the same.
                return await asyncio.shield(future)
            except TooLateError:
                if not left:
                    raise
                if settling.settled is not None:  # what is not given back must not be found again
                    await asyncio.wait([settling.settled])
        raise AssertionError("the last round returns or raises")

    async def claim(self, user_id: str, group: str, text: bytes, instead_of: bytes, lasts_s: float) -> bytes:
        """This text, or the one that another creation of the user has claimed, if that still lasts, no longer than this
        one, and this one is not to be instead of it."""
        return await self._tallies.claim(user_id, group, text, instead_of, max(1, round(lasts_s * 1000)))

    async def drain(self) -> None:
        """Returns when all who have come to the gate are through, and what became of them is settled."""
        while self._inside:
            self._all_out.clear()
            await self._all_out.wait()
        await self._log.drain()  # those who did not wait for their reply are through, too
        await asyncio.sleep(0)  # what became of them is handed over in the loop's next turn
        await self._tallies.drain()

    async def _made_before(self, command: Create, asked: _Asked, reserved: Reserved) -> Appended | Refusal:
        """What the idempotency key has made before, or a refusal if that is nothing."""
        if command.command_id:
            appended = await self._log.append(command.id, b"", NEVER)
            if appended.there is not None:
                return appended
        return Refusal(reserved.result, asked.groups.split("\n")[reserved.group])

    def _unwanted(self, command: Create, asked: _Asked, reserving: asyncio.Future[Reserved]) -> None:
        """The caller left before it was let in: nothing will be appended."""
        if not reserving.cancelled() and reserving.exception() is None and reserving.result().at_ms:
            _Settling(self._tallies, command, asked, reserving.result()).refused()


class _Settling:
    """Says what became of one reserved creation, when that is known."""

    def __init__(self, tallies: Tallies, command: Create, asked: _Asked, reserved: Reserved) -> None:
        self._tallies = tallies
        self._command = command
        self._asked = asked
        self._reserved = reserved
        self.settled: asyncio.Future[None] | None = None

    def __call__(self, future: asyncio.Future[Appended]) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is None:
            self._appended(future.result())
        elif isinstance(error, TooLateError) and self._reserved.again == KNOWN:
            self._say("", "", "", "")  # it was known to be in the log, which was rolled back since
        elif isinstance(error, UnavailableError | CorruptLogError) and not getattr(error, "may_have_happened", False):
            self.refused()

    def refused(self) -> None:
        """This attempt is over, and nothing was appended by it. If there was one before, what it reserves is kept."""
        if not self._reserved.again:
            self._say("", "", "", self._per_minute())

    def _appended(self, appended: Appended) -> None:
        stream_id, per_minute = appended.stream_id, ""
        if appended.there is not None:  # an earlier one with its key, which may be another user's, or of another kind
            made = _first(appended.there)
            if made is None or not self._counts_here(made.event):
                # Its id is taken by something that counts elsewhere, so nothing is ever appended for what is reserved.
                self._say("", "", "", self._per_minute())
                return
            stream_id = made.stream_id
            per_minute = "" if self._reserved.again else self._per_minute()
        ms, _, number = stream_id.partition("-")
        self._say(appended.partition, ms, number, per_minute)

    def _counts_here(self, event: AnyEvent) -> bool:
        """Whether an interrupt is counted where this attempt has reserved."""
        if not isinstance(event, Created) or event.user_id != self._command.user_id:
            return False
        return event.terms.counted_in == self._command.terms.counted_in

    def _per_minute(self) -> str:
        """At most so fast was paid off what was used of the burst."""
        configs = (*self._asked.configs, self._reserved.result.config or self._asked.configs[0])
        return str(max(config.requests_per_minute for config in configs))

    def _say(self, partition: int | str, ms: str, number: str, per_minute: str) -> None:
        name = reservation(self._command.id, self._asked.groups)
        args = name, self._asked.groups, self._reserved.at_ms, partition, ms, number, per_minute
        self.settled = self._tallies.settle(self._command.user_id, args)
        self.settled.add_done_callback(_no_matter)


def _first(packed: bytes) -> Line | None:
    """The first event in an interrupt's key; None if it can't be read, of which the caller is told."""
    with suppress(CorruptLogError, IndexError):
        return decode_lines(packed)[0]
    return None


def _no_matter(settled: asyncio.Future[None]) -> None:
    """What could not be settled counts on: it is said by nobody, and harms nobody but the user's next calls."""
    if not settled.cancelled():
        settled.exception()
