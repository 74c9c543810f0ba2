"""Comparing what is counted of users with the log, and putting it right while everything goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from interrupts import InterruptService, RateLimitConfig, connect
from interrupts.rate_rules import CREATE
from interrupts.rates import WINDOWS
from interrupts.rings import SIZES_MS, Tally
from projections.rates import Rates
from projections.rebuild import rebuild
from projections.skip import skip
from projections.verify import verify
from tests.following import assert_right, by_hand, fold_all, some_more
from tests.tallies import fields_of, forget, now_ms, reserved
from tests.view_standing import standing

RATES = [Rates()]
PARTITIONS = 3
WIDE = RateLimitConfig(1_000_000, 10_000_000, 100_000_000, 1_000_000)
FIELD = f"+{CREATE}"
EVERY: list[tuple[str, str | None]] = [(f"u0 {CREATE}", window) for window in WINDOWS]
"""All windows of a user."""


async def on_counts(service: InterruptService, command: str, *arguments: Any, user: str = "u0") -> None:
    """A command on what is counted of a user."""
    keys, partition = service.store.keys, service.store.keys.partition_of_user(user)
    name = keys.rates[partition] + user
    await service.store.server.command(keys.slots[partition], command, name, *arguments, writes=True)


def shifted(cells: int) -> Callable[[InterruptService], Awaitable[None]]:
    """One of a user's creations counts in other cells than it should."""

    async def blow(service: InterruptService) -> None:
        tally = Tally.parse((await fields_of(service, "u0"))[FIELD])
        for ring in tally.rings:
            cell = max(ring)
            ring[cell] -= 1
            ring[cell - cells] = ring.get(cell - cells, 0) + 1
        await on_counts(service, "HSET", FIELD, tally.text(await now_ms(service)))

    return blow


async def one_more(service: InterruptService) -> None:
    """One more than there are."""
    tally = Tally.parse((await fields_of(service, "u0"))[FIELD])
    tally.add(await now_ms(service))
    await on_counts(service, "HSET", FIELD, tally.text(tally.last_ms))


async def one_less(service: InterruptService) -> None:
    """A tally with one creation only."""
    tally = Tally.parse(None)
    tally.add(await now_ms(service))
    await on_counts(service, "HSET", FIELD, tally.text(tally.last_ms))


async def of_nobody(service: InterruptService) -> None:
    """Somebody who has created nothing."""
    tally = Tally.parse(None)
    tally.add(await now_ms(service))
    await on_counts(service, "HSET", FIELD, tally.text(tally.last_ms), user="nobody")


async def of_no_group(service: InterruptService) -> None:
    """A group in which nothing was created."""
    text = (await fields_of(service, "u0"))[FIELD]
    await on_counts(service, "HSET", "+another", text)


def blow_of(command: str, *arguments: Any) -> Callable[[InterruptService], Awaitable[None]]:
    """A command on what is counted of the user."""

    async def blow(service: InterruptService) -> None:
        await on_counts(service, command, *arguments)

    return blow


async def a_string(service: InterruptService) -> None:
    """Another type in place of the counts."""
    await on_counts(service, "DEL")
    await on_counts(service, "SET", "mine")


BLOWS: dict[str, tuple[Callable[[InterruptService], Awaitable[None]], list[tuple[str, str | None]]]] = {
    "a tally that was changed": (shifted(1), EVERY),
    "one too many": (one_more, EVERY),
    "too few": (one_less, EVERY),
    "a tally is gone": (blow_of("HDEL", FIELD), EVERY),
    "all counts are gone": (blow_of("DEL"), EVERY),
    "a user too many": (of_nobody, [(f"nobody {CREATE}", window) for window in WINDOWS]),
    "a group too many": (of_no_group, [("u0 another", window) for window in WINDOWS]),
    "a foreign text": (blow_of("HSET", FIELD, "mine"), [(f"u0 {CREATE}", None)]),
    "an empty text": (blow_of("HSET", FIELD, ""), [(f"u0 {CREATE}", None)]),
    "bytes of no text": (blow_of("HSET", FIELD, b"\xff\xfe"), [(f"u0 {CREATE}", None)]),
    "a tally that does not add up": (blow_of("HSET", FIELD, "9 0 5 1 5 1 5 1;;;"), [(f"u0 {CREATE}", None)]),
    "another type": (a_string, [("u0", None)]),
}


@pytest.mark.parametrize("blow", BLOWS)
def test_each_damage_is_found_and_put_right(url: str, namespace: str, blow: str) -> None:
    """It is named with the user, the group and the window; a rebuild mends it, and finds nothing the next time."""
    damage, seen = BLOWS[blow]

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            await some_more(service)
            await hand.all()
            assert (await verify(service, ["rates"])).differences == []
            await damage(service)
            found = await verify(service, ["rates"])
            assert {(one.what, one.key, one.member) for one in found.differences} == {("rates", *one) for one in seen}
            user = seen[0][0].partition(" ")[0]
            assert {one.partition for one in found.differences} == {service.store.keys.partition_of_user(user)}
            assert all(part in str(found.differences[0]) for part in ("rates", seen[0][0]))
            assert (await rebuild(service, "rates")).mended >= 1
            await assert_right(service, RATES)
            assert (await verify(service, ["rates"])).differences == []
            assert (await rebuild(service, "rates")).mended == 0
            await some_more(service, 6)
            await hand.all()
            await assert_right(service, RATES)

    asyncio.run(main())


