"""Servers that are restarted, connections that are cut, and clusters: workers carry on by themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from interrupts import InterruptService, UnavailableError, connect
from interrupts.store.groups import Groups, Noted, Step
from tests.raw import raw
from tests.reacting import (
    QUICK_BEATS,
    Journal,
    assert_at_least_once_in_order,
    assert_each_once_in_order,
    hastened,
    held,
    parked,
    publish,
    reacting,
    run,
    until_async,
    until_settled,
)
from tests.servers import Cluster, RedisServer
from workers import Event

NAMES = [f"s{number}" for number in range(8)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """They hear of each other soon."""
    hastened(monkeypatch, QUICK_BEATS)


def fails_at_times(event: Event) -> None:
    """Every fifth event fails at first."""
    if event.data["n"] % 5 == 0 and event.attempt == 1:
        raise ValueError("at first")


async def under_load(url: str, namespace: str, each: int, harm: Callable[[int], None]) -> list[tuple[str, int]]:
    """Two processes of one group at work while events come, and what is harmed after each third of them."""
    async with (
        connect(url, namespace=namespace, partitions=4) as service,
        connect(url, namespace=namespace, partitions=4) as another,
    ):
        journal = Journal(fails_at_times)

        async def come(name: str) -> None:
            for number in range(1, each + 1):
                while True:
                    with contextlib.suppress(UnavailableError):
                        await service.publish(
                            "tests.event.happened", {"n": number, "session_id": name}, idempotency_key=str(number)
                        )
                        break

        async with (
            reacting(service, journal, start="beginning"),
            reacting(another, journal, start="beginning"),
        ):
            coming = asyncio.gather(*map(come, NAMES))
            for third in range(3):
                await journal.until_done(third * each * len(NAMES) // 3)
                await asyncio.to_thread(harm, third)
            await coming
            await until_settled(service, "g")
        assert journal.faults == []
        assert await parked(service, "g") == {}
        return journal.done


def test_a_server_that_is_killed_and_started_again_under_load(tmp_path: Path, namespace: str) -> None:
    """With its append-only file: nothing is lost, nothing out of order, nothing has to be done by hand.

    It syncs always: else it may lose what it has acknowledged, events too. What groups do then: see the next test.
    """
    server = RedisServer(tmp_path / "synced", "--appendonly", "yes", "--appendfsync", "always").start()

    def harm(_: int) -> None:
        server.kill()
        server.start()

    async def main() -> None:
        done = await under_load(server.url, namespace, 60, harm)
        assert_at_least_once_in_order(done, NAMES, 60)

    try:
        run(main())
    finally:
        server.stop()


def test_a_server_that_has_lost_what_it_had_acknowledged_of_a_group(url: str, namespace: str) -> None:
    """Restarted, it knows an older place, and holds what is done: that is handled again at once, and gone then.

    An append-only file that is synced once a second does that. What stayed held would come again when others take over
    some day, long behind what follows it in its session.
    """

    def fails_once(event: Event) -> None:
        if event.attempt == 1 and event.data["n"] == 2:
            raise ValueError("at first")

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            journal, card = Journal(fails_once), service.store.keys.group(0, "g")
            async with reacting(service, journal, backoff_first_s=0.2, backoff_max_s=0.2):
                await publish(service, "s", 1, 2, 3)
                await until_async(lambda: is_held(service, 2), "two are held")
                names = (card, f"{card}:held")
                lost = [await raw(service, "HGETALL", name) for name in names]
                await until_settled(service, "g")
                for name, fields in zip(names, lost, strict=True):
                    await raw(service, "DEL", name)
                    await raw(service, "HSET", name, *fields)
                await publish(service, "s", 4)
                await until_settled(service, "g")
            assert journal.faults == []
            assert_at_least_once_in_order(journal.done, ["s"], 4)

    run(main())


async def is_held(service: InterruptService, count: int) -> bool:
    """Whether so many events are."""
    return len(await held(service, "g")) == count


def test_connections_that_are_cut_under_load(own_server: RedisServer, namespace: str) -> None:
    """All at once, again and again: every event is handled once."""

    def harm(_: int) -> None:
        for _ in range(3):
            own_server.command("CLIENT", "KILL", "TYPE", "normal")

    async def main() -> None:
        done = await under_load(own_server.url, namespace, 60, harm)
        assert_each_once_in_order(done, NAMES, 60)

    run(main())


def test_a_cluster(cluster: Cluster, namespace: str) -> None:
    """Partitions on several nodes: one process, then two, each event once."""

    async def main() -> None:
        async with (
            connect(cluster.url, namespace=namespace, partitions=6) as service,
            connect(cluster.url, namespace=namespace, partitions=6) as another,
        ):
            journal = Journal(fails_at_times)
            async with reacting(service, journal):
                await asyncio.gather(*(publish(service, name, *range(1, 11)) for name in NAMES))
                async with reacting(another, journal):
                    await asyncio.gather(*(publish(another, name, *range(11, 21)) for name in NAMES))
                    await until_settled(service, "g")
                await asyncio.gather(*(publish(service, name, *range(21, 26)) for name in NAMES))
                await until_settled(service, "g")
            assert journal.faults == []
            assert_each_once_in_order(journal.done, NAMES, 25)

    run(main())


def test_a_server_that_does_not_answer_for_a_while(own_server: RedisServer, namespace: str) -> None:
    """Frozen for longer than nothing: handlers at work finish, and what they did counts once."""

    async def main() -> None:
        go_on = asyncio.Event()
        journal = Journal(lambda event: go_on.wait() if event.data["n"] == 1 else None)
        async with connect(own_server.url, namespace=namespace, partitions=2) as service:
            async with reacting(service, journal):
                await asyncio.gather(*(publish(service, name, 1, 2, 3) for name in NAMES))
                await journal.until_begun(len(NAMES))
                own_server.freeze()
                go_on.set()
                await journal.until_done(len(NAMES))
                await asyncio.sleep(0.3)
                own_server.thaw()
                await until_settled(service, "g")
            assert_each_once_in_order(journal.done, NAMES, 3)

    run(main())


def test_what_was_not_counted_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that was read waits until that is written down, also behind one of its session that is done."""
    progress, holds = Groups.progress, False
    come, go = asyncio.Event(), asyncio.Event()

    async def held_up(known: Groups, group: str, steps: Sequence[Step]) -> list[Noted]:
        if holds:
            come.set()
            await go.wait()
        return await progress(known, group, steps)

    monkeypatch.setattr(Groups, "progress", held_up)

    async def main() -> None:
        nonlocal holds
        go_on = asyncio.Event()
        journal = Journal(lambda event: go_on.wait() if event.data["n"] == 1 else None)
        async with connect("memory://", partitions=1) as service, reacting(service, journal):
            await publish(service, "s", 1)
            await journal.until_begun(1)
            holds = True
            await publish(service, "s", 2)
            await come.wait()
            go_on.set()
            await journal.until_done(1)
            for _ in range(50):
                await asyncio.sleep(0)
            assert journal.begun == [("s", 1, 1)]
            holds = False
            go.set()
            await until_settled(service, "g")
            assert journal.done == [("s", 1), ("s", 2)]

    run(main())
