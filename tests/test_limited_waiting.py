"""Waiting for a limit: an interrupt that ends when one may create again, and is what the one who was refused needs."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import (
    AsyncRateLimiter,
    InterruptConfig,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    RateLimitConfig,
    RateLimits,
    connect,
)
from interrupts.rate_rules import CREATE
from projections import PROJECTIONS
from tests.conftest import until_expired
from tests.limited_process import RETRY_MAX_S, create, logged, only
from tests.only_folding import running
from tests.test_limited_exhausted import check
from tests.view_standing import until_folded

EXHAUSTED = InterruptKind.RESOURCE_EXHAUSTED
SOON = RateLimitConfig(60, 1_000, 10_000, 1)
"""One at once, and another after a second."""
WHO = ("r", "u", "s0")


@pytest.mark.parametrize("workers", [False, True], ids=["no worker", "a worker"])
def test_the_story_of_a_limit(url: str, namespace: str, workers: bool) -> None:
    """Refused, an interrupt to wait for; when it reads as expired, the creation passes. Again and again."""

    async def story(service: InterruptService) -> None:
        await create(service)
        for number in range(1, 3):
            said = await create(service, session=f"s{number}", on_limit="interrupt")
            check(said, 1)
            over = await until_expired(service, said.id)
            assert over.status is InterruptStatus.EXPIRED
            made = await create(service, session=f"s{number}", on_limit="interrupt")
            assert made.kind is InterruptKind.CONFIRMATION
        assert len(await logged(service)) == 3
        assert await service.expire_pending() == 2

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=SOON) as service:
            if not workers:
                return await story(service)
            async with running(service):
                await story(service)
                await until_folded(service, PROJECTIONS)
                assert (await service.counts()).of("pending") == 3
        return None

    asyncio.run(main())


def test_after_a_reset_or_other_limits_there_may_be_another(url: str, namespace: str) -> None:
    """What the user was told to wait for is forgotten with the reason for it."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(1)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(1)) as limiter,
        ):
            await create(service)
            said = [await create(service, on_limit="interrupt")]
            await limiter.reset("u")
            assert (await create(service, on_limit="interrupt")).kind is InterruptKind.CONFIRMATION
            said.append(await create(service, on_limit="interrupt"))
            await limiter.set_user_limits("u", RateLimitConfig(2, 2, 2, 2))
            assert (await create(service, on_limit="interrupt")).kind is InterruptKind.CONFIRMATION
            said.append(await create(service, on_limit="interrupt"))
            assert said[-1].data is not None
            assert said[-1].data["limit"] == 2
            assert len({one.id for one in said}) == 3

    asyncio.run(main())


def test_a_kind_that_is_used_up_for_an_hour_does_not_keep_others_waiting(url: str, namespace: str) -> None:
    """Who is refused by one limit is not told to wait for another: the deadline is when *this* creation may pass."""
    limits = RateLimits(SOON, {f"{CREATE}.checkpoint": RateLimitConfig(60, 1, 10, 1)})

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=limits) as service:
            await service.create_checkpoint(*WHO)
            long = await service.create_checkpoint(*WHO, on_limit="interrupt")
            assert long.data is not None
            assert long.data["limit_type"] == "hour"
            short = await create(service, on_limit="interrupt")
            while short.kind is not EXHAUSTED:
                short = await create(service, on_limit="interrupt")
            assert short.data is not None
            assert short.data["retry_after_seconds"] <= RETRY_MAX_S

    asyncio.run(main())


@pytest.mark.parametrize("end", ["respond", "cancel"])
def test_one_that_somebody_has_closed_is_not_what_others_get(url: str, namespace: str, end: str) -> None:
    """Who is refused gets something to wait for, not something that is over."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(1)) as service:
            await create(service)
            said = await create(service, on_limit="interrupt")
            if end == "respond":
                await service.respond(said.id, InterruptResponse(text="no"))
            else:
                await service.cancel(said.id)
            assert (await create(service, on_limit="interrupt")).status is InterruptStatus.PENDING

    asyncio.run(main())


def test_it_ends_whatever_the_kind_is_configured_as(url: str, namespace: str) -> None:
    """Its deadline is enforced, or nobody who waits for it would ever go on."""
    configs = {EXHAUSTED: InterruptConfig(default_ttl=None, auto_expire=False)}

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=SOON, configs=configs) as service:
            await create(service)
            said = await create(service, on_limit="interrupt")
            check(said, 1)
            (event,) = await service.history(said.id)
            assert event.terms.get("auto_expire", True)

    asyncio.run(main())