def test_what_else_is_used_stays_when_counts_are_put_right(url: str, namespace: str) -> None:
    """The calls that were let in, and the reservations of creations that are not in the log."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS, limits=WIDE) as service:
            await some_more(service)
            assert service._gate is not None
            await service._gate.drain()
            await fold_all(service, RATES)
            asked = f"{WIDE.words()} {CREATE}"
            lost = await service._gate._tallies.reserve("u0", "3abc" + "0" * 28, asked, [WIDE])
            before = await fields_of(service, "u0")
            await one_more(service)
            await rebuild(service, "rates")
            assert await fields_of(service, "u0") == before
            assert await reserved(service, "u0") == {"3abc" + "0" * 28: lost.at_ms}

    asyncio.run(main())


@pytest.mark.parametrize("marks", ["kept", "lost"])
def test_all_that_was_lost_is_built_again(url: str, namespace: str, marks: str) -> None:
    """All counts are gone, and up to where they were, too, or not."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            await some_more(service)
            await hand.all()
            if marks == "lost":
                await forget(service)
            else:
                for user in ("u", "u0", "u1"):
                    await on_counts(service, "DEL", user=user)
            assert not (await verify(service, ["rates"])).equal
            await rebuild(service, "rates")
            await assert_right(service, RATES)
            await some_more(service, 6)
            await hand.all()
            await assert_right(service, RATES)
            assert (await verify(service, ["rates"])).differences == []

    asyncio.run(main())


@pytest.mark.parametrize("problem", ["event", "hole"])
def test_what_was_skipped_is_left_out_here_too(url: str, namespace: str, problem: str) -> None:
    """An event that was left out is not counted; what is behind a hole that was passed over is."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            for _ in range(4):
                await service.create_checkpoint("r", "u", "s")
            keys, server = service.store.keys, service.store.server
            if problem == "hole":
                gone = (await service.log.range(0))[1].position.partition(":")[2]
                await server.command(keys.slots[0], "XDEL", keys.logs[0], gone, writes=True)
            else:
                await server.command(keys.slots[0], "XADD", keys.logs[0], "*", "s", 5, "e", "no event", writes=True)
            await fold_all(service, RATES)
            card = (await standing(service, "rates")).card
            stopped = (card.live or card.building[0]).stopped
            assert stopped is not None
            assert stopped.problem == problem
            await skip(service, "rates", stopped.position)
            await fold_all(service, RATES)
            (found,) = [Tally.parse((await fields_of(service, "u"))[FIELD])]
            assert sum(found.rings[2].values()) == (3 if problem == "hole" else 4)
            assert [one for one in (await verify(service, ["rates"])).differences if one.what == "rates"] == []
            assert (await rebuild(service, "rates", from_start=True)).mended == 0
            assert Tally.parse((await fields_of(service, "u"))[FIELD]).rings == found.rings

    asyncio.run(main())


@pytest.mark.parametrize("what", ["a string", "a foreign mark"])
def test_marks_that_can_not_be_read_are_told(url: str, namespace: str, what: str) -> None:
    """Up to where the logs are counted was not written by us: it is a difference, and no fault of who compares."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
            await some_more(service)
            await fold_all(service, RATES)
            keys, server = service.store.keys, service.store.server
            target = keys.partition_of_user("u0")
            if what == "a string":
                await server.command(keys.slots[target], "SET", keys.counted[target], "mine", writes=True)
            else:
                await server.command(keys.slots[target], "HSET", keys.counted[target], 0, "mine", writes=True)
            found = await verify(service)
            assert {one.partition for one in found.differences if one.what == "rates"} == {target}

    asyncio.run(main())


def test_only_a_few_cells_of_a_long_time_are_kept(url: str, namespace: str) -> None:
    """What is mended is as short as what is counted: cells of the windows, and no others."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
            await some_more(service)
            await fold_all(service, RATES)
            before = {user: (await fields_of(service, user))[FIELD] for user in ("u", "u0", "u1")}
            for user in before:
                await on_counts(service, "HDEL", FIELD, user=user)
            await rebuild(service, "rates")
            for user, text in before.items():
                assert (await fields_of(service, user))[FIELD] == text
                keys, partition = service.store.keys, service.store.keys.partition_of_user(user)
                left_ms = await service.store.server.command(
                    keys.slots[partition], "PTTL", keys.rates[partition] + user
                )
                assert 0 < left_ms <= 99 * SIZES_MS[2]

    asyncio.run(main())
