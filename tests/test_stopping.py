"""What stops a view: an event that it can not fold or nobody can read, a hole in the log. And how it goes on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from interrupts import InterruptService, connect
from interrupts.views import Stopped, View
from projections import PROJECTIONS
from projections.lag import lags
from projections.skip import skip
from tests.following import assert_right, by_hand, create, dump, fold_all
from tests.notes import ALL, Refusing
from tests.view_standing import standing

COUNT = 30


async def created(service: InterruptService, count: int = COUNT) -> None:
    """So many creations, in all partitions."""
    await asyncio.gather(*(create(service, number) for number in range(count)))


async def stopped_at(service: InterruptService, view: str, partition: int = 0) -> Stopped | None:
    """What the card of a view says about its standing still."""
    card = (await standing(service, view, partition)).card
    shown = card.live or card.building[0]
    return shown.stopped


async def number_of(service: InterruptService, partition: int, number: int) -> str:
    """The position of an event by its number."""
    return next(e.position for e in await service.log.range(partition) if e.sequence == number)


def test_a_refused_event_stops_one_view_in_one_partition(url: str, namespace: str) -> None:
    """The others go on, there and elsewhere. What is said names event and projection; the card keeps it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            await created(service)
            last = [(await service.log.range(p))[-1].sequence or 0 for p in range(2)]
            longer = last.index(max(last))
            only = last[1 - longer] + 1  # a number that the other partition does not have
            hand = by_hand(stack, service, [*ALL, Refusing(only)])
            await hand.all()
            position = await number_of(service, longer, only)
            (said,) = hand.said.of("projections.stopped")
            assert (said["projection"], said["partition"], said["position"]) == ("refusing", longer, position)
            assert f"no room for number {only}" in said["why"]
            found = await stopped_at(service, "refusing", longer)
            assert found is not None
            assert (found.position, found.sequence, found.problem) == (position, only, "event")
            assert await stopped_at(service, "refusing", 1 - longer) is None
            beside = [n for n in range(COUNT) if service.log.partition_of(f"s{n % 5}") == longer]
            await asyncio.gather(*(create(service, number) for number in beside))
            await hand.all()
            await assert_right(service)
            behind = {(lag.projection, lag.partition): lag for lag in await lags(service, projections=[Refusing()])}
            assert behind["refusing", longer].state == "stopped"
            assert behind["refusing", longer].position == position
            assert behind["refusing", 1 - longer].events == 0

    asyncio.run(main())


def test_mended_code_goes_on_from_there(url: str, namespace: str) -> None:
    """What was folded before stays, nothing is folded twice, and nothing is left out."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            await created(service)
            broken = Refusing(4)
            broken.view = View("notes", 1)
            hand = by_hand(stack, service, [*PROJECTIONS, broken])
            await hand.all()
            assert await stopped_at(service, "notes") is not None
            before = (await standing(service, "notes")).card
            assert (before.live or before.building[0]).at.sequence == 3
            await fold_all(service, ALL)
            assert await stopped_at(service, "notes") is None
            await assert_right(service)
            hand.look_again()
            await hand.all()
            await assert_right(service)

    asyncio.run(main())


def test_one_that_stands_still_is_tried_again_now_and_then(url: str, namespace: str) -> None:
    """A worker whose code is mended in place, or whose trouble passes, goes on without a new start; said only once."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await created(service)
            broken = Refusing(9, 12)
            broken.view = View("notes", 1)
            hand = by_hand(stack, service, [*PROJECTIONS, broken])
            for _ in range(3):
                await hand.all()
                hand.look_again()
            assert [line["why"] for line in hand.said.of("projections.stopped")] == [
                "LookupError: no room for number 9"
            ]
            broken.numbers.discard(9)
            await hand.all()
            assert [line["why"][-2:] for line in hand.said.of("projections.stopped")] == [" 9", "12"]
            broken.numbers.clear()
            hand.look_again()
            await hand.all()
            await assert_right(service)

    asyncio.run(main())


def test_a_worker_that_starts_beside_a_stopped_view_says_so(url: str, namespace: str) -> None:
    """Who starts a worker again, and has mended nothing, is told in its log lines too."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await created(service)
            await fold_all(service, [Refusing(9)])
            hand = by_hand(stack, service, [Refusing(9)])
            await hand.all()
            assert len(hand.said.of("projections.stopped")) == 1

    asyncio.run(main())


def test_an_operator_skips_the_one_event_it_stands_before(url: str, namespace: str) -> None:
    """This view alone goes on without this event alone; the next one that it refuses stops it again."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await created(service)
            projections = [*ALL, Refusing(5, 8)]
            hand = by_hand(stack, service, projections)
            await hand.all()
            await skip(service, "refusing", await number_of(service, 0, 5), projections=projections)
            hand.look_again()
            await hand.all()
            found = await stopped_at(service, "refusing")
            assert found is not None
            assert found.sequence == 8
            await skip(service, "refusing", found.position, projections=projections)
            hand.look_again()
            await hand.all()
            assert await stopped_at(service, "refusing") is None
            await assert_right(service)
            left_out = {e.interrupt_id for e in await service.log.range(0) if e.sequence in (5, 8)}
            held = await dump(service, projections)
            waits = [held[view, 0]["waits"] for view in ("notes", "refusing")]
            all_of_them, others = (set(one) for one in waits if isinstance(one, dict))
            assert all_of_them - others == left_out

    asyncio.run(main())


@pytest.mark.parametrize("raw", [b"garbage", b'["interrupt.vanished","a",1]'], ids=["garbage", "unknown"])
def test_an_event_that_nobody_can_read_stops_every_view(url: str, namespace: str, raw: bytes) -> None:
    """Each says so for itself, and goes on by itself when it may leave the event out."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await created(service)
            keys, server = service.store.keys, service.store.server
            await server.command(keys.slots[0], "XADD", keys.logs[0], "*", "s", COUNT + 1, "e", raw)
            await created(service)
            hand = by_hand(stack, service)
            await hand.all()
            position = (await stopped_at(service, "notes") or pytest.fail("it does not stand still")).position
            told = {line["projection"]: line["position"] for line in hand.said.of("projections.stopped")}
            assert told == {projection.view.name: position for projection in ALL}
            for projection in ALL:
                await skip(service, projection.view.name, position, projections=ALL)
                hand.look_again()
                await hand.all()
                assert await stopped_at(service, projection.view.name) is None
            await server.command(keys.slots[0], "XDEL", keys.logs[0], position.partition(":")[2])
            await assert_right(service)

    asyncio.run(main())


def test_a_hole_in_the_log_stops_every_view_until_it_may_be_passed(url: str, namespace: str) -> None:
    """An event that is gone is missed, at the end of a batch or within it; passed over, the view is what is left."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await created(service)
            gone, behind = await number_of(service, 0, 12), await number_of(service, 0, 13)
            keys, server = service.store.keys, service.store.server
            await server.command(keys.slots[0], "XDEL", keys.logs[0], gone.partition(":")[2])
            hand = by_hand(stack, service)
            await hand.all()
            for projection in ALL:
                found = await stopped_at(service, projection.view.name)
                assert found is not None
                assert (found.position, found.sequence, found.problem) == (behind, 13, "hole")
                assert "number 13 follows number 11" in found.error
                await skip(service, projection.view.name, behind, projections=ALL)
            hand.look_again()
            await hand.all()
            await created(service)
            await hand.all()
            await assert_right(service)

    asyncio.run(main())
