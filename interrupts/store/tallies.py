"""What users have used of their limits, as it is kept in Redis: looked at and changed in batches.

A call that is repeated because its reply was lost may count twice: the user loses one call, and never gains one. A
reservation counts once however often it is repeated, as it has a name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from interrupts.errors import CorruptLogError, InterruptsError, UnavailableError, ValidationError
from interrupts.keys import Keys
from interrupts.limits import RESERVATION_MAX_S
from interrupts.rate_rules import CREATE
from interrupts.rates import IN_WORDS, LIMIT_TYPES, RateLimitConfig, RateLimitResult
from interrupts.scripts import script
from interrupts.store.batcher import Batcher
from interrupts.store.grouping import by_partition, flat, in_order
from interrupts.store.log import Log

TAKE: Final = script("take")
RESERVE: Final = script("reserve")
SETTLE: Final = script("settle")
USAGE: Final = script("usage")
FORGIVE: Final = script("forgive")
CLAIM: Final = script("claim")

TakeItem = tuple[int, str, str, str, RateLimitConfig]
"""partition, counts, terms, group, and the limits in the terms"""
ReserveItem = tuple[int, str, str, str, str, Sequence[RateLimitConfig]]
"""partition, counts, reserved, interrupt, what is asked, and the limits in it"""
SettleItem = tuple[int, Sequence[str], Sequence[Any]]
"""partition, and keys and arguments as `settle.lua` has them"""


KNOWN: Final = 2
"""Another attempt is known to have appended the interrupt."""


class Reserved(msgspec.Struct, frozen=True, gc=False):
    """What became of a creation that asked to be let in.

    `group`: which of its groups the result is about, from 0. `at_ms`: the last moment to append it at; 0: it was not
    let in. `again` 1: another attempt had reserved it before, and nobody knows what becomes of that; `KNOWN`: it has
    appended the interrupt.
    """

    result: RateLimitResult
    group: int
    at_ms: int = 0
    again: int = 0


class Tallies:
    """The counts of all users of a namespace."""

    def __init__(self, log: Log) -> None:
        self.keys: Keys = log.keys
        self.server = log.server
        patience_s = log.server.call_timeout_s
        self._takes: Batcher[TakeItem, RateLimitResult] = Batcher(self._send_takes, patience_s=patience_s)
        self._reserves: Batcher[ReserveItem, Reserved] = Batcher(self._send_reserves, patience_s=patience_s)
        self._settles: Batcher[SettleItem, None] = Batcher(self._send_settles, patience_s=patience_s)

    def take(self, user_id: str, terms: str, group: str, config: RateLimitConfig) -> asyncio.Future[RateLimitResult]:
        """Lets a call in, or not. Raises `ValidationError` for one that never could be, `UnavailableError`."""
        partition = self.keys.partition_of_user(user_id)
        return self._takes.submit((partition, self.keys.rates[partition] + user_id, terms, group, config))

    def reserve(
        self, user_id: str, name: str, asked: str, configs: Sequence[RateLimitConfig]
    ) -> asyncio.Future[Reserved]:
        """Lets a creation in, or not, under this name (see `rate_rules`). Raises `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        names = keys.rates[partition] + user_id, keys.reserved[partition] + user_id
        return self._reserves.submit((partition, *names, name, asked, configs))

    def settle(self, user_id: str, args: Sequence[Any]) -> asyncio.Future[None]:
        """Says what became of a creation, in the words of `settle.lua`. Raises `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        names = keys.rates[partition] + user_id, keys.reserved[partition] + user_id, keys.counted[partition]
        return self._settles.submit((partition, names, args))

    async def usage(self, user_id: str) -> tuple[int, bytes | None, dict[str, bytes]]:
        """The time, the user's own limits (or nothing), and the fields of what is counted. Raises
        `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        names = keys.limits[partition], keys.rates[partition] + user_id
        now_ms, own, *found = await self.server.read(USAGE, keys.slots[partition], names, [user_id])
        return now_ms, own, {name.decode(): text for name, text in zip(found[::2], found[1::2], strict=True)}

    async def forgive(self, user_id: str, group: str) -> int:
        """Lets a user begin anew, in one group or ("") in all; returns in how many. Raises `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        names = (
            keys.rates[partition] + user_id,
            keys.reserved[partition] + user_id,
            keys.exhausted[partition] + user_id,
        )
        return int((await self.server.run(FORGIVE, keys.slots[partition], names, [group, CREATE], derived=True)).reply)

    async def set_limits(self, user_id: str, words: str) -> None:
        """From now on these limits hold for the user, and what they were told to wait for is forgotten. Raises
        `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        await self.server.command(keys.slots[partition], "HSET", keys.limits[partition], user_id, words, writes=True)
        await self._forget_exhausted(user_id)

    async def limits(self, user_id: str) -> bytes | None:
        """The limits that were set for the user. Raises `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        found: bytes | None = await self.server.command(keys.slots[partition], "HGET", keys.limits[partition], user_id)
        return found

    async def remove_limits(self, user_id: str) -> bool:
        """No limits are set for the user any more; returns whether there were any. Raises `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        command = keys.slots[partition], "HDEL", keys.limits[partition], user_id
        removed = bool(await self.server.command(*command, writes=True))
        await self._forget_exhausted(user_id)
        return removed

    async def _forget_exhausted(self, user_id: str) -> None:
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        await self.server.command(keys.slots[partition], "DEL", keys.exhausted[partition] + user_id, writes=True)

    async def claim(self, user_id: str, group: str, text: bytes, instead_of: bytes, lasts_ms: int) -> bytes:
        """This text, or the one that was the first for this user and group and still lasts, unless that is the one that
        this one is to be instead of. Raises `UnavailableError`."""
        keys, partition = self.keys, self.keys.partition_of_user(user_id)
        name = keys.exhausted[partition] + user_id
        claimed: bytes = (
            await self.server.run(
                CLAIM, keys.slots[partition], [name], [group, text, instead_of, lasts_ms], derived=True
            )
        ).reply
        return claimed

    async def drain(self) -> None:
        """Returns when everything handed over has its reply."""
        for batcher in (self._takes, self._reserves, self._settles):
            await batcher.drain()

    async def _send_takes(self, items: Sequence[TakeItem]) -> Sequence[RateLimitResult | Exception]:
        return await self._in_calls(items, self._take_call)

    async def _send_reserves(self, items: Sequence[ReserveItem]) -> Sequence[Reserved | Exception]:
        return await self._in_calls(items, self._reserve_call)

    async def _send_settles(self, items: Sequence[SettleItem]) -> Sequence[Exception | None]:
        return await self._in_calls(items, self._settle_call)

    async def _in_calls(
        self,
        items: Sequence[tuple[Any, ...]],
        call: Callable[[list[tuple[int, list[int]]], Any], Awaitable[list[Any]]],
    ) -> list[Any]:
        """One call for all partitions on one server, else one for each."""
        groups = by_partition(items)
        if self.server.route.one_server:
            return in_order(len(items), groups, await call(list(groups.items()), items))
        calls = (call([group], items) for group in groups.items())
        return in_order(len(items), groups, flat(await asyncio.gather(*calls, return_exceptions=True), groups))

    async def _take_call(
        self, groups: list[tuple[int, list[int]]], items: Sequence[TakeItem]
    ) -> list[RateLimitResult | Exception]:
        keys = self.keys
        names = [keys.limits[partition] for partition, _ in groups]
        args: list[Any] = [len(groups), *(len(indexes) for _, indexes in groups)]
        configs: list[RateLimitConfig] = []
        for _, indexes in groups:
            for index in indexes:
                _, counts, terms, group, config = items[index]
                names.append(counts)
                args += (terms, group)
                configs.append(config)
        written = await self.server.run(TAKE, keys.slots[groups[0][0]], names, args, derived=True)
        return [_result(outcome, config) for outcome, config in zip(written.reply, configs, strict=True)]

    async def _reserve_call(
        self, groups: list[tuple[int, list[int]]], items: Sequence[ReserveItem]
    ) -> list[Reserved | Exception]:
        keys = self.keys
        names = [keys.limits[partition] for partition, _ in groups]
        args: list[Any] = [len(groups), round(RESERVATION_MAX_S * 1000), *(len(indexes) for _, indexes in groups)]
        asked: list[Sequence[RateLimitConfig]] = []
        for _, indexes in groups:
            for index in indexes:
                _, counts, reserved, interrupt_id, words, configs = items[index]
                names += (counts, reserved)
                args += (interrupt_id, words)
                asked.append(configs)
        written = await self.server.run(RESERVE, keys.slots[groups[0][0]], names, args, derived=True)
        outcomes: list[Reserved | Exception] = []
        for outcome, configs in zip(written.reply, asked, strict=True):
            if isinstance(outcome, Exception):
                outcomes.append(_refused(outcome))
                continue
            result = _result(outcome, configs[outcome[6] - 1])
            outcomes.append(result if isinstance(result, Exception) else Reserved(result, outcome[6] - 1, *outcome[7:]))
        return outcomes

    async def _settle_call(
        self, groups: list[tuple[int, list[int]]], items: Sequence[SettleItem]
    ) -> list[Exception | None]:
        names: list[str] = []
        args: list[Any] = [round(RESERVATION_MAX_S * 1000)]
        for _, indexes in groups:
            for index in indexes:
                names += items[index][1]
                args += items[index][2]
        await self.server.run(SETTLE, self.keys.slots[groups[0][0]], names, args, derived=True)
        return [None for _, indexes in groups for _ in indexes]


def _result(outcome: Any, config: RateLimitConfig) -> RateLimitResult | Exception:
    """What a script says of one call."""
    if isinstance(outcome, Exception):
        return _refused(outcome)
    verdict, window, used, limit, ms = outcome[:5]
    if len(outcome) > 5 and outcome[5]:
        try:
            config = RateLimitConfig.of_words(outcome[5])
        except (ValueError, ValidationError) as error:
            return CorruptLogError(f"A user's own limits can't be read ({outcome[5][:64]!r}): {error}")
    limit_type = LIMIT_TYPES[window - 1]
    if verdict == 1:
        return RateLimitResult(True, False, None, None, used, limit, 0.0, limit - used, limit_type, ms / 1000, config)
    if verdict == 0:
        return RateLimitResult.exceeded_limit(limit_type, used, limit, ms / 1000, config)
    if outcome[5]:  # what the code asks for is right, and an operator has set the user's limits below it
        return RateLimitResult.never(limit_type, limit, config)
    return ValidationError(
        f"cost: it is more than the {limit} calls allowed {IN_WORDS[limit_type]}, so it never passes ({limit_type}).",
        field="cost",
    )


def _refused(refusal: Exception) -> InterruptsError:
    if not str(refusal).startswith(("WRONGTYPE", "DAMAGED")):
        return UnavailableError(f"Redis refused: {refusal}. Nothing was counted.")
    return CorruptLogError(
        f"Redis refused: {refusal}. A key of this namespace was not written by us: look at it, or use another "
        "namespace. Nothing was counted."
    )
