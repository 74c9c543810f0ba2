"""Several processes of one group share the partitions, come and go: nothing is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from interrupts import connect
from tests.reacting import (
    QUICK_BEATS,
    SHORT_LEASES,
    Journal,
    assert_each_once_in_order,
    hastened,
    parked,
    publish,
    publish_mixed,
    reacting,
    run,
    until_settled,
)
from tests.servers import sessions, until
from workers import Event, EventBus
from workers.reacting import ReactionsRole

NAMES = [f"s{number}" for number in range(12)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """They hear of each other soon."""
    hastened(monkeypatch, QUICK_BEATS)


def role_of(service: object, journal: Journal, **options: object) -> ReactionsRole:
    """One process of the group, as the supervisor runs it."""
    bus = EventBus()
    bus.subscribe("tests.*", group="g", **{"start": "beginning", **options})(journal.note)  # type: ignore[arg-type]
    return ReactionsRole(service, [bus])  # type: ignore[arg-type]


def test_two_share_the_partitions_and_one_that_leaves_gives_them_back(url: str, namespace: str) -> None:
    """Each has half as long as both are there; at once after one has left, the other has all."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=6) as service,
            connect(url, namespace=namespace, partitions=6) as another,
        ):
            journal, there = Journal(), sessions(service)
            one, two = role_of(service, journal), role_of(another, journal)
            await one.start()
            assert one.numbers()["partitions"] == 6
            await two.start()
            await until(lambda: (one.numbers()["partitions"], two.numbers()["partitions"]) == (3, 3), "half each")
            await asyncio.gather(*(publish(service, session, 1, 2) for session in there))
            await until_settled(service, "g")
            assert (one.numbers()["handled"], two.numbers()["handled"]) == (6, 6)
            await one.end()
            await until(lambda: two.numbers()["partitions"] == 6, "all are the other's", 2.0)  # leases last for 5 s
            await asyncio.gather(*(publish(service, session, 3) for session in there))
            await until_settled(service, "g")
            await two.end()
            assert_each_once_in_order(journal.done, there, 3)

    run(main())


@pytest.mark.parametrize("seed", range(4))
def test_they_come_and_go_under_load(url: str, namespace: str, seed: int) -> None:
    """At random, with handlers that take a while and fail at random: each event once, in its session's order."""
    chance = random.Random(seed)

    async def takes_a_while(event: Event) -> None:
        await asyncio.sleep(chance.random() * 0.01)
        if event.attempt == 1 and chance.random() < 0.1:
            raise ValueError("as it happens")

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            services = [
                await stack.enter_async_context(connect(url, namespace=namespace, partitions=4)) for _ in range(3)
            ]
            journal, each = Journal(takes_a_while), 25
            at_work = dict[int, ReactionsRole]()

            async def come_or_go(place: int) -> None:
                role = at_work.pop(place, None)
                if role is None:
                    at_work[place] = role_of(services[place], journal, backoff_first_s=0.01)
                    await at_work[place].start()
                else:
                    await role.end()

            publishing = asyncio.create_task(publish_mixed(services[0], NAMES, each, seed))
            for _ in range(8):
                await come_or_go(chance.randrange(3))
                await asyncio.sleep(chance.random() * 0.1)  # what happens in it is what is tried
            await publishing
            if not at_work:
                await come_or_go(0)
            await until_settled(services[0], "g")
            await asyncio.gather(*(role.end() for role in at_work.values()))
            assert journal.faults == []
            assert_each_once_in_order(journal.done, NAMES, each)
            assert await parked(services[0], "g") == {}

    run(main())


def test_what_waits_in_a_queue_has_lost_no_attempt_when_it_is_handed_over(url: str, namespace: str) -> None:
    """Only what was begun has been begun: each is handed over for the first time, however often the owner changed."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            journal = Journal(lambda _: asyncio.sleep(0.01))
            for name in NAMES:
                await publish(service, name, 1, 2, 3)
            rounds = 0
            while len(journal.done) < 3 * len(NAMES):
                before = len(journal.done)
                async with reacting(service, journal, start="beginning", concurrency=1):
                    await journal.until_done(min(before + 5, 3 * len(NAMES)))
                rounds += 1
            assert rounds > 3
            assert {attempt for _, _, attempt in journal.begun} == {1}
            assert_each_once_in_order(journal.done, NAMES, 3)

    run(main())


def test_handlers_at_work_finish_when_the_process_ends_and_keep_their_lease(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though they take longer than a lease lasts: nobody else begins with the event meanwhile, or later."""
    hastened(monkeypatch, SHORT_LEASES)

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=2) as service,
            connect(url, namespace=namespace, partitions=2) as another,
        ):
            go_on = asyncio.Event()
            journal = Journal(lambda event: go_on.wait() if event.data["n"] == 1 else None)
            one, two = role_of(service, journal), role_of(another, journal)
            await one.start()
            await publish(service, "s", 1, 2)
            await journal.until_begun(1)
            await two.start()
            ending = asyncio.create_task(one.end())
            await asyncio.sleep(2.0)  # two leases long
            assert journal.begun == [("s", 1, 1)]
            go_on.set()
            await ending
            await until_settled(service, "g")
            await two.end()
            assert journal.begun == [("s", 1, 1), ("s", 2, 1)]

    run(main())


def test_a_partition_changes_hands_while_others_keep_their_owner_busy(url: str, namespace: str) -> None:
    """Whoever joins has its share soon, though the others never have nothing to do."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=2) as service,
            connect(url, namespace=namespace, partitions=2) as another,
        ):
            journal, there = Journal(lambda _: asyncio.sleep(0.005)), sessions(service)
            one, two = role_of(service, journal, concurrency=1), role_of(another, journal)
            numbers = range(1, 501)
            await asyncio.gather(
                *(service.publish("tests.event.happened", {"session_id": s, "n": n}) for n in numbers for s in there)
            )
            await one.start()
            await journal.until_done(10)
            await two.start()
            # With END_TIMEOUT_S (6 s) as the bound of what is waited for, this is far below it.
            await until(lambda: two.numbers()["partitions"] == 1, "the other one has a partition", 3.0)
            await asyncio.gather(one.end(), two.end())
            assert journal.faults == []
            assert all(begun[2] == 1 for begun in journal.begun)

    run(main())
