"""The projection `rates`: which creations it counts, of whom, in which groups, and what an operator may forgive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from interrupts import AsyncRateLimiter, InterruptService, RateLimitConfig, RateLimits, connect
from interrupts.rate_rules import CREATE
from interrupts.scripts import Script
from interrupts.store.server import Server
from projections.counting import COUNT
from projections.rates import Rates
from projections.verify import verify
from tests.conftest import whole_log
from tests.following import ANYTHING, assert_right, by_hand, expected, fold_all, some_more
from tests.servers import sessions
from tests.tallies import fields_of, marks_of, now_ms, reserved

RATES = [Rates()]
PARTITIONS = 3
WIDE = RateLimitConfig(1_000, 10_000, 100_000, 1_000)
OF_CHECKPOINTS = f"{CREATE}.checkpoint"
LIMITS = RateLimits(WIDE, {OF_CHECKPOINTS: RateLimitConfig(3, 100, 1_000, 3)})


@asynccontextmanager
async def limited(url: str, namespace: str, limits: RateLimits = LIMITS) -> AsyncIterator[InterruptService]:
    """A service with limits, one of them for checkpoints."""
    async with connect(url, namespace=namespace, partitions=PARTITIONS, limits=limits) as service:
        yield service


async def used(url: str, namespace: str, user: str = "u") -> dict[str, tuple[int, int, int, int]]:
    """By group what a user has used of each window, and how much of it is reserved."""
    async with AsyncRateLimiter.connect(url, namespace=namespace, limits=LIMITS) as limiter:
        uses = await limiter.usage(user)
        return {use.group: (use.minute.used, use.hour.used, use.day.used, use.reserved) for use in uses}


async def settled(service: InterruptService) -> None:
    """What has been created is known to be in the log."""
    assert service._gate is not None
    await service._gate.drain()


def test_creations_of_all_sessions_are_counted_where_their_user_is(url: str, namespace: str) -> None:
    """Whatever partition they are in, and whatever becomes of them."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
            for session in sessions(service):
                one = await service.create_checkpoint("r", "u", session)
                await service.create_checkpoint("r", f"only {session}", session)
                await service.respond(one.id, ANYTHING)
            await some_more(service)
            await fold_all(service, RATES)
            await assert_right(service, RATES)
            assert (await used(url, namespace))[CREATE][:3] == (PARTITIONS + 1,) * 3

    asyncio.run(main())


def test_a_kind_is_counted_in_a_group_of_its_own_where_its_event_says_so(url: str, namespace: str) -> None:
    """Made without limits it counts among all; made where checkpoints have a limit, in theirs, too."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as plain:
            for number in range(4):
                await plain.create_checkpoint("r", "u", f"s{number}")
            async with limited(url, namespace) as service:
                for number in range(2):
                    await service.create_checkpoint("r", "u", f"s{number}")
                    await service.create_timeout("r", "u", f"s{number}", "op", 1)
                await settled(service)
            await fold_all(plain, RATES)
            await assert_right(plain, RATES)
            assert await used(url, namespace) == {CREATE: (8, 8, 8, 0), OF_CHECKPOINTS: (2, 2, 2, 0)}

    asyncio.run(main())


def test_what_is_exempt_is_not_counted(url: str, namespace: str) -> None:
    """The interrupt that says that a user has to wait is in the log, and in nobody's counts."""

    async def main() -> None:
        async with limited(url, namespace) as service:
            made = [
                await service.create_interrupt("checkpoint", "r", "u", f"s{number}", on_limit="interrupt")
                for number in range(5)
            ]
            assert [one.kind.value for one in made] == ["checkpoint"] * 3 + ["resource_exhausted"] * 2
            assert [event.terms.get("counted") for event in await whole_log(service)].count(()) == 1
            await settled(service)
            await fold_all(service, RATES)
            await assert_right(service, RATES)
            assert await used(url, namespace) == {CREATE: (3, 3, 3, 0), OF_CHECKPOINTS: (3, 3, 3, 0)}

    asyncio.run(main())


