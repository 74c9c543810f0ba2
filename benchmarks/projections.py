"""Projections: how fast the log is folded into views, how soon and how fast they are read, what they take in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from statistics import median
from typing import Final

from benchmarks.costs import Costs
from benchmarks.figures import Figure, Pair, Target
from benchmarks.folding import ANSWERED, BARE_READS, bare_reads, check_views, fill, fold_all, remove_views
from benchmarks.measuring import in_pairs, sized
from benchmarks.progress import say
from benchmarks.projections_lag import lag
from benchmarks.projections_memory import memory
from benchmarks.projections_page import on_filled_servers
from benchmarks.server import BenchServer
from benchmarks.shape import asks, described
from interrupts import connect
from projections import PROJECTIONS

PAIRS: Final = 7


async def run(scale: float) -> AsyncIterator[Figure]:
    """All figures of this part."""
    yield await _fold(scale)
    for figure in await lag(scale):
        yield figure
    yield await memory(scale)
    async for figure in on_filled_servers(scale):
        yield figure


async def _fold(scale: float) -> Figure:
    """Events a second that one process folds into all views, from nothing to the end of a log that nobody writes to."""
    created = sized(60_000, scale, 200)
    answered = -(-created // ANSWERED)
    events = created + answered
    name = "projections.fold"
    unparsed: list[float] = []
    with BenchServer() as server:
        ours = Costs(server, events)
        async with connect(server.url) as service:
            say(f"{name}  writing {events:,} events")
            await fill(service, asks(created))

            async def measure() -> Pair:
                remove_views(server)
                rate = await ours.of(fold_all(service, events))
                check_views(server, answered)
                unparsed.append(bare_reads(server, parsed=False))
                return Pair(rate, bare_reads(server))

            pairs = await in_pairs(name, PAIRS, measure)
    harder = median(unparsed)
    return Figure(
        name,
        "events/s",
        BARE_READS,
        Target(0.13, "at least"),
        pairs,
        {"client_us": ours.client_us, "server_us": ours.server_us, "floor_unparsed": harder},
        (
            described(),
            f"{events:,} events, {created:,} creations and {answered:,} answers mixed, into {len(PROJECTIONS)} views",
            f"each takes {ours.client_us:.1f} µs of this process and {ours.server_us:.1f} µs of the server's scripts",
            f"with the entries left as hiredis returns them, without redis-py's dicts, the loop reads {harder:,.0f}",
        ),
    )
