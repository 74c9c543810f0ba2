"""Where a group begins, and that one that was away gets what it has missed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interrupts import InterruptService, Position, connect
from tests.conftest import whole_log
from tests.reacting import Journal, publish, publish_mixed, reacting, run, until_settled
from tests.servers import sessions


async def heard(service: InterruptService, start: Any, group: str) -> list[tuple[str, int]]:
    """What a new group hears that starts there."""
    journal = Journal()
    async with reacting(service, journal, group=group, start=start):
        await until_settled(service, group)
    return sorted(journal.done)


async def a_ms_later(service: InterruptService) -> datetime:
    """A time by the server's clock that is after everything in the log, and before what is published next."""
    (last, *_) = sorted((event.at for event in await whole_log(service)), reverse=True)
    while True:
        probe = await service.publish("probe.clock.asked", {})
        at = Position.parse(probe).ms
        if at > round(last.timestamp() * 1000) + 1:
            return datetime.fromtimestamp(at / 1000, UTC)
        await asyncio.sleep(0.001)


def test_a_group_starts_at_the_beginning_now_at_a_time_or_after_a_position(url: str, namespace: str) -> None:
    """In each partition: what was there before, nothing of it, what came from then on, or what came behind it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service:
            there = sessions(service)
            old = [(await publish(service, session, 1))[0] for session in there]
            then = await a_ms_later(service)
            await publish(service, there[0], 2, 3)
            everything = sorted([*((session, 1) for session in there), (there[0], 2), (there[0], 3)])
            assert await heard(service, "beginning", "a") == everything
            assert await heard(service, "now", "b") == []
            assert await heard(service, then, "c") == [(there[0], 2), (there[0], 3)]
            assert await heard(service, then + timedelta(days=1), "d") == []
            assert await heard(service, datetime(1969, 1, 1, tzinfo=UTC), "e") == everything
            assert await heard(service, "0:0-0", "f") == everything
            # Other partitions have no such position: they start at its time, and with it.
            for position, session, group in zip(old, there, "hijk", strict=True):
                behind = await heard(service, position, group)
                assert (session, 1) not in behind
                assert {(there[0], 2), (there[0], 3)} <= set(behind) <= set(everything)

    run(main())


def test_a_position_as_an_object_and_as_text_mean_the_same() -> None:
    """As `create` returns it, or as it is written down."""

    async def main() -> None:
        async with connect("memory://", partitions=2) as service:
            (first, _, _) = await publish(service, "s", 1, 2, 3)
            for start, group in ((first, "a"), (Position.parse(first), "b")):
                assert await heard(service, start, group) == [("s", 2), ("s", 3)]

    run(main())


def test_what_is_published_at_once_when_a_new_group_runs_is_heard(url: str, namespace: str) -> None:
    """`now` is before the block begins, in every partition."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            journal, there = Journal(), sessions(service)
            async with reacting(service, journal):
                await asyncio.gather(*(publish(service, session, 1) for session in there))
                await journal.until_done(len(there))
            assert sorted(journal.done) == sorted((session, 1) for session in there)

    run(main())


def test_what_happened_while_a_group_was_away_is_heard(url: str, namespace: str) -> None:
    """Again and again: nothing is missed, nothing comes twice, and each session keeps its order."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service:
            journal, names = Journal(), [f"s{number}" for number in range(10)]
            for round_number in range(4):
                async with reacting(service, journal):
                    if round_number == 2:
                        await asyncio.sleep(0)  # it may be ended in the middle of anything
                    else:
                        await until_settled(service, "g")
                for name in names:
                    await publish(service, name, round_number + 1)
            async with reacting(service, journal):
                await until_settled(service, "g")
            assert journal.faults == []
            for name in names:
                assert journal.numbers(name) == [1, 2, 3, 4]

    run(main())


def test_a_group_that_is_there_goes_on_wherever_it_is_told_to_start() -> None:
    """`start` is for a new group only."""

    async def main() -> None:
        async with connect("memory://", partitions=2) as service:
            await publish(service, "s", 1, 2)
            assert await heard(service, "beginning", "g") == [("s", 1), ("s", 2)]
            await publish(service, "s", 3)
            assert await heard(service, "beginning", "g") == [("s", 3)]
            await publish(service, "s", 4)
            assert await heard(service, "now", "g") == [("s", 4)]

    run(main())


def test_groups_do_not_know_of_each_other(url: str, namespace: str) -> None:
    """Each has everything; one that fails holds up none of the others."""

    async def main() -> None:
        def fails(_: object) -> None:
            raise ValueError("no")

        async with connect(url, namespace=namespace, partitions=4) as service:
            good, bad, names = Journal(), Journal(fails), [f"s{number}" for number in range(5)]
            async with (
                reacting(service, good, group="good"),
                reacting(service, bad, group="bad", attempts_max=1),
            ):
                await publish_mixed(service, names, 4)
                await until_settled(service, "good")
                await until_settled(service, "bad", parked_count=20)
            assert len(good.done) == 20
            assert bad.done == []

    run(main())


@pytest.mark.parametrize("back", ["begun", "published"])
def test_a_block_may_end_at_once(url: str, namespace: str, back: str) -> None:
    """Nothing is lost when it ends right after it has begun, or after something was published."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            journal = Journal()
            async with reacting(service, journal):
                if back == "published":
                    await publish(service, "s", 1, 2, 3)
            if back == "begun":
                await publish(service, "s", 1, 2, 3)
            async with reacting(service, journal):
                await until_settled(service, "g")
            assert journal.done == [("s", 1), ("s", 2), ("s", 3)]

    run(main())
