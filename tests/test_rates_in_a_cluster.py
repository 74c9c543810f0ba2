"""Counting creations across the nodes of a real cluster: sessions on one, users on another, and a node that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interrupts import AsyncRateLimiter, InterruptService, RateLimitConfig, connect
from interrupts.rate_rules import CREATE
from interrupts.store.lanes import Command, Lanes, UnreachableError
from projections import PROJECTIONS
from projections.counting import COUNT
from projections.rates import Rates
from projections.rebuild import rebuild
from projections.verify import verify
from tests.following import assert_right
from tests.servers import Cluster, RedisServer, sessions
from tests.tallies import forget, marks_of, reserved
from tests.view_standing import standing, until_folded
from workers import running

RATES = [Rates()]
PARTITIONS = 6
WIDE = RateLimitConfig(10_000, 100_000, 1_000_000, 10_000)
TURN_S = 0.01


@asynccontextmanager
async def folded(cluster: Cluster, namespace: str, **options: Any) -> AsyncIterator[InterruptService]:
    """A service whose log is folded."""
    async with (
        connect(cluster.url, namespace=namespace, partitions=PARTITIONS, **options) as service,
        running(service),
    ):
        yield service


async def everywhere(service: InterruptService, users: Sequence[str] | None = None) -> None:
    """A creation of each user (one in each partition) in each session (one in each partition)."""
    names = sessions(service)
    await asyncio.gather(*(service.create_checkpoint("r", user, name) for user in users or names for name in names))


async def assert_counted_once(service: InterruptService) -> None:
    """What is counted is what a plain loop over the log counts, and what `verify` counts."""
    await until_folded(service, PROJECTIONS)
    await assert_right(service, PROJECTIONS)
    assert (await verify(service)).differences == []


def test_creations_are_counted_once_wherever_users_and_sessions_are(cluster: Cluster, namespace: str) -> None:
    """Each user's partition has the counts of all sessions, and up to where each log is counted."""

    async def main() -> None:
        async with folded(cluster, namespace, limits=WIDE) as service:
            owners = {cluster.owner(slot).port for slot in service.store.keys.slots}
            assert len(owners) == len(cluster.nodes)
            for _ in range(3):
                await everywhere(service)
            await assert_counted_once(service)
            async with AsyncRateLimiter.connect(cluster.url, namespace=namespace, limits=WIDE) as limiter:
                for user in sessions(service):
                    (use,) = await limiter.usage(user)
                    assert (use.group, use.day.used, use.reserved) == (CREATE, 3 * PARTITIONS, 0)
                    assert await reserved(service, user) == {}
            for target in range(PARTITIONS):
                assert (await marks_of(service, target)).keys() == set(range(PARTITIONS))

    asyncio.run(main())


def test_all_that_was_lost_is_built_again_on_all_nodes(cluster: Cluster, namespace: str) -> None:
    """While creations go on."""

    async def main() -> None:
        async with folded(cluster, namespace) as service:
            await everywhere(service)
            await until_folded(service, PROJECTIONS)
            await forget(service)
            await asyncio.gather(rebuild(service, "rates", from_start=True), everywhere(service))
            await rebuild(service, "rates")
            await assert_counted_once(service)

    asyncio.run(main())


def test_of_several_targets_those_that_got_through_are_not_counted_again(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step counts in partitions of several nodes; where the reply of some is lost, it is done again for all."""
    call, lost = Lanes.call, [0]

    async def losing(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        replies = await call(lanes, commands, timeout_s)
        if commands[0][1:2] and commands[0][1] in (COUNT.sha, COUNT.text):
            lost[0] += 1
            if lost[0] % 3 == 0:
                raise UnreachableError("the reply was lost", sent=True)
        return replies

    monkeypatch.setattr(Lanes, "call", losing)

    async def main() -> None:
        async with folded(cluster, namespace) as service:
            for _ in range(3):
                await everywhere(service)
                await until_folded(service, PROJECTIONS)
            monkeypatch.undo()
            await assert_counted_once(service)

    asyncio.run(main())
    assert lost[0] > PARTITIONS


async def until_at_the_end(service: InterruptService, views: Sequence[str], partitions: Sequence[int]) -> None:
    """Returns when these views have folded all of these partitions."""
    async with asyncio.timeout(20):
        for partition in partitions:
            for view in views:
                while (  # noqa: ASYNC110 - it asks Redis
                    there := await standing(service, view, partition)
                ).card.live is None or there.card.live.at.sequence < there.last_sequence:
                    await asyncio.sleep(TURN_S)


def test_a_node_that_is_away_holds_up_the_counts_and_no_other_view(cluster: Cluster, namespace: str) -> None:
    """Creations of users whose node is frozen wait; the lists of the living nodes have them, and then each counts
    once."""

    async def main() -> None:
        async with folded(cluster, namespace, attempt_timeout_s=0.2) as service:
            await everywhere(service)
            await until_folded(service, PROJECTIONS)
            names, slots = sessions(service), service.store.keys.slots
            away: RedisServer = cluster.nodes[-1]
            living = [partition for partition in range(PARTITIONS) if cluster.owner(slots[partition]) is not away]
            (lost, *_) = [name for partition, name in enumerate(names) if partition not in living]
            away.freeze()
            try:
                made = [await service.create_checkpoint("r", lost, names[partition]) for partition in living]
                await until_at_the_end(service, ("pending", "closed", "counts"), living)
                for partition, one in zip(living, made, strict=True):
                    assert one in await service.get_pending_for_session(names[partition])
                    rates = await standing(service, "rates", partition)
                    assert rates.card.live is not None
                    assert rates.card.live.at.sequence < rates.last_sequence
            finally:
                away.thaw()
            await assert_counted_once(service)

    asyncio.run(main())
