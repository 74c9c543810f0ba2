"""append.memory: the bytes of server memory that one pending interrupt takes, and which part takes how much."""

from __future__ import annotations

from typing import Final

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, per_second, sized
from benchmarks.server import BenchServer
from benchmarks.shape import asks, creating, described
from benchmarks.stored import KEYS, PARTITIONS, pending, stored_event
from interrupts import connect

IN_FLIGHT: Final = 512
PAIRS: Final = 5


async def memory(scale: float) -> Figure:
    """The growth of used_memory over many creates, by their number. The floor is the event's bytes, once."""
    count = sized(100_000, scale, 2_000)
    name = "append.memory"
    with BenchServer() as server:
        stored = await stored_event(server)

        async def measure() -> Pair:
            server.flush()
            async with connect(server.url):  # a namespace of its own and the scripts are there before
                pass
            before = server.used_memory()
            async with connect(server.url) as service:
                await per_second(creating(service), asks(count), IN_FLIGHT)
            assert pending(server) == count
            return Pair((server.used_memory() - before) / count, len(stored.event))

        pairs = await in_pairs(name, PAIRS, measure)
        parts = _parts(server, count)
    said = ", ".join(f"{part} {size:,.0f}" for part, size in parts.items())
    return Figure(
        name,
        "bytes",
        "the bytes of one event as stored",
        Target(1_200, "at most", "ours"),
        pairs,
        parts,
        (
            f"{described()}; {count:,} of them in {PARTITIONS} partitions",
            f"by what was freed when a part was deleted: {said}",
        ),
    )


def _parts(server: BenchServer, count: int) -> dict[str, float]:
    """The bytes that one interrupt takes in the log, in the deadlines, and in its key with its place among the keys.

    They are what deleting the part frees: MEMORY USAGE takes the index of a stream for larger than it is.
    """
    sizes = []
    for delete in (("DEL", *KEYS.logs), ("DEL", *KEYS.deadlines), ("FLUSHALL", "SYNC")):
        before = server.used_memory()
        server.command(*delete)
        sizes.append((before - server.used_memory()) / count)
    return dict(zip(("log", "deadline", "key"), sizes, strict=True))
