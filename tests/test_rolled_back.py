"""A log that went back: it is noticed, said aloud with what to do, and nothing is folded into the wrong view."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from interrupts import InterruptService, connect
from interrupts.codec import encode
from projections import PROJECTIONS
from projections.follower import Follower
from projections.lag import lags
from projections.loading import Building
from projections.rates import Rates
from projections.rebuild import rebuild
from projections.store import Views
from projections.verify import verify
from tests.conftest import whole_log
from tests.events import created
from tests.following import ByHand, Said, assert_right, by_hand, create, dump, expected, fold_all, plainly, some_more
from tests.notes import ALL, Notes
from tests.view_standing import standing

STEPS_MAX = 100
"""More than any of these logs takes: who needs more goes in circles."""


async def rewind(service: InterruptService, count: int, *, partition: int = 0) -> None:
    """The partition's log as it was after so many events, as a backup has it; its views stay."""
    keys, server = service.store.keys, service.store.server
    slot, log = keys.slots[partition], keys.logs[partition]
    entries = await server.command(slot, "XRANGE", log, "-", "+", "COUNT", count)
    await server.command(slot, "DEL", log)
    for stream_id, fields in entries:
        await server.command(slot, "XADD", log, stream_id, *fields)


async def regrow(service: InterruptService, count: int) -> None:
    """So many more events."""
    for number in range(count):
        await create(service, number)


async def assert_noticed_and_mended(service: InterruptService, hand: ByHand, held: object) -> None:
    """It is said for each view with what to do; the views are left as they are; built again, they are right."""
    told = hand.said.of("projections.log_went_back")
    assert sorted(line["projection"] for line in told) == sorted(projection.view.name for projection in ALL)
    for line in told:
        assert line["partition"] == 0
        assert f"python -m workers rebuild {line['projection']}" in line["why"]
    assert {lag.state for lag in await lags(service, projections=ALL)} == {"rolled back"}
    assert await dump(service) == held
    assert not (await verify(service, projections=ALL)).equal
    for projection in ALL:
        await rebuild(service, projection.view.name, projections=ALL)
    await assert_right(service)
    hand.look_again()
    await create(service)
    await hand.all(steps_max=STEPS_MAX)
    await assert_right(service)


@pytest.mark.parametrize("regrown", [0, 1, 5, 20])
@pytest.mark.parametrize("who", ["a new worker", "one that runs on"])
def test_a_log_that_was_rolled_back_is_noticed(url: str, namespace: str, regrown: int, who: str) -> None:
    """Whether it still ends before the checkpoint, or has grown again, up to it or beyond; by whoever folds it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await regrow(service, 12)
            hand = by_hand(stack, service)
            await hand.all()
            held = await dump(service)
            await rewind(service, 7)
            await regrow(service, regrown)
            if who == "a new worker":
                hand = by_hand(stack, service)
            else:  # as when its connection was lost, or after a while
                await hand.all(steps_max=STEPS_MAX)
                hand.follower._units.clear()
            await hand.all(steps_max=STEPS_MAX)
            await assert_noticed_and_mended(service, hand, held)

    asyncio.run(main())


def test_another_event_at_the_same_place_is_noticed(url: str, namespace: str) -> None:
    """A log with the same number of events, and the same stream ids, but another last event."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await regrow(service, 12)
            await fold_all(service)
            held = await dump(service)
            keys, last = service.store.keys, await service.log.last(0)
            await rewind(service, 11)
            event = encode(created("f" * 32))
            await service.store.server.command(keys.slots[0], "XADD", keys.logs[0], last.stream_id, "s", 12, "e", event)
            hand = by_hand(stack, service)
            await regrow(service, 3)
            await hand.all(steps_max=STEPS_MAX)
            await assert_noticed_and_mended(service, hand, held)

    asyncio.run(main())


@pytest.mark.parametrize("regrown", [0, 3, 20])
def test_other_partitions_go_on(url: str, namespace: str, regrown: int) -> None:
    """Only the partition whose log went back stands still."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            await some_more(service)
            hand = by_hand(stack, service)
            await hand.all()
            folded = [event for event in await whole_log(service) if event.position.startswith("0:")]
            await rewind(service, 4)
            await regrow(service, regrown)
            for fresh in (hand, by_hand(stack, service)):
                await fresh.all(steps_max=STEPS_MAX)
                found, wanted = await dump(service), await expected(service)
                # Of users it is counted what had been folded of the one partition, and all of the other.
                went_on = [event for event in await whole_log(service) if event.position.startswith("1:")]
                wanted |= plainly(service, [*folded, *went_on], [Rates()])
                for projection in ALL:
                    assert found[projection.view.name, 1] == wanted[projection.view.name, 1]

    asyncio.run(main())


@pytest.mark.parametrize("regrown", [0, 3, 20])
@pytest.mark.parametrize("there", ["nothing", "an older version"])
def test_what_is_being_built_when_the_log_goes_back_is_begun_anew(
    url: str, namespace: str, regrown: int, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first build, or that of a younger version: whoever goes on with it comes to a right view, and to an end."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await regrow(service, 20)
            if there == "an older version":
                await fold_all(service, [Notes(1)])
            younger = [*PROJECTIONS, Notes(2)]
            monkeypatch.setattr("projections.apart.LOOK_AGAIN_S", 0.01)
            monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", 4)
            hand = by_hand(stack, service, younger)
            for _ in range(3):
                await hand.step()
            (building,) = (await standing(service, "notes")).card.building
            assert building.at.sequence == 12
            await rewind(service, 7)
            await regrow(service, regrown)
            await hand.all(steps_max=STEPS_MAX)
            hand.follower._units.clear()
            await hand.all(steps_max=STEPS_MAX)
            await by_hand(stack, service, younger).all(steps_max=STEPS_MAX)
            in_keys_of_their_own = [projection for projection in younger if not projection.view.crosses]
            await assert_right(service, in_keys_of_their_own)
            await rebuild(service, "rates")  # what was counted of users and is no more counts until then
            await assert_right(service, younger)

    asyncio.run(main())


@pytest.mark.parametrize("count", [7, 12])
def test_what_is_left_to_be_thrown_away_keeps_nobody_from_building(url: str, namespace: str, count: int) -> None:
    """A view that took over a moment ago, with the old one's keys still there: built again, it is what the log says."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            await some_more(service, 20)
            await fold_all(service)
            views, view = Views(service.store), ALL[0].view
            for partition in range(2):
                await views.begin(partition, view.name, view.version)
            builder = Follower(views, Building(views, ALL[0], Said()), Said())
            stack.push_async_callback(builder.end)
            builder.want(range(2))
            while await builder.step(block=False):
                pass
            assert (await standing(service, view.name)).card.dropping
            await rewind(service, count)
            for projection in ALL:
                await rebuild(service, projection.view.name, projections=ALL)
            await assert_right(service)

    asyncio.run(main())
