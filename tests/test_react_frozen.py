"""A process that is frozen, or asked to end: what it does afterwards spoils nothing of those that have its work now."""

from __future__ import annotations

import asyncio
import signal

import pytest

from interrupts import connect
from tests.conftest import World
from tests.folding_victim import Death
from tests.reacting import (
    QUICK_BEATS,
    SHORT_LEASES,
    Journal,
    assert_at_least_once_in_order,
    assert_each_once_in_order,
    hastened,
    held,
    parked,
    places,
    publish,
    publish_mixed,
    reacting,
    run,
    until_async,
    until_settled,
)
from tests.reacting_process import Noting, done, noted, open_gate, process, processes
from tests.servers import RedisServer, until
from workers import EventBus
from workers.reacting import ReactionsRole
from workers.recovering import Recovering


def test_one_that_was_frozen_can_acknowledge_nothing_when_others_have_its_work(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP in a handler, until another one has done all; then it goes on: the place stays, and nothing is lost."""
    hastened(monkeypatch, SHORT_LEASES)

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=2) as service:
            await publish(service, "s", 1, do="gate")
            await publish(service, "s", 2, 3)
            await publish(service, "t", 1, 2, 3)
            with (
                processes(process(shared_server.url, namespace, start="beginning")) as (frozen,),
                shared_server.client() as client,
            ):
                await until(lambda: len(noted(client, namespace, "done")) == 3, "all of t is done")
                await until(lambda: len(noted(client, namespace, "begin")) == 4, "s 1 is begun")
                frozen.signal(signal.SIGSTOP)
                open_gate(client, namespace)
                noting = Noting(service, Death("", 0))
                async with reacting(service, noting.react):
                    await until_settled(service, "g")
                    before = await places(service, "g")
                    frozen.signal(signal.SIGCONT)
                    await publish(service, "s", 4, 5)
                    await publish(service, "t", 4, 5)
                    await until_settled(service, "g")
                    after = await places(service, "g")
                frozen.leave()
                await until_settled(service, "g")
                assert all(was <= now for was, now in zip(before, after, strict=True))
                assert await places(service, "g") >= after
                # Of the frozen one's last handler nobody knows: it may have gone on in the middle of anything.
                others = [line for line in noted(client, namespace, "done") if line.pid != frozen.popen.pid]
                done_here = [(line.session, line.number) for line in others if line.session == "s"]
                assert_at_least_once_in_order(done_here, ["s"], 5)
                assert {("s", n) for n in range(1, 6)} | {("t", n) for n in range(1, 6)} == set(done(client, namespace))

    run(main())


def test_sigterm_lets_handlers_finish_and_others_go_on_at_once(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done does not come again, and leases, good for five seconds more, are given back."""
    hastened(monkeypatch, QUICK_BEATS)

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=2) as service:
            names = [f"s{number}" for number in range(6)]
            for name in names:
                await publish(service, name, 1, 2, do="gate")
                await publish(service, name, 3)
            with (
                processes(process(shared_server.url, namespace, start="beginning", lease_s=5.0)) as (one,),
                shared_server.client() as client,
            ):
                await until(lambda: len(noted(client, namespace, "begin")) == len(names), "all are begun")
                one.signal(signal.SIGTERM)
                open_gate(client, namespace)
                await until(lambda: one.popen.poll() == 0, "it has ended")
                noting = Noting(service, Death("", 0))
                async with asyncio.timeout(3.0), reacting(service, noting.react):
                    await until_settled(service, "g")
                assert_each_once_in_order(done(client, namespace), names, 3)
                assert {line.attempt for line in noted(client, namespace)} == {1}

    run(main())


def test_a_lease_that_is_being_taken_when_the_process_ends_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever comes next need not wait until it has run out."""
    hastened(monkeypatch, QUICK_BEATS)
    opened = Recovering.open

    async def main() -> None:
        taken, go_on = asyncio.Event(), asyncio.Event()

        async def slowly(recovering: Recovering, partition: int) -> object:
            lane = await opened(recovering, partition)
            if slow is recovering and lane is not None:
                taken.set()
                await go_on.wait()
            return lane

        async with (
            connect("memory://given-back", partitions=2) as service,
            connect("memory://given-back", partitions=2) as another,
        ):
            bus = EventBus()
            bus.subscribe("tests.*", group="g")(Journal().note)
            one, two = ReactionsRole(service, [bus]), ReactionsRole(another, [bus])
            slow = two._consumers[0]._recovering
            monkeypatch.setattr(Recovering, "open", slowly)
            await one.start()
            await two.start()
            await taken.wait()  # `one` has given up its half
            ending = asyncio.create_task(two.end())
            await asyncio.sleep(0.05)
            go_on.set()
            await ending
            await until(lambda: one.numbers()["partitions"] == 2, "it has both again", 2.0)
            await one.end()

    run(main())


def test_a_graceful_end_is_no_alarm(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told of lost leases when partitions change hands as they should."""
    hastened(monkeypatch, QUICK_BEATS)

    async def main() -> None:
        world = World()
        async with connect(url, namespace=namespace, partitions=8, logger=world) as service:
            for _ in range(10):
                async with reacting(service, Journal(), start="beginning"):
                    await publish_mixed(service, ["a", "b", "c"], 3)
                    await until_settled(service, "g")
        assert [line for line in world.lines if line[0] != "info"] == []

    run(main())


def test_handlers_that_do_not_come_to_an_end_are_cut_off_when_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a bound; that is no attempt, and its session goes on elsewhere from there."""
    hastened(monkeypatch, QUICK_BEATS)

    async def main() -> None:
        stuck = asyncio.Event()
        journal = Journal(lambda event: stuck.wait() if event.data["n"] == 2 else None)
        async with connect("memory://", partitions=1) as service:
            bus = EventBus()
            bus.subscribe("tests.*", group="g", attempts_max=2)(journal.note)
            role = ReactionsRole(service, [bus], end_timeout_s=0.4)
            await role.start()
            await publish(service, "s", 1, 2, 3)
            await journal.until_begun(2)
            async with asyncio.timeout(5.0):
                await role.end()
            assert [(one.attempts, one.begun) for one in await held(service, "g")] == [(0, False), (0, False)]
            stuck.set()
            async with reacting(service, journal, attempts_max=2):
                await until_settled(service, "g")
            assert journal.begun == [("s", 1, 1), ("s", 2, 1), ("s", 2, 1), ("s", 3, 1)]
            assert await parked(service, "g") == {}

    run(main())


def test_a_lost_lease_ends_what_is_in_hand_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another owner's lease is younger: the handler is cut off, its work is the other's."""
    hastened(monkeypatch, QUICK_BEATS | {"workers.handling.REACT_HOLD_AFTER_S": 0.05})

    async def main() -> None:
        world, stuck = World(), asyncio.Event()
        journal = Journal(lambda event: stuck.wait())
        async with connect("memory://", partitions=1, logger=world) as service:
            async with reacting(service, journal):
                await publish(service, "s", 1)
                await journal.until_begun(1)
                card = service.store.keys.group(0, "g")
                await service.store.server.command(0, "HSET", card, "owner", "another", "lease", 1_000)

                async def told() -> bool:
                    return any(event == "reactions.lease_lost" for _, event, _ in world.lines)

                await until_async(told, "it is told")
                await until(lambda: journal._at_work == set(), "the handler is cut off")
            assert journal.done == []
            owner = await service.store.server.command(0, "HGET", card, "owner")
            assert owner == b"another"

    run(main())
