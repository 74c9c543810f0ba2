"""Creating under a limit: exactly so many pass, whoever creates, in however many sessions and processes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from interrupts import (
    AsyncRateLimiter,
    InterruptService,
    RateLimitConfig,
    RateLimitedError,
    RateLimits,
    ValidationError,
    connect,
)
from interrupts.rate_rules import CREATE
from projections import PROJECTIONS
from tests.conftest import whole_log
from tests.limited_process import (
    RETRY_MAX_S,
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
from tests.view_standing import until_folded
from tests.worker_process import workers_running
from workers import running

LIMIT, TRIES, SERVICES, PROCESSES = 20, 60, 3, 4
WORKERS = ["no worker", "a worker", "a late worker"]


def check_refusal(refusal: RateLimitedError, limit: int, limit_type: str = "minute") -> None:
    """It says which limit holds, and until when."""
    result = refusal.result
    assert result is not None
    assert (result.allowed, result.exceeded, result.limit, refusal.http_status) == (False, True, limit, 429)
    assert result.limit_type in (limit_type, "burst")
    assert result.current_count == limit
    assert 0 < refusal.retry_after_seconds == result.retry_after_seconds
    if limit_type == "minute":
        assert result.retry_after_seconds <= RETRY_MAX_S


async def several(stack: AsyncExitStack, url: str, namespace: str, **options: Any) -> list[InterruptService]:
    """Some services on the same namespace."""
    return [await stack.enter_async_context(connect(url, namespace=namespace, **options)) for _ in range(SERVICES)]


@pytest.mark.parametrize("workers", WORKERS)
def test_exactly_as_many_pass_as_the_limit_allows(url: str, namespace: str, workers: str) -> None:
    """Of many creations at once, in many sessions and from several services, exactly the limit passes; of those that
    come later none, whether and whenever somebody folds."""

    async def main() -> None:
        async with (
            AsyncExitStack() as stack,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(LIMIT)) as limiter,
        ):
            services = await several(stack, url, namespace, limits=only(LIMIT))
            if workers == "a worker":
                await stack.enter_async_context(running(services[0]))
            made, refused = await create_many(services, TRIES)
            assert (len(made), len(refused)) == (LIMIT, TRIES - LIMIT)
            for refusal in refused:
                check_refusal(refusal, LIMIT)
            late = stack.enter_async_context(running(services[1])) if workers == "a late worker" else asyncio.sleep(0)
            (nothing, refused), _ = await asyncio.gather(create_many(services, TRIES), late)
            assert (nothing, len(refused)) == ([], TRIES)
            assert {event.interrupt_id for event in await whole_log(services[0])} == {one.id for one in made}
            await settled(*services)
            if workers != "no worker":
                await until_folded(services[0], PROJECTIONS)
            assert await used(limiter) == (LIMIT, LIMIT, LIMIT)
            await create_many(services, 5)
            assert await used(limiter) == (LIMIT, LIMIT, LIMIT)

    asyncio.run(main())


@pytest.mark.parametrize("workers", [0, 2])
def test_exactly_as_many_pass_in_several_processes(shared_server: RedisServer, namespace: str, workers: int) -> None:
    """Four processes at once share one limit."""

    async def main() -> None:
        async with (
            connect(shared_server.url, namespace=namespace) as service,
            AsyncRateLimiter.connect(shared_server.url, namespace=namespace, limits=only(LIMIT)) as limiter,
        ):
            assert len(await logged(service)) == LIMIT
            assert await used(limiter) == (LIMIT, LIMIT, LIMIT)
            if workers:
                await until_folded(service)
                assert await reserved(limiter) == 0
                assert await used(limiter) == (LIMIT, LIMIT, LIMIT)

    with workers_running(shared_server.url, namespace, workers):
        creators = [process(shared_server.url, namespace, only(LIMIT), TRIES) for _ in range(PROCESSES)]
        try:
            for creator in creators:
                assert creator.ready() == "ready"
            for creator in creators:
                begin(creator)
            outcomes = [told(creator) for creator in creators]
            assert sum(len(outcome["made"]) for outcome in outcomes) == LIMIT
            assert sum(outcome["refused"] for outcome in outcomes) == PROCESSES * TRIES - LIMIT
            asyncio.run(main())
            for creator in creators:
                creator.leave()
        finally:
            for creator in creators:
                creator.end()


@pytest.mark.parametrize(
    ("limits", "limit_type"),
    [
        (RateLimitConfig(100, 7, 1_000, 100), "hour"),
        (RateLimitConfig(100, 1_000, 7, 100), "day"),
        (RateLimitConfig(100, 1_000, 1_000, 7), "burst"),
        (RateLimitConfig(7, 7, 7, 7), "day"),
    ],
    ids=["hour", "day", "burst", "all"],
)
def test_every_sort_of_limit_holds(url: str, namespace: str, limits: RateLimitConfig, limit_type: str) -> None:
    """Of an hour, a day, and at once; the refusal names the limit that holds longest."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=limits) as service:
            made, refused = await create_many([service], 20)
            assert len(made) == 7
            for refusal in refused:
                check_refusal(refusal, 7, limit_type)
            assert len(await logged(service)) == 7

    asyncio.run(main())


