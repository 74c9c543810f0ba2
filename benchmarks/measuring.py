"""Measuring in pairs: ours, the floor, ours, the floor. A slow moment of the machine then meets both."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterable
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

from benchmarks.figures import Pair, short
from benchmarks.progress import say

Item = TypeVar("Item")

PAIRS_MIN = 5


def sized(count: int, scale: float, least: int) -> int:
    """A size at this scale, and at least so much that it still means something."""
    return max(least, round(count * scale))


async def in_pairs(
    name: str, pairs: int, measure: Callable[[], Awaitable[Pair]], *, warm_up: bool = True
) -> list[Pair]:
    """That many pairs; one more before them, which warms caches and connections, is thrown away."""
    assert pairs >= PAIRS_MIN
    if warm_up:
        await measure()
    measured: list[Pair] = []
    for number in range(1, pairs + 1):
        measured.append(await measure())
        tell(name, number, pairs, measured[-1])
    return measured


def tell(name: str, number: int, pairs: int, pair: Pair) -> None:
    """A line of progress."""
    say(f"{name}  pair {number} of {pairs}: ours {short(pair.ours)}, floor {short(pair.floor)}, {pair.ratio:.2f}")


async def per_second(do: Callable[[Item], Awaitable[Any]], items: Iterable[Item], in_flight: int) -> float:
    """How many items are done in a second with so many under way at any time. What fails, fails the benchmark."""
    waiting = iter(items)
    done = 0

    async def take_and_do() -> None:
        nonlocal done
        for item in waiting:
            await do(item)
            done += 1

    gc.collect()  # what the measurement before has left
    began = perf_counter()
    await asyncio.gather(*(take_and_do() for _ in range(in_flight)))
    return done / (perf_counter() - began)


async def lone_pair(ours: Callable[[], Awaitable[Any]], floor: Callable[[], Awaitable[Any]], calls: int) -> Pair:
    """The median time of one call alone, in microseconds: one of ours, one of the floor's, and so on."""
    our_times, floor_times = [], []
    for _ in range(calls):
        our_times.append(await _microseconds(ours()))
        floor_times.append(await _microseconds(floor()))
    return Pair(median(our_times), median(floor_times))


async def _microseconds(call: Awaitable[Any]) -> float:
    began = perf_counter()
    await call
    return (perf_counter() - began) * 1e6
