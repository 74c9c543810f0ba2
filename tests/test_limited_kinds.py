"""Limits by kind, by group and by user: a creation counts wherever it belongs, or nowhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import (
    AsyncRateLimiter,
    ConflictError,
    EndpointLimit,
    FlowInterrupt,
    InterruptKind,
    InterruptService,
    RateLimitConfig,
    RateLimitedError,
    RateLimits,
    connect,
)
from interrupts.rate_rules import CREATE
from projections import PROJECTIONS
from tests.folding import by_hand
from tests.limited_process import an_hour, create_many, logged, only, reserved, settled, used
from tests.view_standing import until_folded
from workers import running

KIND = f"{CREATE}.checkpoint"
CHECKPOINT, TIMEOUT = InterruptKind.CHECKPOINT, InterruptKind.TIMEOUT
NOTHING = (0, 0, 0)


async def make(service: InterruptService, kind: InterruptKind, count: int = 1, **options: Any) -> list[FlowInterrupt]:
    """Those of so many creations of a kind, at once and each in a session of its own, that passed."""
    calls = (service.create_interrupt(kind, "r", "u", f"s{n}", **options) for n in range(count))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, FlowInterrupt | RateLimitedError) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, FlowInterrupt)]


@pytest.mark.parametrize("fold", [False, True], ids=["not folded", "folded"])
def test_a_kind_with_its_own_limit_counts_in_both(url: str, namespace: str, fold: bool) -> None:
    """What is refused by one of them uses nothing of the other."""
    limits = RateLimits(only(6), {KIND: only(2)})

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=limits) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as limiter,
            by_hand(service) as worker,
        ):

            async def check(every: int, own: int) -> None:
                await settled(service)
                if fold:
                    await worker.fold()
                for endpoint, expected in ((CREATE, every), (KIND, own)):
                    assert await used(limiter, endpoint=endpoint) == (expected,) * 3
                    assert await reserved(limiter, endpoint=endpoint) == (0 if fold else expected)

            assert len(await make(service, CHECKPOINT, 5)) == 2
            await check(2, 2)
            with pytest.raises(RateLimitedError) as refused:
                await service.create_checkpoint("r", "u", "s")
            assert refused.value.result is not None
            assert refused.value.result.limit == 2
            assert len(await make(service, TIMEOUT, 3)) == 3
            await check(5, 2)
            assert len(await make(service, TIMEOUT, 3)) == 1
            await check(6, 2)
            with pytest.raises(RateLimitedError) as refused:
                await service.create_timeout("r", "u", "s", "o", 1.0)
            assert refused.value.result is not None
            assert refused.value.result.limit == 6
            assert await make(service, CHECKPOINT, 3) == []
            await check(6, 2)

    asyncio.run(main())


def test_what_is_refused_for_all_uses_nothing_of_the_kinds_own(url: str, namespace: str) -> None:
    """The other way round."""
    limits = RateLimits(only(2), {KIND: only(5)})

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=limits) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as limiter,
        ):
            await make(service, TIMEOUT, 2)
            assert await make(service, CHECKPOINT, 5) == []
            await settled(service)
            assert await used(limiter, endpoint=KIND) == NOTHING
            (use,) = await limiter.usage("u", KIND)
            assert use.burst.used == 0

    asyncio.run(main())


@pytest.mark.parametrize("fold", [False, True], ids=["not folded", "folded"])
def test_kinds_share_a_limit_that_patterns_give_to_a_group(url: str, namespace: str, fold: bool) -> None:
    """`interrupts.create.t*` and checkpoints count together, and in the one for all besides."""
    group = EndpointLimit(only(3), group="few")
    limits = RateLimits(only(5), {f"{CREATE}.t*": group, KIND: group})

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=limits) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as limiter,
            by_hand(service) as worker,
        ):
            both = await asyncio.gather(make(service, TIMEOUT, 4), make(service, CHECKPOINT, 4))
            assert sum(map(len, both)) == 3
            if fold:
                await worker.fold()
            await settled(service)
            assert len(await make(service, InterruptKind.CONFIRMATION, 4)) == 2
            await settled(service)
            if fold:
                await worker.fold()
            assert {use.group: use.minute.used for use in await limiter.usage("u")} == {CREATE: 5, "few": 3}
            assert await used(limiter, endpoint=f"{CREATE}.timeout") == (3, 3, 3)

    asyncio.run(main())


def test_one_group_for_all_creations_and_a_kind_counts_once(url: str, namespace: str) -> None:
    """A pattern that gives both to one group does not make a creation count twice."""
    limits = RateLimits(only(1), {f"{CREATE}*": EndpointLimit(only(3), group="all")})

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=limits) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as limiter,
            running(service),
        ):
            assert len(await make(service, CHECKPOINT, 5)) == 3
            await settled(service)
            await until_folded(service, PROJECTIONS)
            assert {use.group: use.day.used for use in await limiter.usage("u")} == {"all": 3}
            assert await make(service, TIMEOUT, 2) == []

    asyncio.run(main())


def test_limits_that_are_set_for_a_user_hold_at_once(url: str, namespace: str) -> None:
    """More or less than what holds for everybody, from the next creation on; and for nobody else."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=RateLimits(only(3), {KIND: only(1)})) as service,
            AsyncRateLimiter.connect(url, namespace=namespace) as limiter,
        ):
            assert len((await create_many([service], 5))[0]) == 3
            await limiter.set_user_limits("u", only(5))
            assert len((await create_many([service], 5))[0]) == 2
            await limiter.set_user_limits("u", only(4))
            _, refused = await create_many([service], 5)
            assert len(refused) == 5
            assert {(one.result.limit, one.result.config) for one in refused if one.result} == {(4, only(4))}
            await limiter.set_user_limits("u", only(9))
            assert len(await make(service, CHECKPOINT, 3)) == 3
            assert await limiter.remove_user_limits("u")
            assert len((await create_many([service], 5))[1]) == 5
            assert len((await create_many([service], 5, "v"))[0]) == 3
            assert len(await logged(service)) == 8

    asyncio.run(main())


