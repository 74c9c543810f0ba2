"""rates.memory: the bytes of server memory that what is counted of one user takes, at most and usually."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, per_second, sized
from benchmarks.rates_peers import IN_FLIGHT, ours
from benchmarks.rates_users import LIGHT_CALLS, busy, check_full, key, names, stored_bytes, write
from benchmarks.server import BenchServer

PAIRS: Final = 5

Fill = Callable[[BenchServer, list[str]], Awaitable[None]]


async def memory(scale: float) -> AsyncIterator[Figure]:
    """Twice: users with calls in every cell of all windows, and users with three calls."""
    worst = "calls in all 61 seconds, 61 minutes and 97 quarters that count, ten a second, at one endpoint"
    yield await _memory("rates.memory", _busy, Target(3_000, "at most", "ours"), worst, scale)
    light = f"{LIGHT_CALLS} calls at one endpoint"
    yield await _memory("rates.memory_light", _light, Target(300, "at most", "ours"), light, scale)


async def _memory(name: str, fill: Fill, target: Target, described: str, scale: float) -> Figure:
    """The growth of used_memory over many users, by their number. The floor is the bytes that are written down."""
    users = names(sized(2_000, scale, 500))
    with BenchServer() as server:

        async def measure() -> Pair:
            server.flush()
            async with ours(server.url):  # the namespace and the scripts are there before
                pass
            before = server.used_memory()
            await fill(server, users)
            grown = (server.used_memory() - before) / len(users)
            assert sum(server.commands([("EXISTS", key(user)) for user in users])) == len(users)
            return Pair(grown, stored_bytes(server, users))

        pairs = await in_pairs(name, PAIRS, measure)
    return Figure(
        name,
        "bytes",
        "the bytes of the key, the field and the tally in it",
        target,
        pairs,
        notes=(f"{len(users):,} users with {described}; with the hash, the expiry and their places in the tables",),
    )


async def _busy(server: BenchServer, users: list[str]) -> None:
    """The past is written, and one more call of each is counted by the library: so it lies there as it does in use."""
    check_full(write(server, users, busy))
    async with ours(server.url) as check:
        await per_second(check, users, IN_FLIGHT)


async def _light(server: BenchServer, users: list[str]) -> None:
    async with ours(server.url) as check:
        await per_second(check, users * LIGHT_CALLS, IN_FLIGHT)
