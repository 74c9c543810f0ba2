"""Reading a page of a session, in a store with many others and in one with very many; and building a view again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.figures import Figure, Target
from benchmarks.folding import IN_FLIGHT, fold_all
from benchmarks.measuring import in_pairs, lone_pair, per_second, sized
from benchmarks.progress import say
from benchmarks.projections_rebuild import rebuilt
from benchmarks.server import BenchServer
from benchmarks.shape import asks, creating, described
from benchmarks.stored import pending
from interrupts import InterruptService, connect

PAIRS: Final = 7
ON_THE_PAGE: Final = 50
SESSION: Final = "sess-of-the-page"


async def on_filled_servers(scale: float) -> AsyncIterator[Figure]:
    """The figures that need servers with many interrupts: filling them takes longer than measuring."""
    many, very_many = sized(100_000, scale, 1_000), sized(1_000_000, scale, 2_000)
    with BenchServer() as small, BenchServer() as large:
        async with connect(small.url) as in_small, connect(large.url) as in_large:
            await _fill(small, in_small, many)
            yield await _page(small, in_small, many, scale)
            await _fill(large, in_large, very_many)
            yield await _growth(in_small, many, in_large, very_many, scale)
            yield await rebuilt(large, in_large, very_many + ON_THE_PAGE)


async def _page(server: BenchServer, service: InterruptService, others: int, scale: float) -> Figure:
    """The median time of a call for all 50 that are pending in a session, when nothing else is going on."""
    calls = sized(500, scale, 20)
    page = _paging(service)
    name = "projections.page"
    async with Redis(port=server.port) as client:
        pairs = await in_pairs(name, PAIRS, lambda: lone_pair(page, client.ping, calls))
    server.forget_times()
    for _ in range(calls):
        await page()
    ran, us = server.script_us()
    assert ran == calls  # one script call a page
    return Figure(
        name,
        "µs (p50)",
        "a bare PING through redis.asyncio.Redis, on the same loop",
        Target(4, "at most"),
        pairs,
        {"others": others, "server_us": us / ran},
        (
            f"list_pending(session_id=…, limit={ON_THE_PAGE}) finds so many, among {others:,} others in the store",
            described(),
            f"{calls:,} calls of each in a pair, in turn; the server spends {us / ran:.1f} µs on one of ours",
        ),
    )


async def _growth(
    in_small: InterruptService, many: int, in_large: InterruptService, very_many: int, scale: float
) -> Figure:
    """Whether the same page gets slower when very many interrupts are in the store."""
    calls = sized(500, scale, 20)
    small, large = _paging(in_small), _paging(in_large)
    name = "projections.page_growth"
    pairs = await in_pairs(name, PAIRS, lambda: lone_pair(large, small, calls))
    return Figure(
        name,
        "µs (p50)",
        f"the same page on a second server with {many:,} others, instead of {very_many:,}",
        Target(1.2, "at most"),
        pairs,
        {"others": very_many},
        (f"{calls:,} calls of each in a pair, in turn",),
    )


async def _fill(server: BenchServer, service: InterruptService, others: int) -> None:
    """The others, the session of the page, and the views at the end of the log, with no worker running any more."""
    say(f"projections  creating and folding {others:,} interrupts")
    create = creating(service)
    await per_second(create, asks(others), IN_FLIGHT)
    for request_id, user_id, _ in asks(ON_THE_PAGE, seed=1):
        await create((request_id, user_id, SESSION))
    assert pending(server) == others + ON_THE_PAGE
    await fold_all(service, others + ON_THE_PAGE)


def _paging(service: InterruptService) -> Callable[[], Awaitable[Any]]:
    async def page() -> None:
        found = await service.list_pending(session_id=SESSION, limit=ON_THE_PAGE)
        assert len(found) == ON_THE_PAGE
        assert found.next_cursor is None

    return page
