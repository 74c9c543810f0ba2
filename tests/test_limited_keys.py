"""Idempotency keys under a limit: a repetition is the first interrupt, and uses nothing."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import AsyncRateLimiter, ConflictError, InterruptService, RateLimitConfig, RateLimitedError, connect
from projections import PROJECTIONS
from tests.conftest import whole_log
from tests.folding import by_hand
from tests.limited_process import an_hour, create, create_many, logged, only, settled, used
from tests.view_standing import until_folded
from workers import running

FOLDS = pytest.mark.parametrize("fold", [False, True], ids=["not folded", "folded"])
AT_ONCE = 20


@FOLDS
def test_a_repetition_is_the_first_also_when_the_limit_is_used_up(url: str, namespace: str, fold: bool) -> None:
    """From any service; what is used stays as it is."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(3)) as service,
            connect(url, namespace=namespace, limits=only(3)) as another,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(3)) as limiter,
            by_hand(service) as worker,
        ):
            first = await create(service, idempotency_key="k")
            assert len((await create_many([service], 5))[0]) == 2
            await settled(service)
            for _ in range(3):
                if fold:
                    await worker.fold()
                for one in (service, another):
                    assert await create(one, idempotency_key="k") == first
                    await settled(one)
                    assert await used(limiter) == (3, 3, 3)
            cancelled = await service.cancel(first.id)
            assert await create(another, idempotency_key="k") == cancelled
            assert len(await logged(service)) == 3

    asyncio.run(main())


@FOLDS
def test_repetitions_leave_the_limit_to_others(url: str, namespace: str, fold: bool) -> None:
    """However often one creation was repeated, the others that the limit allows pass: at once, too."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(5)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(5)) as limiter,
            by_hand(service) as worker,
        ):
            first = await create(service, idempotency_key="k")
            for _ in range(10):
                await settled(service)
                if fold:
                    await worker.fold()
                assert await create(service, idempotency_key="k") == first
                await settled(service)
                assert await used(limiter) == (1, 1, 1)
            assert len((await create_many([service], 9))[0]) == 4

    asyncio.run(main())


@pytest.mark.parametrize("workers", [False, True], ids=["no worker", "a worker"])
def test_concurrent_creations_with_one_key_are_one(url: str, namespace: str, workers: bool) -> None:
    """One interrupt, one used, also where the limit is one."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(1)) as one,
            connect(url, namespace=namespace, limits=only(1)) as two,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(1)) as limiter,
        ):

            async def rounds() -> None:
                for _ in range(3):
                    made = await asyncio.gather(*(create(each, idempotency_key="k") for each in [one, two] * AT_ONCE))
                    assert len({interrupt.id for interrupt in made}) == 1
                await settled(one, two)
                assert await used(limiter) == (1, 1, 1)
                assert len(await whole_log(one)) == 1
                assert len((await create_many([one, two], 4))[1]) == 4

            if workers:
                async with running(one):
                    await rounds()
                    await until_folded(one, PROJECTIONS)
                    assert await used(limiter) == (1, 1, 1)
            else:
                await rounds()

    asyncio.run(main())


@FOLDS
def test_another_body_under_a_key_is_a_conflict_and_uses_nothing(url: str, namespace: str, fold: bool) -> None:
    """Whether there is something left of the limit or not."""

    async def conflict(service: InterruptService) -> None:
        with pytest.raises(ConflictError) as refused:
            await create(service, idempotency_key="k", envelope_id="other")
        assert refused.value.code == "idempotency"
        await settled(service)

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(3)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(3)) as limiter,
            by_hand(service) as worker,
        ):
            await create(service, idempotency_key="k")
            await settled(service)
            if fold:
                await worker.fold()
            await conflict(service)
            assert await used(limiter) == (1, 1, 1)
            await create_many([service], 2)
            await conflict(service)
            assert len(await logged(service)) == 3
            assert await used(limiter) == (3, 3, 3)

    asyncio.run(main())


def test_of_concurrent_bodies_under_one_key_one_wins_and_is_used(url: str, namespace: str) -> None:
    """The others are conflicts, not refusals."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(2)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(2)) as limiter,
        ):
            calls = (create(service, idempotency_key="k", envelope_id=f"e{n % 4}") for n in range(AT_ONCE))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            conflicts = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
            assert len(conflicts) == AT_ONCE * 3 // 4
            await settled(service)
            assert len(await logged(service)) == 1
            assert await used(limiter) == (1, 1, 1)

    asyncio.run(main())


def test_a_key_that_was_refused_can_pass_later(url: str, namespace: str) -> None:
    """Nothing is remembered of it but that it was not made."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(2)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(2)) as limiter,
        ):
            await create_many([service], 2)
            for _ in range(2):
                with pytest.raises(RateLimitedError):
                    await create(service, idempotency_key="k", session="s1")
            await limiter.reset("u")
            made = await create(service, idempotency_key="k", session="s1", envelope_id="other")
            assert await create(service, idempotency_key="k", session="s1", envelope_id="other") == made
            await settled(service)
            assert await used(limiter) == (1, 1, 1)

    asyncio.run(main())


@FOLDS
def test_the_key_of_another_user_in_the_session_is_a_conflict(url: str, namespace: str, fold: bool) -> None:
    """Keys belong to sessions: who uses another's is told so, and uses nothing of their own limit or the other's. Not
    even when there is nothing left of it."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(2)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(2)) as limiter,
            by_hand(service) as worker,
        ):

            async def conflict(**used_by: int) -> None:
                with pytest.raises(ConflictError) as refused:
                    await create(service, "v", idempotency_key="k")
                assert refused.value.interrupt is not None
                assert refused.value.interrupt.user_id == "u"
                await settled(service)
                for user, number in used_by.items():
                    assert await used(limiter, user) == (number,) * 3

            await create(service, "u", idempotency_key="k")
            await settled(service)
            if fold:
                await worker.fold()
            await conflict(u=1, v=0)
            await create_many([service], 2, "v")
            await conflict(u=1, v=2)

    asyncio.run(main())


def test_conflicts_leave_the_limit_to_others(url: str, namespace: str) -> None:
    """Creations that were refused because of another's key leave all of the limit, at once, too."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(3)) as service:
            await create(service, "u", idempotency_key="k")
            for _ in range(5):
                with pytest.raises(ConflictError):
                    await create(service, "v", idempotency_key="k")
                await settled(service)
            assert len((await create_many([service], 6, "v"))[0]) == 3

    asyncio.run(main())


@pytest.mark.parametrize("order", [(None, only(1)), (only(1), None)], ids=["then with", "then without"])
def test_a_key_outlives_a_change_of_the_limits(
    url: str, namespace: str, order: tuple[RateLimitConfig | None, RateLimitConfig | None]
) -> None:
    """What was made with a limit is found without one, and the other way round."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=order[0]) as service:
            first = await create(service, idempotency_key="k")
            await settled(service)
        async with connect(url, namespace=namespace, limits=order[1]) as service:
            assert await create(service, idempotency_key="k") == first
            assert len(await whole_log(service)) == 1

    asyncio.run(main())
