"""The gate when callers leave, and when a service is closed: nothing is left behind that counts for long."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from interrupts import AsyncRateLimiter, connect
from interrupts.rate_rules import CREATE
from tests.folding import by_hand
from tests.limited_process import RETRY_MAX_S, Wire, an_hour, create, create_many, logged, reserved, settled, used
from tests.test_faults import TURNS

LIMIT = 5


@pytest.mark.parametrize("at", ["reserve", "append"])
def test_who_leaves_meanwhile_leaves_nothing_behind(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """A caller that is cancelled while its creation is let in, or on its way: once all is folded, what is used is
    what the log has."""
    wire = Wire(monkeypatch)

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
            by_hand(service) as worker,
        ):
            come, go = wire.hold(at)
            leaving = asyncio.ensure_future(create(service))
            await come.wait()
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            go.set()
            wire.mend()
            await settled(service)
            await worker.fold()
            there = len(await logged(service))
            assert there == (at == "append")
            assert (await used(limiter), await reserved(limiter)) == ((there,) * 3, 0)
            assert len((await create_many([service], 2 * LIMIT))[0]) == LIMIT - there

    asyncio.run(main())


def test_wherever_a_call_is_cut_off_the_limit_holds(url: str, namespace: str) -> None:
    """Callers are cancelled one turn of the loop later each time: never is less used than the log has, and once all is
    folded, no more."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(1_000)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(1_000)) as limiter,
            by_hand(service) as worker,
        ):
            leaks: list[int] = []
            for turn in range(2 * TURNS):
                call = asyncio.ensure_future(create(service, session=f"s{turn}"))
                for _ in range(turn):
                    await asyncio.sleep(0)
                call.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await call
                await settled(service)
                there = len(await logged(service))
                assert (await used(limiter))[2] >= there
                await worker.fold()
                if (await used(limiter))[2] != there + len(leaks):
                    leaks.append(turn)
            assert leaks == [], "turns after which something is used that is not in the log"

    asyncio.run(main())


def test_what_was_handed_over_is_done_at_the_end_of_the_block(url: str, namespace: str) -> None:
    """As without limits: creations that have begun when the service is closed are in the log, wherever they are; and
    each counts when it was."""

    async def closed_after(turns: int, **options: Any) -> int:
        async with connect(url, namespace=namespace, **options) as service:
            await create(service, f"v{turns}")
            calls = [asyncio.ensure_future(create(service, f"u{turns}", f"s{number}")) for number in range(LIMIT)]
            for _ in range(1 + turns):
                await asyncio.sleep(0)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        async with AsyncRateLimiter.connect(url, namespace=namespace) as limiter:
            (use,) = await limiter.usage(f"u{turns}", CREATE)
            assert use.minute.reset_after_seconds <= RETRY_MAX_S, turns
        return sum(not isinstance(outcome, Exception) for outcome in outcomes)

    for turns in range(TURNS):
        assert asyncio.run(closed_after(turns)) == LIMIT, turns
        assert asyncio.run(closed_after(turns, limits=an_hour(LIMIT))) == LIMIT, turns


def test_at_the_end_of_the_block_everything_is_settled(url: str, namespace: str) -> None:
    """A process that creates and ends, like a script, leaves exact counts: each creation when it was."""

    async def main() -> None:
        for number in range(3):
            async with connect(url, namespace=namespace, limits=an_hour(LIMIT)) as service:
                await create(service, session=f"s{number}")
        async with AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter:
            (use,) = await limiter.usage("u")
            assert use.minute.used == 3
            assert use.minute.reset_after_seconds <= RETRY_MAX_S

    asyncio.run(main())
