"""Who is measured: our limiter, the libraries `limits` and `throttled-py`, and a bare INCR, each as one plain check."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

from interrupts import AsyncRateLimiter, RateLimitConfig

PEERS: Final = {"limits": "limits", "throttled": "throttled-py"}
"""The modules, and the packages that bring them."""
IN_FLIGHT: Final = 512
PEERS_IN_FLIGHT: Final = 64
"""Where they are fastest. Each call has a connection to itself, and more than 100 exhaust their pool."""
ENDPOINT: Final = "/api/search"
PER_MINUTE: Final = 100_000
WIDE: Final = RateLimitConfig(PER_MINUTE, 100 * PER_MINUTE, 1_000 * PER_MINUTE, PER_MINUTE)
"""Limits that nobody reaches here."""

Check = Callable[[str], Awaitable[Any]]
"""One check of a user. A verdict that was not meant fails the benchmark."""


class Contender(NamedTuple):
    """Somebody who checks, and how many calls at once suit them."""

    name: str
    check: Check
    in_flight: int


def missing() -> list[str]:
    """The packages that are not installed."""
    return [package for module, package in PEERS.items() if find_spec(module) is None]


def require() -> None:
    """Ends the run if one of the others is not installed: without them nothing here says what it should."""
    if missing():
        sys.exit(
            f"The part rates compares with {' and '.join(PEERS.values())}; not installed: {', '.join(missing())}. "
            "`make bench` installs what is missing; by hand, in the project's folder: "
            f"{sys.executable} -m pip install -c constraints.txt -e '.[bench]'"
        )


def peers_described() -> str:
    """Who the others are."""
    return (
        f"the better of limits {version('limits')} (SlidingWindowCounterRateLimiter, redispy) and throttled-py "
        f"{version('throttled-py')} (GCRA), both through redis-py {version('redis')}, one window each"
    )


@asynccontextmanager
async def contenders(url: str) -> AsyncIterator[tuple[Contender, Contender, Contender, Contender]]:
    """Ours, the two others, and a bare INCR, all connected."""
    async with AsyncExitStack() as stack:
        yield (
            Contender("ours", await stack.enter_async_context(ours(url)), IN_FLIGHT),
            Contender("limits", await stack.enter_async_context(_limits(url)), PEERS_IN_FLIGHT),
            Contender("throttled", await stack.enter_async_context(_throttled(url)), PEERS_IN_FLIGHT),
            Contender("incr", await stack.enter_async_context(_incr(url)), IN_FLIGHT),
        )


@asynccontextmanager
async def ours(url: str, config: RateLimitConfig = WIDE, *, allowed: bool = True) -> AsyncIterator[Check]:
    """A minute, an hour, a day and a burst, in one check."""
    async with AsyncRateLimiter.connect(url, limits=config) as limiter:

        async def check(user: str) -> None:
            result = await limiter.check_rate_limit(user, ENDPOINT)
            assert result.allowed is allowed, result

        yield check


@asynccontextmanager
async def _limits(url: str) -> AsyncIterator[Check]:
    # Imported by name: these packages need not be there when types are checked.
    limits, storages = import_module("limits"), import_module("limits.aio.storage")
    strategies = import_module("limits.aio.strategies")
    storage = storages.RedisStorage(f"async+{url}", implementation="redispy")
    limiter = strategies.SlidingWindowCounterRateLimiter(storage)
    item = limits.RateLimitItemPerMinute(PER_MINUTE)

    async def check(user: str) -> None:
        assert await limiter.hit(item, user, ENDPOINT)

    try:
        yield check
    finally:
        await storage.bridge.storage.aclose()


@asynccontextmanager
async def _throttled(url: str) -> AsyncIterator[Check]:
    throttled = import_module("throttled.asyncio")
    store = throttled.RedisStore(server=url)
    limiter = throttled.Throttled(
        using=throttled.RateLimiterType.GCRA.value, quota=throttled.per_min(PER_MINUTE), store=store
    )

    async def check(user: str) -> None:
        result = await limiter.limit(f"{ENDPOINT}:{user}")
        assert not result.limited

    try:
        yield check
    finally:
        # It has no way of its own to close.
        await store._backend.get_client().aclose(close_connection_pool=True)  # noqa: SLF001


@asynccontextmanager
async def _incr(url: str) -> AsyncIterator[Check]:
    async with Redis.from_url(url, max_connections=IN_FLIGHT) as client:

        def check(user: str) -> Awaitable[Any]:
            return client.incr(f"incr:{user}")

        yield check
