"""Sharing the partitions out among processes that come, go, crash, freeze, and come back.

Whose a partition is shows in what is folded: an event in every partition is in the views only if each has an owner.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from interrupts import FlowInterrupt, InterruptService, connect
from projections.rebuild import rebuild
from projections.verify import verify
from tests.following import ANYTHING, assert_right, create, dump, fold_all, some_more
from tests.notes import ALL
from tests.present import present
from tests.servers import RedisServer
from tests.view_standing import until_folded
from tests.worker_process import Process, names_of, workers_running
from workers import running
from workers.sharing import share

HAND_OVER_S = 10.0
"""The longest that a partition may be without an owner."""
PARTITIONS = 8


async def a_round(service: InterruptService) -> list[FlowInterrupt]:
    """An event in every partition."""
    sessions: dict[int, str] = {}
    number = 0
    while len(sessions) < service.log.partitions:
        sessions.setdefault(service.log.partition_of(f"session {number}"), f"session {number}")
        number += 1
    return await asyncio.gather(*(service.create_checkpoint("r", "u", session) for session in sessions.values()))


async def until_owned(service: InterruptService, workers: Sequence[str] | None = None) -> None:
    """Returns when these workers, and no others, are known to be there, and every partition is folded."""
    async with asyncio.timeout(HAND_OVER_S):
        await a_round(service)
        await until_folded(service, ALL)
        while workers is not None and await present(service) != sorted(workers):  # noqa: ASYNC110 - it asks Redis
            await asyncio.sleep(0.02)
        await a_round(service)
        await until_folded(service, ALL)


async def assert_clean(service: InterruptService) -> None:
    """The views equal the log: by a plain loop, by `verify`, and by a clean rebuild."""
    await until_folded(service)
    await assert_right(service)
    verified = await verify(service, projections=ALL)
    assert verified.equal, verified.differences
    held = await dump(service)
    for projection in ALL:
        await rebuild(service, projection.view.name, projections=ALL, from_start=True)
    assert await dump(service) == held


@asynccontextmanager
async def three(server: RedisServer, namespace: str) -> AsyncIterator[tuple[InterruptService, list[Process]]]:
    """A service here, and three workers elsewhere that share its partitions."""
    async with connect(server.url, namespace=namespace, partitions=PARTITIONS) as service:
        with workers_running(server.url, namespace, 3) as processes:
            await until_owned(service, names_of(processes))
            yield service, processes


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 20])
@pytest.mark.parametrize("partitions", [1, 3, 16])
def test_shares_are_fair_and_whole(count: int, partitions: int) -> None:
    """Each partition has exactly one owner, and no two processes differ by more than one; a stranger gets nothing."""
    workers = [f"w{number}" for number in range(count)]
    shares = [share(worker, workers[::-1], partitions) for worker in workers]
    assert sorted(partition for one in shares for partition in one) == list(range(partitions))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert share("stranger", workers, partitions) == []


def test_three_processes_share_join_leave_and_crash(shared_server: RedisServer, namespace: str) -> None:
    """Whoever comes or goes, in good order or by kill -9: soon every partition is folded by one of those there."""

    async def main() -> None:
        async with three(shared_server, namespace) as (service, processes):
            processes.append(Process("tests.worker_process", shared_server.url, namespace))
            processes[-1].ready()
            await until_owned(service, names_of(processes))
            processes[0].leave()
            await until_owned(service, names_of(processes[1:]))
            processes[1].signal(signal.SIGKILL)
            await until_owned(service, names_of(processes[2:]))
            processes[2].signal(signal.SIGKILL)
            processes[3].leave()
            await a_round(service)
            await fold_all(service)
            await assert_clean(service)

    asyncio.run(main())


def test_a_frozen_process_that_comes_back_spoils_nothing(shared_server: RedisServer, namespace: str) -> None:
    """While events flow one of three is frozen, others take over, it comes back as a zombie: no view is wrong."""

    async def main() -> None:
        async with three(shared_server, namespace) as (service, processes):
            flowing = asyncio.create_task(flow(service))
            frozen = processes[1]
            frozen.signal(signal.SIGSTOP)
            await until_owned(service, names_of([process for process in processes if process is not frozen]))
            frozen.signal(signal.SIGCONT)
            await until_owned(service, names_of(processes))
            flowing.cancel()
            await asyncio.gather(flowing, return_exceptions=True)
            await assert_clean(service)

    asyncio.run(main())


async def flow(service: InterruptService) -> None:
    """Events without end, a few at a time."""
    number = 0
    while True:
        made = await asyncio.gather(*(create(service, number + more) for more in range(8)))
        await service.respond(made[number % 8].id, ANYTHING)
        number += 1
        await asyncio.sleep(0.005)


def test_two_owners_at_once_are_harmless(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that all take every partition for theirs fold each event once."""
    monkeypatch.setattr("workers.projecting.share", lambda _worker, _workers, partitions: list(range(partitions)))

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(running(service, projections=ALL))
            for _ in range(4):
                await asyncio.gather(a_round(service), some_more(service, 8))
            await service.list_pending()
            await assert_clean(service)

    asyncio.run(main())


def test_one_process_can_run_the_workers_twice(url: str, namespace: str) -> None:
    """They share like two processes; each may end before the other, and lists are there all the time."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
            async with running(service, projections=ALL):
                async with running(service, projections=ALL):
                    assert len(await present(service)) == 2
                    made = await a_round(service)
                    assert len(await service.list_pending()) == len(made)
                assert len(await present(service)) == 1
                made += await a_round(service)
                await until_owned(service)
                assert len(await service.list_pending()) == len(made) + 2 * PARTITIONS
            assert await present(service) == []
            await assert_clean(service)

    asyncio.run(main())