@pytest.mark.parametrize("fold", [False, True], ids=["not folded", "folded"])
def test_a_limiter_sees_creations(url: str, namespace: str, fold: bool) -> None:
    """`usage` and `peek` of `interrupts.create` in the same namespace, before and after creations are folded; calls
    that a limiter lets in there are used of the same limit."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(4)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(4)) as limiter,
            by_hand(service) as worker,
        ):
            assert await used(limiter) == NOTHING
            for count in range(1, 4):
                assert (await limiter.peek("u", CREATE)).remaining == 4 - count
                await create_many([service], 1)
                await settled(service)
                if fold:
                    await worker.fold()
                assert await used(limiter) == (count, count, count)
                assert await reserved(limiter) == (0 if fold else count)
            assert (await limiter.check_rate_limit("u", CREATE)).allowed
            refused = await limiter.peek("u", CREATE)
            assert (refused.allowed, refused.current_count, refused.limit) == (False, 4, 4)
            assert 0 < refused.retry_after_seconds <= 61
            assert len((await create_many([service], 3))[1]) == 3
            assert not (await limiter.peek("u", CREATE)).allowed
            assert not (await limiter.check_rate_limit("u", CREATE)).allowed
            assert await used(limiter) == (4, 4, 4)

    asyncio.run(main())


@pytest.mark.parametrize("endpoint", [None, CREATE], ids=["everywhere", "there"])
def test_after_a_reset_as_many_pass_again(url: str, namespace: str, endpoint: str | None) -> None:
    """Whether what was made before is folded before or after it."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(3)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(3)) as limiter,
            by_hand(service) as worker,
        ):
            assert len((await create_many([service], 5))[0]) == 3
            await worker.fold()
            assert await limiter.reset("u", endpoint) == 1
            assert len((await create_many([service], 5))[0]) == 3
            await settled(service)
            assert await used(limiter) == (3, 3, 3)
            assert await limiter.reset("u", endpoint) == 1
            await worker.fold()
            assert await used(limiter) == NOTHING
            assert len((await create_many([service], 5))[0]) == 3
            await settled(service)
            await worker.fold()
            assert await used(limiter) == (3, 3, 3)
            assert len(await logged(service)) == 9

    asyncio.run(main())


def test_the_limits_of_services_may_differ(url: str, namespace: str) -> None:
    """In the middle of a deployment each service keeps to its own, of what all have made."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(2)) as old,
            connect(url, namespace=namespace, limits=RateLimitConfig(5, 5, 5, 5)) as new,
        ):
            assert len((await create_many([old], 4))[0]) == 2
            assert len((await create_many([new], 4))[0]) == 3
            assert len((await create_many([old, new], 4))[1]) == 4

    asyncio.run(main())


@pytest.mark.parametrize("fold", [False, True], ids=["not folded", "folded"])
@pytest.mark.parametrize("there", [0, 2])
def test_a_key_of_one_kind_used_for_another_changes_no_count(url: str, namespace: str, fold: bool, there: int) -> None:
    """It is a conflict, and uses nothing where only the other kind counts; nor does it take away what is used there."""
    limits = RateLimits(an_hour(50), {KIND: an_hour(3)})

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=limits) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as limiter,
            by_hand(service) as worker,
        ):
            await service.create_timeout("r", "u", "keyed", "o", 1.0, idempotency_key="k")
            await make(service, CHECKPOINT, there)
            for _ in range(3):
                await settled(service)
                if fold:
                    await worker.fold()
                assert await used(limiter, endpoint=KIND) == (there,) * 3
                assert await used(limiter) == (there + 1,) * 3
                with pytest.raises(ConflictError):
                    await service.create_checkpoint("r", "u", "keyed", idempotency_key="k")
            await settled(service)
            await make(service, CHECKPOINT, 5)
            assert sum(event.kind is CHECKPOINT for event in await logged(service)) == 3

    asyncio.run(main())