def test_a_refused_creation_writes_and_uses_nothing(url: str, namespace: str) -> None:
    """The log, the interrupt's place and the counts are as they were before."""

    async def main() -> None:
        limits = only(1)
        async with (
            connect(url, namespace=namespace, limits=limits) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as limiter,
        ):
            made = await create(service)
            await settled(service)
            before = await limiter.usage("u")
            _, refused = await create_many([service], 10)
            with pytest.raises(RateLimitedError, match=r"'u' may not create .* Nothing was written"):
                await create(service, session="s1", idempotency_key="k")
            (use,), (was,) = await limiter.usage("u"), before
            assert len(refused) == 10
            assert (use.minute.used, use.hour.used, use.day.used, use.burst.used, use.reserved) == (1, 1, 1, 1, 1)
            assert was.minute.used == 1
            assert [event.interrupt_id for event in await whole_log(service)] == [made.id]

    asyncio.run(main())


def test_other_users_and_services_without_limits_are_not_affected(url: str, namespace: str) -> None:
    """A limit is each user's own, and only of services that have it. What is made without a limit counts once it is
    folded, and is then used of the limit of the others."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(3)) as limited,
            connect(url, namespace=namespace) as free,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(3)) as limiter,
        ):
            assert len((await create_many([limited], 5, "u"))[0]) == 3
            assert len((await create_many([limited], 5, "v"))[0]) == 3
            assert len((await create_many([free], 5, "u"))[0]) == 5
            assert len((await create_many([free], 5, "w"))[0]) == 5
            async with running(free):
                await until_folded(free, PROJECTIONS)
                assert [await used(limiter, user) for user in ("u", "v", "w")] == [(8,) * 3, (3,) * 3, (5,) * 3]
                assert len((await create_many([limited], 1, "w"))[1]) == 1
                assert len((await create_many([free], 5, "w"))[0]) == 5

    asyncio.run(main())


def test_everything_but_creating_is_not_limited(url: str, namespace: str) -> None:
    """Answers, cancellations, reads and lists go on when nothing may be created any more."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(2)) as service, running(service):
            (first, second), _ = await create_many([service], 5)
            for _ in range(5):
                assert await service.get_interrupt(first.id) == first
                assert len(await service.list_pending("u")) == 2
            assert await service.cancel(first.id)
            assert await service.cancel(second.id)
            assert len((await create_many([service], 2))[1]) == 2

    asyncio.run(main())


@pytest.mark.parametrize("limits", [7, "60", {}, {CREATE: only(1)}, RateLimitConfig, [only(1)]], ids=repr)
def test_what_is_no_limit_is_refused_by_name(limits: Any, namespace: str) -> None:
    """Before anything is started."""

    async def main() -> None:
        with pytest.raises(ValidationError) as refused:
            async with connect("redis://127.0.0.1:1", namespace=namespace, limits=limits):
                pass
        assert refused.value.field == "limits"
        with pytest.raises(ValidationError) as refused:
            InterruptService(limits=limits)
        assert refused.value.field == "limits"

    asyncio.run(main())


def test_a_service_made_directly_has_limits_too() -> None:
    """`InterruptService(limits=…)`, all in memory."""

    async def main() -> None:
        for limits in (only(2), RateLimits(only(2))):
            made, refused = await create_many([InterruptService(limits=limits)], 5)
            assert (len(made), len(refused)) == (2, 3)

    asyncio.run(main())
