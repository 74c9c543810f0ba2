"""Creations that are appended later than they were let in for: refused, and let in anew."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interrupts import AsyncRateLimiter, RateLimitedError, connect
from interrupts.ids import new_id
from interrupts.store.log import TooLateError
from tests.conftest import whole_log
from tests.folding import by_hand
from tests.limited_process import Wire, an_hour, create, create_many, logged, settled, used
from tests.test_gate_refusals import refused_once

LIMIT = 3


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """What is between services and servers."""
    return Wire(monkeypatch)


@pytest.fixture
def late(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets so many appends come after their time."""

    def for_so_many(times: int) -> None:
        last = wire.ran["append"] + times - 1

        async def before() -> None:
            if wire.ran["append"] >= last:
                monkeypatch.setattr("interrupts.store.tallies.RESERVATION_MAX_S", 30.0)

        wire.before["append"] = before
        monkeypatch.setattr("interrupts.store.tallies.RESERVATION_MAX_S", -1.0)

    return for_so_many


def test_what_comes_too_late_is_not_appended(url: str, namespace: str) -> None:
    """An append with a time that is past is refused; one whose interrupt is there is told so, however late."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            made = await create(service)
            log = service.store
            there = (await log.read(made.id)).there
            for _ in range(2):
                late, found, in_time = await asyncio.gather(
                    log.append(new_id("s0"), b"{}", "new 1"),
                    log.append(made.id, b"{}", "new 1"),
                    log.append(new_id("s1"), b"{}", "new 99999999999999"),
                    return_exceptions=True,
                )
                assert isinstance(late, TooLateError)
                assert not late.may_have_happened
                assert not isinstance(found, BaseException)
                assert not isinstance(in_time, BaseException)
                assert (found.sequence, found.there) == (0, there)
                assert in_time.sequence > 0
            assert [event.interrupt_id for event in await service.log.range(service.log.partition_of("s0"))] == [
                made.id
            ]

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 2])
def test_after_being_late_it_is_let_in_anew(
    url: str, namespace: str, wire: Wire, late: Callable[[int], None], times: int
) -> None:
    """And counts once."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
            by_hand(service) as worker,
        ):
            late(times)
            await create(service)
            await settled(service)
            assert wire.ran["reserve"] == wire.ran["append"] == 1 + times
            assert await used(limiter) == (1, 1, 1)
            await worker.fold()
            assert await used(limiter) == (1, 1, 1)
            assert len((await create_many([service], 2 * LIMIT))[0]) == LIMIT - 1

    asyncio.run(main())


def test_what_is_always_late_is_refused_in_the_end(url: str, namespace: str, late: Callable[[int], None]) -> None:
    """With nothing written and nothing used."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
        ):
            for _ in range(2 * LIMIT):
                late(100)
                await refused_once(service, TooLateError)
            assert await used(limiter) == (0, 0, 0)
            assert await whole_log(service) == []

    asyncio.run(main())


def test_who_was_late_may_find_the_limit_used_up(
    url: str, namespace: str, wire: Wire, late: Callable[[int], None]
) -> None:
    """What was given back goes to whoever comes first."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(1)) as service,
            connect(url, namespace=namespace, limits=an_hour(1)) as quick,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(1)) as limiter,
        ):
            late(1)
            first: Callable[[], Awaitable[Any]] = wire.before.pop("append")

            async def overtaken() -> None:
                await limiter.reset("u")
                await first()
                wire.mend()
                await create(quick, session="s1")

            wire.before["append"] = overtaken
            with pytest.raises(RateLimitedError):
                await create(service)
            await settled(service, quick)
            assert len(await logged(service)) == 1
            assert await used(limiter) == (1, 1, 1)

    asyncio.run(main())
