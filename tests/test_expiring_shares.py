"""Several processes that expire: each has its share, and whoever comes, goes or dies, no deadline is missed."""

from __future__ import annotations

import asyncio
import random
import signal
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from interrupts import FlowInterrupt, InterruptService, connect
from interrupts.keys import slot_of_tag
from tests.expiring_process import assert_expired_in_time, expiring, leases, process, processes, until_closed
from tests.reacting import hastened
from tests.servers import Cluster, RedisServer, sessions, until
from tests.waiting import ask, run
from workers.expiring import ExpiryRole

LEASE_S = 0.5
SOON = timedelta(seconds=0.3)
LATE_S = 3.0
"""How late an expiry may be whose process was killed: the lease, a beat, and a busy machine."""
FROZEN_S = 2.0
"""Less than after what a cluster takes a node for gone."""
LOAD = 600


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes hear of each other soon."""
    hastened(monkeypatch, leases(LEASE_S))


def shares(*roles: ExpiryRole) -> list[int]:
    """All partitions that these have, in order."""
    return sorted(partition for role in roles for partition in role._due_at)


async def one_each(service: InterruptService, ttl: timedelta = SOON) -> list[FlowInterrupt]:
    """An interrupt in each partition."""
    return list(await asyncio.gather(*(ask(service, session, ttl=ttl) for session in sessions(service))))


def test_two_share_the_partitions_and_one_that_leaves_hands_its_share_over(url: str, namespace: str) -> None:
    """Each has half. What was made while there were two expires in time when there is one."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            everything = list(range(one.log.partitions))
            async with expiring(one) as first:
                async with expiring(two) as second:
                    await until(lambda: shares(first, second) == everything, "each has its share")
                    assert len(shares(first)) == len(shares(second))
                    asked = await one_each(one)
                    await until_closed(one, asked)
                    assert first.numbers()["expired"] == second.numbers()["expired"] == len(asked) / 2
                    later = await one_each(one)
                await until(lambda: shares(first) == everything, "the first has all")
                await until_closed(one, later)
            assert await assert_expired_in_time(one, asked + later) < LATE_S

    run(main())


def test_the_share_of_a_killed_one_is_taken_over(shared_server: RedisServer, namespace: str) -> None:
    """kill -9 before its deadlines: they are kept by the other process, as soon as the lease has run out."""

    async def main() -> None:
        url = shared_server.url
        async with connect(url, namespace=namespace) as service:
            with processes(process(url, namespace), process(url, namespace)) as (one, _):
                asked = await one_each(service)
                one.signal(signal.SIGKILL)
                asked += await one_each(service, 3 * SOON)
                await until_closed(service, asked)
            assert await assert_expired_in_time(service, asked) < LATE_S

    run(main())


def test_one_that_is_frozen_and_comes_back_spoils_nothing(shared_server: RedisServer, namespace: str) -> None:
    """Its share is taken over; when it wakes it believes that it has it still, and finds all of it expired."""

    async def main() -> None:
        url = shared_server.url
        async with connect(url, namespace=namespace) as service:
            with processes(process(url, namespace), process(url, namespace)) as (one, _):
                asked = await one_each(service)
                one.signal(signal.SIGSTOP)
                await until_closed(service, asked)
                asked += await one_each(service)
                one.signal(signal.SIGCONT)
                asked += await one_each(service)
                await until_closed(service, asked)
                one.signal(signal.SIGTERM)
                assert await asyncio.to_thread(one.popen.wait, 20) == 0
            assert await assert_expired_in_time(service, asked) < LATE_S

    run(main())


def test_partitions_that_change_hands_under_load_miss_no_deadline(url: str, namespace: str) -> None:
    """Roles come and go all the time, while interrupts are made: each expires once, in time."""
    dice = random.Random(7)

    async def come_and_go(done: asyncio.Event) -> None:
        while not done.is_set():
            async with connect(url, namespace=namespace) as passing, AsyncExitStack() as stack:
                for _ in range(dice.randrange(1, 4)):
                    await stack.enter_async_context(expiring(passing))
                    await asyncio.sleep(dice.uniform(0, 0.05))  # at any moment: nothing is waited for

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as staying:
            done, asked = asyncio.Event(), list[FlowInterrupt]()
            async with expiring(staying):
                coming = [asyncio.create_task(come_and_go(done)) for _ in range(2)]
                while len(asked) < LOAD:
                    ttls = [timedelta(milliseconds=dice.randrange(1, 400)) for _ in range(20)]
                    asked += await asyncio.gather(*(ask(service, f"s{dice.random()}", ttl=ttl) for ttl in ttls))
                    await asyncio.sleep(0.02)  # so that they come spread over many changes
                await until_closed(service, asked)
                done.set()
                await asyncio.gather(*coming)
            assert await assert_expired_in_time(service, asked) < LATE_S

    run(main())


def test_a_node_that_does_not_answer_holds_up_no_other_node(cluster: Cluster, namespace: str) -> None:
    """Deadlines of the other nodes' partitions are kept meanwhile, and those of this one afterwards."""

    async def main() -> None:
        async with (
            connect(cluster.url, namespace=namespace) as service,
            connect(cluster.url, namespace=namespace) as other,
        ):
            keys = service.store.keys
            home = cluster.owner(slot_of_tag(namespace))  # there the processes hear of each other
            away = next(node for node in cluster.nodes if node is not home)
            held_up = [partition for partition, slot in enumerate(keys.slots) if cluster.owner(slot) is away]
            assert 0 < len(held_up) < len(keys.slots)
            async with expiring(service):
                there = sessions(other)
                asked = [await ask(other, session, ttl=4 * SOON) for session in there]
                away.freeze()
                try:
                    others = [one for partition, one in enumerate(asked) if partition not in held_up]
                    await until_closed(other, others, FROZEN_S)
                    near = [await ask(other, one.session_id, ttl=SOON) for one in others]
                    await until_closed(other, near, FROZEN_S)
                finally:
                    away.thaw()
                await until_closed(other, asked)
            assert await assert_expired_in_time(other, asked + near) < 2 * FROZEN_S + LATE_S

    run(main())
