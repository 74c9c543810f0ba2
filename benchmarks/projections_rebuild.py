"""projections.rebuild: how fast a view is built again from the whole log, beside the one that is live."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.figures import Figure, Pair, Target
from benchmarks.folding import BARE_READS, bare_reads
from benchmarks.measuring import in_pairs
from benchmarks.progress import say
from benchmarks.server import BenchServer
from benchmarks.stored import KEYS, pending
from interrupts import InterruptService
from interrupts.views import BY_KIND, PENDING
from projections.progress import Progress
from projections.rebuild import rebuild

PAIRS: Final = 5


async def rebuilt(server: BenchServer, service: InterruptService, events: int) -> Figure:
    """Events a second until the new generation is live; to throw the old one away takes the rest of the call."""
    name = "projections.rebuild"
    rest_s: list[float] = []

    async def measure() -> Pair:
        told: list[Progress] = []
        began = perf_counter()
        done = await rebuild(service, PENDING.name, report=told.append)
        took_s = perf_counter() - began
        assert done.events == events
        assert done.keys_dropped > 0
        assert _in_live(server) == pending(server)
        live_s = told[-1].seconds  # told for the last time when the new one has taken over everywhere
        rest_s.append(took_s - live_s)
        return Pair(events / live_s, bare_reads(server))

    say(f"{name}  of {events:,} events")
    pairs = await in_pairs(name, PAIRS, measure, warm_up=False)  # so large that it would take long and change little
    rest = median(rest_s)
    return Figure(
        name,
        "events/s",
        BARE_READS,
        Target(0.1, "at least"),
        pairs,
        {"drop_s": rest},
        (
            f"the view {PENDING.name!r} of {events:,} pending interrupts, with no worker and no load beside it",
            f"until the new one is live everywhere; to throw the old one away takes {rest:.1f} s more",
        ),
    )


def _in_live(server: BenchServer) -> int:
    """How many interrupts are in the live generation, by kind."""
    partitions = range(KEYS.partitions)
    live = server.commands([("HGET", KEYS.card(partition, PENDING.name), "live") for partition in partitions])
    indexes = [
        KEYS.generation(partition, PENDING.name, int(generation)) + f"{BY_KIND}clarification"
        for partition, generation in zip(partitions, live, strict=True)
    ]
    return sum(server.commands([("ZCARD", index) for index in indexes]))
