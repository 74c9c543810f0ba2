"""rates.check_512, check_lone and rejected: how many checks a second, by the hundred, alone, and of who is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.costs import Costs
from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, per_second, sized
from benchmarks.rates_peers import IN_FLIGHT, PEERS_IN_FLIGHT, Check, Contender, contenders, ours, peers_described
from benchmarks.rates_users import LIGHT_CALLS, Past, busy, check_full, chosen, light, names, stored_bytes, write
from benchmarks.server import BenchServer
from interrupts import RateLimitConfig

PAIRS: Final = 7
USERS: Final = 1_000
REFUSED_LIGHT: Final = RateLimitConfig(LIGHT_CALLS)
REFUSED_BUSY: Final = RateLimitConfig(300, 1_000_000, 100_000_000, 300)
"""Half of what the busy ones have used of their minute: so they are refused for half a minute."""


async def check_512(scale: float) -> AsyncIterator[Figure]:
    """Twice: users with calls in every cell of their windows, and users with a few calls."""
    full = "every user has calls in all 61 seconds, 61 minutes and 97 quarters that count"
    yield await _check_512("rates.check_512", busy, Target(2.5, "at least"), full, scale)
    few = f"every user has {LIGHT_CALLS} calls in the last seconds, and what the measurement itself adds"
    yield await _check_512("rates.check_512_light", light, Target(4, "at least"), few, scale)


async def _check_512(name: str, past: Past, target: Target, described: str, scale: float) -> Figure:
    """Checks a second in one process: ours, then each of the others, then a bare INCR; and so on."""
    users = names(sized(USERS, scale, 50))
    count = {IN_FLIGHT: sized(30_000, scale, IN_FLIGHT), PEERS_IN_FLIGHT: sized(10_000, scale, IN_FLIGHT)}
    load = {in_flight: chosen(users, calls) for in_flight, calls in count.items()}
    rates: dict[str, list[float]] = {}
    costs: dict[str, Costs] = {}
    with BenchServer() as server:
        async with contenders(server.url) as all_of_them:

            async def measure() -> Pair:
                text = write(server, users, past)
                if past is busy:
                    check_full(text)
                for one in all_of_them:
                    cost = costs.setdefault(one.name, Costs(server, count[one.in_flight]))
                    rate = await cost.of(per_second(one.check, load[one.in_flight], one.in_flight))
                    rates.setdefault(one.name, []).append(rate)
                    if past is busy and one.name == "ours":
                        assert stored_bytes(server, users) > 0.9 * len(text), "the rings did not stay full"
                return Pair(rates["ours"][-1], max(rates["limits"][-1], rates["throttled"][-1]))

            pairs = await in_pairs(name, PAIRS, measure)
    seen = {who: median(measured[1:]) for who, measured in rates.items()}  # without the pair that warms up
    details = {who: rate for who, rate in seen.items() if who != "ours"}
    del costs["incr"]  # no script
    for who, cost in costs.items():
        suffix = "" if who == "ours" else f"_{who}"
        details |= {f"client_us{suffix}": cost.client_us, f"server_us{suffix}": cost.server_us}
    return Figure(
        name,
        "checks/s",
        f"{peers_described()}, {PEERS_IN_FLIGHT} in flight",
        target,
        pairs,
        details,
        (
            f"{described}; {len(users):,} users, anyone each time, the same for all; ours at {IN_FLIGHT} in flight",
            f"limits {seen['limits']:,.0f}, throttled-py {seen['throttled']:,.0f}",
            f"a bare INCR through redis.asyncio, {IN_FLIGHT} in flight on as many connections: {seen['incr']:,.0f}",
            *(
                f"{who}: {cost.client_us:.1f} µs of this process, {cost.server_us:.1f} µs of the server's scripts"
                for who, cost in costs.items()
            ),
        ),
    )


async def check_lone(scale: float) -> Figure:
    """Checks a second when each waits for the one before: ours, each of the others, and a bare INCR, in turn."""
    users, calls, name = names(sized(USERS, scale, 50)), sized(2_000, scale, 20), "rates.check_lone"
    rates: dict[str, list[float]] = {}
    with BenchServer() as server:
        async with contenders(server.url) as all_of_them:

            async def measure() -> Pair:
                write(server, users, light)
                for one, rate in zip(all_of_them, await _alone(all_of_them, chosen(users, calls)), strict=True):
                    rates.setdefault(one.name, []).append(rate)
                return Pair(rates["ours"][-1], max(rates["limits"][-1], rates["throttled"][-1]))

            pairs = await in_pairs(name, PAIRS, measure)
    seen = {who: median(measured[1:]) for who, measured in rates.items() if who != "ours"}
    return Figure(
        name,
        "checks/s (p50)",
        f"{peers_described()}, on the same loop",
        Target(0.8, "at least"),
        pairs,
        seen,
        (
            f"users with a few calls; {calls:,} calls of each in a pair, in turn; by the median time of one",
            f"limits {seen['limits']:,.0f}, throttled-py {seen['throttled']:,.0f}, a bare INCR {seen['incr']:,.0f}",
        ),
    )


async def _alone(all_of_them: Sequence[Contender], users: list[str]) -> list[float]:
    times: list[list[float]] = [[] for _ in all_of_them]
    for user in users:
        for one, its_times in zip(all_of_them, times, strict=True):
            began = perf_counter()
            await one.check(user)
            its_times.append(perf_counter() - began)
    return [1 / median(its_times) for its_times in times]


async def rejected(scale: float) -> Figure:
    """Checks a second of users who are refused, against the same users with higher limits, who are let in."""
    users, count, name = names(sized(USERS, scale, 50)), sized(30_000, scale, IN_FLIGHT), "rates.rejected"
    load = chosen(users, count)
    full: list[Pair] = []
    with BenchServer() as server:

        async def pair(past: Past, refused: Check, admitted: Check) -> Pair:
            write(server, users, past)
            rate = await per_second(refused, load, IN_FLIGHT)
            write(server, users, past)
            return Pair(rate, await per_second(admitted, load, IN_FLIGHT))

        async with (
            ours(server.url) as admitted,
            ours(server.url, REFUSED_LIGHT, allowed=False) as refused_light,
            ours(server.url, REFUSED_BUSY, allowed=False) as refused_busy,
        ):

            async def measure() -> Pair:
                full.append(await pair(busy, refused_busy, admitted))
                return await pair(light, refused_light, admitted)

            pairs = await in_pairs(name, PAIRS, measure)
    of_full = [both.ratio for both in full[1:]]
    return Figure(
        name,
        "checks/s",
        f"the same users, let in by higher limits; both ours, {IN_FLIGHT} in flight",
        Target(1, "at least"),
        pairs,
        {"full": median(both.ours for both in full[1:]), "full_ratio": median(of_full)},
        (
            f"users with {LIGHT_CALLS} calls, which is their minute's limit: here letting in costs least",
            f"with calls in every cell, the ratio is {median(of_full):.2f} ({min(of_full):.2f} to {max(of_full):.2f})",
        ),
    )
