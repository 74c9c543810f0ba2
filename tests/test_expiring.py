"""The role that expires: it sleeps until the next deadline or until a nearer one is made, and asks nothing before."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from interrupts import ConflictError, FlowInterrupt, InterruptStatus, connect
from interrupts.store.lanes import Command, Lanes
from tests.conftest import until_expired
from tests.expiring_process import assert_expired_in_time, expiring, until_closed, what_is
from tests.raw import raw
from tests.servers import Cluster, RedisServer, sessions, until
from tests.test_expiry import due
from tests.waiting import YES, ask, run, types

LONG = timedelta(hours=1)
SOON = timedelta(seconds=0.3)
LATE_S = 2.0
"""How late an expiry may be on a machine with much else to do; without that it is some milliseconds."""
OVERDUE = {"redis": 3_000, "memory": 600}
"""In memory everything takes longer."""
RACES = 40
LOOKS_MAX = 25
"""Looks in about a second, where a look every millisecond would be hundreds."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What this process sends, by what it is for."""
    counted, call = Counter[str](), Lanes.call

    async def counting(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        counted.update(map(what_is, commands))
        return await call(lanes, commands, timeout_s)

    monkeypatch.setattr(Lanes, "call", counting)
    return counted


@pytest.mark.parametrize("far", [True, False], ids=["a far deadline", "no deadline"])
def test_with_nothing_due_it_sends_its_read_and_its_beat(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, sent: Counter[str], far: bool
) -> None:
    """Not one look at the deadlines, however many beats and blocking reads go by."""
    monkeypatch.setattr("interrupts.store.follow.TAIL_BLOCK_MS", 100)
    monkeypatch.setattr("workers.attending.WORKER_BEAT_S", 0.1)

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            for session in sessions(service) if far else ():
                await ask(service, session, ttl=LONG)
            async with expiring(service):
                sent.clear()
                await until(lambda: sent["read"] >= 5 and sent["attend"] >= 5, "some beats and reads go by")
                assert sent.keys() == {"read", "attend"}

    run(main())


def test_a_nearer_deadline_is_kept_at_its_time_and_without_a_tick(url: str, namespace: str, sent: Counter[str]) -> None:
    """Another service makes it after all were found to be far: one look, or two, and the event is there in time."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=1) as service,
            connect(url, namespace=namespace) as other,
        ):
            await ask(service, ttl=LONG)
            async with expiring(service) as role:
                for ttl in (SOON, SOON / 3, SOON / 30):
                    sent.clear()
                    await until_closed(other, [asked := await ask(other, ttl=ttl)])
                    assert 1 <= sent["due"] <= 4
                    assert sent["append"] == 2  # the creation, and the expiry
                    assert await types(other, asked.id) == ["interrupt.created", "interrupt.expired"]
                assert role.numbers() == {"expired": 3, "partitions": 1}

    run(main())


def test_deadlines_are_kept_in_their_order_and_in_time(url: str, namespace: str) -> None:
    """Made in any order, in all partitions: none early, none much too late, each once."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as other:
            async with expiring(service):
                ttls = [timedelta(milliseconds=7 * (n * 37 % 100) + 1) for n in range(100)]
                calls = (ask(other, f"s{number}", ttl=ttl) for number, ttl in enumerate(ttls))
                asked = await asyncio.gather(*calls)
                await until_closed(other, asked)
            assert await assert_expired_in_time(other, asked) < LATE_S

    run(main())


def test_an_extended_one_expires_at_its_new_deadline(url: str, namespace: str) -> None:
    """Not at the old one; moved far away, not at all for now; moved by another service, and again."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as other:
            async with expiring(service):
                far, near = await ask(other, "far", ttl=SOON), await ask(other, "near", ttl=SOON)
                await other.extend(far.id, LONG)
                await other.extend(near.id, 2 * SOON)
                await other.extend(near.id, 3 * SOON)
                await until_closed(other, [near])
                await until_closed(other, [witness := await ask(other, "far", ttl=SOON)])
            assert await assert_expired_in_time(other, [near, witness]) < LATE_S
            there = await other.get_interrupt(far.id)
            assert there is not None
            assert there.status is InterruptStatus.PENDING

    run(main())


def test_what_has_no_deadline_to_enforce_is_left_alone(url: str, namespace: str) -> None:
    """`auto_expire=False`, extended or not, and what has no deadline at all, there before it starts or made later."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            before = [
                await ask(service, ttl=SOON / 10, auto_expire=False),
                await service.create_checkpoint("r", "u", "s"),
            ]
            async with expiring(service):
                after = [await ask(service, ttl=SOON / 10, auto_expire=False) for _ in range(3)]
                await service.extend(after[0].id, SOON / 5)
                after.append(await service.create_checkpoint("r", "u", "s"))
                await until_closed(service, [witness := await ask(service, ttl=SOON)])
            await assert_expired_in_time(service, [witness])
            for one in before + after:
                assert "interrupt.expired" not in await types(service, one.id)
            assert (await service.respond(after[1].id, YES)).status is InterruptStatus.RESOLVED  # type: ignore[union-attr]

    run(main())


