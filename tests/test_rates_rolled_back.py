"""A partition whose counts were rolled back: what is missing is counted again, by whoever folds, and only once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from interrupts import InterruptService, connect
from projections.rates import Rates
from tests.following import assert_right, by_hand, create, fold_all, some_more
from tests.servers import sessions
from tests.tallies import forget, marks_of

RATES = [Rates()]
PARTITIONS = 3


async def copied(service: InterruptService, target: int) -> dict[str, bytes]:
    """All that is counted in a partition, and up to where."""
    keys, server = service.store.keys, service.store.server
    names = await server.command(keys.slots[target], "KEYS", f"{keys.rates[target]}*")
    names.append(keys.counted[target].encode())
    dumps = [await server.command(keys.slots[target], "DUMP", name) for name in names]
    return {name.decode(): dump for name, dump in zip(names, dumps, strict=True) if dump}


async def rolled_back(service: InterruptService, target: int, there: dict[str, bytes]) -> None:
    """What is counted in a partition is what it was."""
    keys, server = service.store.keys, service.store.server
    for name in await copied(service, target):
        await server.command(keys.slots[target], "DEL", name, writes=True)
    for name, dump in there.items():
        await server.command(keys.slots[target], "RESTORE", name, 0, dump, writes=True)


@pytest.mark.parametrize("to", ["some", "nothing"])
def test_a_partition_that_was_rolled_back_is_counted_again(url: str, namespace: str, to: str) -> None:
    """While those who fold live on: what is missing comes with the next creation of each source, and only once."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            target = service.store.keys.partition_of_user("u")
            there = await copied(service, target)
            for _ in range(2):
                if to == "some":
                    there = await copied(service, target)
                for session in sessions(service) * 2:
                    await service.create_checkpoint("r", "u", session)
                    await create(service, len(session))
                await hand.all()
            await assert_right(service, RATES)
            await rolled_back(service, target, there)
            assert (await marks_of(service, target)).keys() == (set() if to == "nothing" else set(range(PARTITIONS)))
            for session in sessions(service):
                await service.create_checkpoint("r", "u", session)
            await hand.all()
            await assert_right(service, RATES)
            await some_more(service, 6)
            await asyncio.gather(hand.all(), by_hand(stack, service, RATES).all())
            await assert_right(service, RATES)

    asyncio.run(main())


def test_one_that_starts_after_the_roll_back_counts_what_is_missing(url: str, namespace: str) -> None:
    """Also a process that has counted nothing yet: what is between the mark and the checkpoint is not left out."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
            await some_more(service, 6)
            await fold_all(service, RATES)
            there = {target: await copied(service, target) for target in range(PARTITIONS)}
            await some_more(service, 6)
            await fold_all(service, RATES)
            for target in range(PARTITIONS):
                await rolled_back(service, target, there[target])
            await some_more(service, 12)
            await fold_all(service, RATES)
            await assert_right(service, RATES)

    asyncio.run(main())


def test_one_that_looks_again_after_the_roll_back_counts_what_is_missing(url: str, namespace: str) -> None:
    """It has counted before; then another one went on, and it has read from the cards how far that one came."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service, AsyncExitStack() as stack:
            first, second = by_hand(stack, service, RATES), by_hand(stack, service, RATES)
            await some_more(service, 12)
            await first.all()
            there = {target: await copied(service, target) for target in range(PARTITIONS)}
            await some_more(service, 12)
            await second.all()
            for target in range(PARTITIONS):
                await rolled_back(service, target, there[target])
            first.follower._units.clear()  # as if its connection was lost, or the time had come to look again
            await first.all()
            await some_more(service, 12)
            await first.all()
            await assert_right(service, RATES)

    asyncio.run(main())


def test_more_than_one_read_of_the_log_is_counted_again(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was lost may be long: it is read and counted some at a time."""
    monkeypatch.setattr("projections.counting.FOLD_EVENTS_MAX", 3)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            await some_more(service, 20)
            await hand.all()
            await forget(service)
            for session in sessions(service):
                for user in ("u", "u0", "u1"):
                    await service.create_checkpoint("r", user, session)
            await hand.all()
            await assert_right(service, RATES)

    asyncio.run(main())
