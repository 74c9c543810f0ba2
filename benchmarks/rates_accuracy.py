"""rates.accuracy: the most that is let in within any minute, against the limit, on the same traces for everybody."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, sized
from benchmarks.rates_clocks import MINUTE_MS, limiters
from benchmarks.server import BenchServer

ROUNDS: Final = 7
LIMIT: Final = 60

Trace = Callable[[random.Random, int, int], list[int]]
"""The times of calls, in milliseconds: from a time on, for so many minutes."""


def _steady(_: random.Random, start_ms: int, minutes: int) -> list[int]:
    """Four a second."""
    return list(range(start_ms, start_ms + minutes * MINUTE_MS, 250))


def _edge(_: random.Random, start_ms: int, minutes: int) -> list[int]:
    """Again and again: a call that opens a minute, a burst in its last second, and two a second in the next minute."""
    times: list[int] = []
    for begun in range(start_ms, start_ms + minutes * MINUTE_MS, 2 * MINUTE_MS):
        burst = (begun + MINUTE_MS - 1_000 + 900 * number // LIMIT for number in range(LIMIT))
        times += [begun, *burst, *range(begun + MINUTE_MS, begun + 2 * MINUTE_MS, 500)]
    return times


def _random(dice: random.Random, start_ms: int, minutes: int) -> list[int]:
    """Two and a half a second on average, none waiting for another."""
    times = [start_ms]
    while times[-1] < start_ms + minutes * MINUTE_MS:
        times.append(times[-1] + round(dice.expovariate(2.5) * 1_000))
    return times


TRACES: Final[dict[str, Trace]] = {"steady": _steady, "edge": _edge, "random": _random}


async def accuracy(scale: float) -> Figure:
    """Round by round with other times and other dice. Ours must never let in more than the limit."""
    minutes, name = sized(20, scale, 4), "rates.accuracy"
    dice = random.Random(0)
    most: dict[tuple[str, str], list[int]] = {}
    in_all: dict[tuple[str, str], list[int]] = {}
    asked: dict[str, list[int]] = {}
    with BenchServer() as server:
        everybody = limiters(server, LIMIT)
        # Times to come, as what is stored expires by the server's clock.
        begin_ms = (server.command("TIME")[0] // 60 + 1) * MINUTE_MS

        async def measure() -> Pair:
            start_ms = begin_ms + dice.randrange(MINUTE_MS)
            for trace, make in TRACES.items():
                times = make(dice, start_ms, minutes)
                asked.setdefault(trace, []).append(len(times))
                for who, let_in in everybody.items():
                    passed = let_in(times)
                    most.setdefault((trace, who), []).append(_most(passed))
                    in_all.setdefault((trace, who), []).append(len(passed))
            ours = max(most[trace, "ours"][-1] for trace in TRACES)
            assert 0 < ours <= LIMIT, f"{ours} calls were let in within a minute, and {LIMIT} are allowed"
            return Pair(ours, LIMIT)

        pairs = await in_pairs(name, ROUNDS, measure, warm_up=False)
    greatest = {pair: max(numbers) for pair, numbers in most.items()}
    return Figure(
        name,
        "calls in any minute",
        f"the limit, {LIMIT} calls a minute",
        Target(1, "at most"),
        pairs,
        {f"{trace}_{who.replace(' ', '_')}": number for (trace, who), number in greatest.items()},
        (
            f"{minutes} minutes of one user on a clock that is told, {ROUNDS} rounds",
            "the most within any minute of any round; in brackets, how many were let in in a round (median):",
            *_rows(greatest, {pair: median(numbers) for pair, numbers in in_all.items()}, asked, list(everybody)),
            "steady: 4 a second; edge: a burst in the last second of a minute, then 2 a second; random: 2.5 a second",
            "limits: its own script on a stand-in for the server's commands, whose keys expire by that clock",
            f"throttled-py: its own script, GCRA with its usual burst, {LIMIT}; ours likewise, so the window decides",
        ),
    )


def _most(times: list[int]) -> int:
    """The greatest number within a minute: a call exactly one minute after another is in the next one."""
    recent: deque[int] = deque()
    most = 0
    for ms in times:
        recent.append(ms)
        while recent[0] <= ms - MINUTE_MS:
            recent.popleft()
        most = max(most, len(recent))
    return most


def _rows(
    greatest: dict[tuple[str, str], int],
    in_all: dict[tuple[str, str], float],
    asked: dict[str, list[int]],
    everybody: list[str],
) -> list[str]:
    rows = [["trace", *everybody, "calls"]]
    for trace, calls in asked.items():
        cells = (f"{greatest[trace, who]} ({in_all[trace, who]:,.0f})" for who in everybody)
        rows.append([trace, *cells, f"{median(calls):,.0f}"])
    return ["  ".join(f"{cell:>14}" for cell in row) for row in rows]
