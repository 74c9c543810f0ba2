"""The gate when replies are lost and callers leave: never more than the limit in the log, nothing lost for long."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import AsyncRateLimiter, InterruptKind, RateLimitConfig, RateLimitedError, UnavailableError, connect
from interrupts.store.lanes import UnreachableError
from tests.conftest import World
from tests.folding import by_hand
from tests.limited_process import Wire, an_hour, create, create_many, logged, only, reserved, settled, used

LIMIT = 5


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """What is between services and servers."""
    return Wire(monkeypatch)


@pytest.mark.parametrize("lost", ["reserve", "append", "settle"])
@pytest.mark.parametrize("limits", [an_hour(LIMIT), only(LIMIT), only(1)], ids=["an hour", "at once", "one"])
def test_a_lost_reply_loses_nobody_anything(
    url: str, namespace: str, wire: Wire, lost: str, limits: RateLimitConfig
) -> None:
    """The call is made again: each caller gets an interrupt, and all of the limit can be used, no more."""

    limit = min(limits.requests_per_minute, limits.requests_per_hour)

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=limits) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as limiter,
            by_hand(service) as worker,
        ):
            for number in range(limit):
                wire.lose(lost, 2)
                made = await create(service, session=f"s{number}")
                assert await service.get_interrupt(made.id) == made
                await settled(service)
                assert await used(limiter) == (number + 1,) * 3
            wire.mend()
            assert len((await create_many([service], 3))[1]) == 3
            await worker.fold()
            assert await used(limiter) == (limit,) * 3
            assert await reserved(limiter) == 0
            assert len(await logged(service)) == limit

    asyncio.run(main())


@pytest.mark.parametrize("lost", ["reserve", "append", "settle"])
def test_lost_replies_of_many_at_once(url: str, namespace: str, wire: Wire, lost: str) -> None:
    """A whole batch is sent again: exactly the limit passes."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as one,
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as two,
        ):
            wire.lose(lost, 3)
            made, _ = await create_many([one, two], 4 * LIMIT)
            assert len(made) == len(await logged(one)) == LIMIT

    asyncio.run(main())


@pytest.mark.parametrize("lost", ["reserve", "append"])
@pytest.mark.parametrize("times", [1, 3])
def test_who_gave_up_can_repeat_it(url: str, namespace: str, wire: Wire, lost: str, times: int) -> None:
    """The caller hears that it may have happened; the same key again gives the interrupt and counts once."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT), call_timeout_s=0.05) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
            by_hand(service) as worker,
        ):
            for _ in range(times):
                wire.lose(lost, 100)
                with pytest.raises(UnavailableError) as away:
                    await create(service, idempotency_key="k")
                assert away.value.may_have_happened
                wire.mend()
                assert await used(limiter) == (1, 1, 1)
            made = await create(service, idempotency_key="k")
            await settled(service)
            assert [event.interrupt_id for event in await logged(service)] == [made.id]
            assert await used(limiter) == (1, 1, 1)
            assert len((await create_many([service], 2 * LIMIT))[0]) == LIMIT - 1
            await settled(service)
            await worker.fold()
            assert (await used(limiter), await reserved(limiter)) == ((LIMIT,) * 3, 0)

    asyncio.run(main())


def test_a_creation_that_was_not_sent_is_given_back(url: str, namespace: str, wire: Wire) -> None:
    """The caller hears that nothing was written, and what is used is what it was."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT), call_timeout_s=0.05) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
        ):
            await create(service)
            for _ in range(3):
                wire.cut("append", 100)
                with pytest.raises(UnavailableError) as away:
                    await create(service)
                assert not away.value.may_have_happened
                wire.mend()
                await settled(service)
                assert await used(limiter) == (1, 1, 1)

    asyncio.run(main())


def test_what_may_be_in_the_log_is_not_given_back_by_a_repetition(url: str, namespace: str, wire: Wire) -> None:
    """The first attempt was appended and its reply lost; the second, with the same key, is not even sent. That says
    nothing of the first: it counts, and no more than the limit gets into the log."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT), call_timeout_s=0.05) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
        ):
            wire.lose("append", 100)
            with pytest.raises(UnavailableError):
                await create(service, idempotency_key="k")
            wire.mend()
            wire.cut("append", 100)
            with pytest.raises(UnavailableError):
                await create(service, idempotency_key="k")
            wire.mend()
            await settled(service)
            assert len(await logged(service)) == 1
            assert await used(limiter) == (1, 1, 1)
            await create_many([service], 2 * LIMIT)
            assert len(await logged(service)) <= LIMIT

    asyncio.run(main())


def test_what_another_is_about_to_append_is_not_given_back(url: str, namespace: str, wire: Wire) -> None:
    """Two services with the same key at once, one of which fails for good: the other's creation counts all the same."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as slow,
            connect(url, namespace=namespace, limits=an_hour(LIMIT), call_timeout_s=0.05) as failing,
        ):
            come, go = wire.hold("append")
            first = asyncio.ensure_future(create(slow, idempotency_key="k"))
            await come.wait()
            wire.cut("append", 100)
            with pytest.raises(UnavailableError):
                await create(failing, idempotency_key="k")
            wire.mend()
            await settled(failing)
            made, _ = await create_many([failing], 2 * LIMIT)
            go.set()
            made.append(await first)
            assert len(await logged(slow)) == len(made) == LIMIT

    asyncio.run(main())


def test_what_another_has_appended_is_not_given_back(url: str, namespace: str, wire: Wire) -> None:
    """The other way round: the first fails for good when the second, with the same key, is in the log."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT), call_timeout_s=0.05) as failing,
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as quick,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
        ):
            come, go = wire.hold("append")
            held = wire.before["append"]

            async def held_and_cut() -> None:
                await held()
                raise UnreachableError("the test wants it so", sent=False)

            wire.before["append"] = held_and_cut
            first = asyncio.ensure_future(create(failing, idempotency_key="k"))
            await come.wait()
            wire.mend()
            wire.cut("settle", 1)
            await create(quick, idempotency_key="k")
            wire.before["append"] = held_and_cut
            go.set()
            with pytest.raises(UnavailableError):
                await first
            wire.mend()
            await settled(failing, quick)
            assert len(await logged(quick)) == 1
            assert await used(limiter) == (1, 1, 1)
            await create_many([quick], 2 * LIMIT)
            assert len(await logged(quick)) == LIMIT

    asyncio.run(main())


def test_a_lost_reply_announces_what_was_made_once(url: str, namespace: str, wire: Wire) -> None:
    """To the ports, an interrupt and one that says that the limit is used up, too."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(1), webhook_service=world) as service:
            wire.lose("append")
            await create(service)
            assert world.announced() == ["interrupt.confirmation_needed"]
            wire.lose("append")
            with pytest.raises(RateLimitedError):
                await create(service)
            exhausted = await create(service, on_limit="interrupt")
            assert exhausted.kind is InterruptKind.RESOURCE_EXHAUSTED
            assert world.announced() == ["interrupt.confirmation_needed", "interrupt.resource_exhausted"]

    asyncio.run(main())
