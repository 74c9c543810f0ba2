"""Processes that are killed while they create: the limit holds, and what the log has counts, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from interrupts import AsyncRateLimiter, InterruptKind, RateLimitConfig, connect
from tests.conftest import whole_log
from tests.folding import by_hand
from tests.limited_process import (
    begin,
    create,
    create_many,
    logged,
    only,
    process,
    reserved,
    settled,
    told,
    used,
)
from tests.servers import RedisServer
from tests.worker_process import Process

LIMIT, KILLED = 10, 3


@contextmanager
def ended(*processes: Process) -> Iterator[None]:
    """They are ready in the block, and gone after it."""
    try:
        for one in processes:
            assert one.ready() == "ready"
        yield
    finally:
        for one in processes:
            one.end()


def kill(url: str, namespace: str, limits: RateLimitConfig, count: int, moment: str, on_limit: str = "raise") -> None:
    """A process that creates, and dies at this moment."""
    victim = process(url, namespace, limits, count, moment=moment, on_limit=on_limit)
    with ended(victim):
        begin(victim)
        assert victim.popen.wait(20) == -9


@pytest.mark.parametrize(
    ("moment", "appended"),
    [
        ("reserve:before", 0),
        ("reserve:answered", 0),
        ("append:before", 0),
        ("append:answered", KILLED),
        ("settle:before", KILLED),
        ("settle:answered", KILLED),
    ],
)
def test_a_process_is_killed(shared_server: RedisServer, namespace: str, moment: str, appended: int) -> None:
    """What it had reserved counts on, whether it is in the log or not; what is in the log counts once."""
    kill(shared_server.url, namespace, only(LIMIT), KILLED, moment)
    held = 0 if moment == "reserve:before" else KILLED

    async def main() -> None:
        async with (
            connect(shared_server.url, namespace=namespace, limits=only(LIMIT)) as service,
            AsyncRateLimiter.connect(shared_server.url, namespace=namespace, limits=only(LIMIT)) as limiter,
            by_hand(service) as worker,
        ):
            assert len(await logged(service)) == appended
            assert await used(limiter) == (held,) * 3
            made, _ = await create_many([service], 2 * LIMIT)
            assert len(made) == LIMIT - held
            await settled(service)
            for _ in range(2):
                await worker.fold()
                assert await used(limiter) == (LIMIT,) * 3
                assert await reserved(limiter) == held - appended
                assert (await create_many([service], 5))[0] == []
            assert len(await logged(service)) == LIMIT - held + appended

    asyncio.run(main())


def test_some_of_several_processes_are_killed(shared_server: RedisServer, namespace: str) -> None:
    """At different moments, in the middle of others: the log never has more than the limit, the counts never less."""
    moments = ["reserve:answered", "append:answered", "", ""]
    creators = [process(shared_server.url, namespace, only(LIMIT), KILLED, moment=moment) for moment in moments]

    async def main() -> None:
        async with (
            connect(shared_server.url, namespace=namespace, limits=only(LIMIT)) as service,
            AsyncRateLimiter.connect(shared_server.url, namespace=namespace, limits=only(LIMIT)) as limiter,
            by_hand(service) as worker,
        ):
            await create_many([service], 2 * LIMIT)
            await settled(service)
            assert len(await logged(service)) <= LIMIT
            assert await used(limiter) == (LIMIT,) * 3
            await worker.fold()
            assert await used(limiter) == (LIMIT,) * 3
            assert len(await logged(service)) == LIMIT - await reserved(limiter) >= LIMIT - KILLED

    with ended(*creators):
        for creator in creators:
            begin(creator)
        for creator, moment in zip(creators, moments, strict=True):
            if not moment:
                assert told(creator)["refused"] <= KILLED
            else:
                assert creator.popen.wait(20) == -9
        asyncio.run(main())


@pytest.mark.parametrize("moment", ["claim:answered", "claim:before"])
def test_one_is_killed_before_it_says_that_the_limit_is_used_up(
    shared_server: RedisServer, namespace: str, moment: str
) -> None:
    """Between claiming an interrupt and appending it: the next one completes it, and it is there once."""

    async def main() -> None:
        limits = only(1)
        async with (
            connect(shared_server.url, namespace=namespace, limits=limits) as service,
            connect(shared_server.url, namespace=namespace, limits=limits) as another,
        ):
            first = await create(service)
            await asyncio.to_thread(kill, shared_server.url, namespace, limits, 1, moment, "interrupt")
            assert [event.interrupt_id for event in await whole_log(service)] == [first.id]
            said, _ = await create_many([service, another], 20, on_limit="interrupt")
            assert {one.kind for one in said} == {InterruptKind.RESOURCE_EXHAUSTED}
            assert len({one.id for one in said}) == 1
            assert len(await whole_log(service)) == 2
            # Sessions s1, s2, … ask here first; the killed one asked in s0.
            assert said[0].session_id == "s0" or moment == "claim:before"

    asyncio.run(main())