def test_reservations_become_counts_when_the_log_is_folded(url: str, namespace: str) -> None:
    """What is used is the same before, between and after, creation by creation."""

    async def main() -> None:
        async with limited(url, namespace) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            for number in range(1, 13):
                await service.create_timeout("r", "u", f"s{number}", "op", 1)
                await settled(service)
                assert (await used(url, namespace))[CREATE][:3] == (number,) * 3
                if number % 4 == 0:
                    assert len(await reserved(service, "u")) == 4
                    await hand.all()
                    assert await reserved(service, "u") == {}
                    assert await used(url, namespace) == {CREATE: (number, number, number, 0)}
                    await assert_right(service, RATES)

    asyncio.run(main())


def test_reset_forgives_what_was_created_before_and_the_counts_stay_the_log_s(url: str, namespace: str) -> None:
    """Counted before the reset, or after it; what is created later counts."""

    async def main() -> None:
        async with limited(url, namespace) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            for folded_before in (True, False):
                for number in range(3):
                    await service.create_checkpoint("r", "u", f"s{number}")
                await settled(service)
                if folded_before:
                    await hand.all()
                async with AsyncRateLimiter.connect(url, namespace=namespace, limits=LIMITS) as limiter:
                    assert await limiter.reset("u") == 2
                assert await used(url, namespace) == {}
                await hand.all()
                assert await used(url, namespace) == {}
                await assert_right(service, RATES)
                assert (await verify(service, ["rates"])).differences == []
            await service.create_checkpoint("r", "u", "s")
            await settled(service)
            await hand.all()
            assert await used(url, namespace) == {CREATE: (1, 1, 1, 0), OF_CHECKPOINTS: (1, 1, 1, 0)}
            await assert_right(service, RATES)

    asyncio.run(main())


def test_reset_forgives_what_nothing_is_known_of_yet(url: str, namespace: str) -> None:
    """Creations of a service without limits, which reserves nothing, that are folded after the reset."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
            for number in range(3):
                await service.create_checkpoint("r", "u", f"s{number}")
            async with AsyncRateLimiter.connect(url, namespace=namespace, limits=LIMITS) as limiter:
                await limiter.reset("u")
            await fold_all(service, RATES)
            assert await used(url, namespace) == {}
            await assert_right(service, RATES)

    asyncio.run(main())


def test_a_step_without_creations_counts_nothing(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions that have nothing to count are not asked, and those of other users are not either."""
    asked: list[set[str]] = []
    run = Server.run

    async def running_(
        server: Server, script: Script, slot: int, keys: Sequence[str], args: Any, **options: Any
    ) -> Any:
        if script is COUNT:
            asked.append({key.rpartition(":")[2] for key in keys})
        return await run(server, script, slot, keys, args, **options)

    monkeypatch.setattr(Server, "run", running_)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            one = await service.create_checkpoint("r", "u", "s")
            await hand.all()
            await service.cancel(one.id)
            await hand.all()
            assert asked == [{"counted", "u"}]
            assert [len(await marks_of(service, target)) for target in range(PARTITIONS)].count(1) == 1

    asyncio.run(main())


def test_what_was_created_more_than_a_day_ago_makes_no_keys(url: str, namespace: str) -> None:
    """An old log is folded for the first time: it counts what is in a window, and keeps nothing for ever."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            for user in ("old", "new"):
                await service.create_checkpoint("r", user, "s")
            keys, server = service.store.keys, service.store.server
            (_, old), (new_id, new) = await server.command(keys.slots[0], "XRANGE", keys.logs[0], "-", "+")
            await server.command(keys.slots[0], "DEL", keys.logs[0], writes=True)
            ms = await now_ms(service) - 25 * 3_600_000
            for stream_id, event in ((f"{ms}-0", old), (new_id, new)):
                await server.command(keys.slots[0], "XADD", keys.logs[0], stream_id, *event, writes=True)
            await fold_all(service, RATES)
            assert await fields_of(service, "old") == {}
            assert list(await expected(service, RATES)) == [("rates", 0)]
            assert (await used(url, namespace, "new"))[CREATE][2] == 1
            assert await server.command(keys.slots[0], "PTTL", keys.rates[0] + "new") > 24 * 3_600_000
            different = (await verify(service, ["rates"])).differences
            assert {one.what for one in different} == {"interrupt"}  # its own key has another time than its event now

    asyncio.run(main())