def test_a_deadline_that_moves_as_it_passes_is_kept_once(url: str, namespace: str) -> None:
    """Extended at about the moment at which it expires: either it was too late for that, or it lives on until then."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=2) as service,
            connect(url, namespace=namespace) as other,
        ):
            lived = 0

            async def race(number: int) -> FlowInterrupt:
                nonlocal lived
                asked = await ask(other, f"s{number}", ttl_seconds=0.2)
                # Not to wait for anything: the moment is what is tried here.
                await asyncio.sleep(0.19 + number * 0.0005)
                try:
                    await other.extend(asked.id, SOON)
                    lived += 1
                except ConflictError as late:
                    assert late.code == "expired"  # noqa: PT017 - both outcomes are right
                return asked

            async with expiring(service):
                asked = await asyncio.gather(*map(race, range(RACES)))
                await until_closed(other, asked)
            assert await assert_expired_in_time(other, asked) < LATE_S
            found = [await types(other, one.id) for one in asked]
            assert sum("interrupt.extended" in one for one in found) == lived

    run(main())


def test_thousands_that_are_overdue_when_it_starts_are_expired_once(url: str, namespace: str) -> None:
    """In bounded steps, beside what becomes due meanwhile."""
    count = OVERDUE[url.partition(":")[0]]

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=4) as service,
            connect(url, namespace=namespace) as other,
        ):
            asked = await due(service, count)
            async with expiring(service) as role:
                more = await asyncio.gather(*(ask(other, f"s{n}", ttl=SOON / 10) for n in range(100)))
                await until_closed(other, [*asked, *more])
                assert role.numbers()["expired"] == count + 100
            await assert_expired_in_time(other, [*asked, *more])

    run(main())


def test_it_is_ready_when_all_that_was_overdue_is_expired(url: str, namespace: str) -> None:
    """What was due when it began has been dealt with by then, also where all of it is in one partition."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service:
            asked = await asyncio.gather(*(ask(service, ttl=SOON / 300) for _ in range(800)))
            await asyncio.gather(*(until_expired(service, one.id) for one in asked))
            async with expiring(service):
                await assert_expired_in_time(service, asked)

    run(main())


def test_in_a_cluster_deadlines_of_all_nodes_are_kept(cluster: Cluster, namespace: str) -> None:
    """What is overdue at the start, and what is made later, by another service."""

    async def main() -> None:
        async with (
            connect(cluster.url, namespace=namespace) as service,
            connect(cluster.url, namespace=namespace) as other,
        ):
            before = await due(service, 32)
            async with expiring(service):
                after = await asyncio.gather(*(ask(other, session, ttl=SOON) for session in sessions(other)))
                await until_closed(other, [*before, *after])
            await assert_expired_in_time(other, [*before, *after])

    run(main())


@pytest.mark.parametrize("ttl_s", [0.3, 0.001])
def test_where_a_log_is_ahead_of_the_clock_it_waits_for_the_clock(
    shared_server: RedisServer, namespace: str, sent: Counter[str], ttl_s: float
) -> None:
    """The clock was set back by more than a second: deadlines are kept on the log's time, which stands still until
    then; the role does not ask again and again meanwhile."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            seconds, _ = await raw(service, "TIME")
            log = service.store.keys.logs[0]
            await raw(service, "XGROUP", "CREATE", log, "ahead", "$", "MKSTREAM")
            await raw(service, "XSETID", log, f"{(int(seconds) + 2) * 1000}-0")
            async with expiring(service):
                asked = await ask(service, ttl_seconds=ttl_s)
                await until_closed(service, [asked])
            assert asked.created_at.timestamp() == int(seconds) + 2
            assert await assert_expired_in_time(service, [asked]) < LATE_S
            assert sent["due"] < LOOKS_MAX

    run(main())
