"""Rate limits: how fast a check is beside two other libraries, what a user takes in memory, and how exact it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.figures import Figure
from benchmarks.rates_accuracy import accuracy
from benchmarks.rates_checks import check_512, check_lone, rejected
from benchmarks.rates_memory import memory
from benchmarks.rates_peers import require


async def run(scale: float) -> AsyncIterator[Figure]:
    """All figures of this part."""
    require()
    async for figure in check_512(scale):
        yield figure
    yield await check_lone(scale)
    yield await rejected(scale)
    async for figure in memory(scale):
        yield figure
    yield await accuracy(scale)
