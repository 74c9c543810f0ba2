"""projections.memory: the bytes of server memory that the views add to one pending interrupt, index by index."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Figure, Pair, Target
from benchmarks.folding import INDEXES, fold_all, remove_views
from benchmarks.measuring import in_pairs, per_second, sized
from benchmarks.server import BenchServer
from benchmarks.shape import asks, creating, described
from benchmarks.stored import PARTITIONS, pending, stored_event
from interrupts import connect
from interrupts.views import PENDING

IN_FLIGHT: Final = 512
PAIRS: Final = 5


async def memory(scale: float) -> Figure:
    """The growth of used_memory while many creations are folded, by their number. The floor is the event's bytes."""
    count = sized(100_000, scale, 2_000)
    name = "projections.memory"
    with BenchServer() as server:
        stored = await stored_event(server)

        async def measure() -> Pair:
            server.flush()
            async with connect(server.url) as service:
                await per_second(creating(service), asks(count), IN_FLIGHT)
            assert pending(server) == count
            before = server.used_memory()
            async with connect(server.url) as service:
                await fold_all(service, count)
            return Pair((server.used_memory() - before) / count, len(stored.event))

        pairs = await in_pairs(name, PAIRS, measure)
        parts = _parts(server, count)
    parts["table"] = pairs[-1].ours - sum(parts.values())
    said = ", ".join(f"{part} {size:,.0f}" for part, size in parts.items())
    return Figure(
        name,
        "bytes",
        "the bytes of one event as stored",
        Target(600, "at most", "ours"),
        pairs,
        parts,
        (
            f"{described()}; {count:,} pending ones in {PARTITIONS} partitions",
            "each has a request of its own; they are of a thousand users, in a hundred thousand sessions",
            f"by what was freed when an index was deleted: {said}; `table` is the rest: the server's table of all keys",
        ),
    )


def _parts(server: BenchServer, count: int) -> dict[str, float]:
    """The bytes that one interrupt takes in each index of what is pending: what deleting it frees."""
    sizes = {}
    for index in INDEXES:
        before = server.used_memory()
        assert remove_views(server, f"{PENDING.name}:*:{index}")
        sizes[index.removesuffix(":")] = (before - server.used_memory()) / count
    return sizes
