"""projections.lag_ms: how long after a create has returned the views show it, under load, folded by another process.

The load is open-loop: each create has its time, whether or not those before it are done. One in twenty is watched:
from its return on, this process asks again and again for the checkpoint of `pending` in its partition, until that has
reached the create's event. A list reads the same checkpoint in the same step as its index, so from then on any list
shows the interrupt. Watching costs a few HGETs, one after the other, and no list has to be read: that disturbs little,
and errs to our disadvantage only, by the last reply's way and by up to one round trip.

All times are of this process's `perf_counter`, and are taken on the loop that carries the load. Between the watched
ones, PINGs are timed on the same loop: what a round trip alone takes under this very load is the floor.
"""

from __future__ import annotations

import asyncio
from math import ceil
from time import perf_counter
from typing import Final, NamedTuple

from redis.asyncio import Redis

from benchmarks.figures import Figure, Pair, Target
from benchmarks.folding import check_views
from benchmarks.measuring import in_pairs, sized, tell
from benchmarks.server import BenchServer
from benchmarks.shape import Ask, asks, creating, described
from benchmarks.stored import KEYS, pending
from benchmarks.worker import BenchWorker
from interrupts import InterruptService, connect
from interrupts.positions import Position
from interrupts.views import PENDING, Checkpoint

PER_SECOND: Final = 2_000
SECONDS: Final = 4
PAIRS: Final = 5
WATCHED: Final = 20
"""One create of so many is watched."""
NAME: Final = "projections.lag_ms"
_TIMEOUT_S: Final = 60.0


class _Seen(NamedTuple):
    """The milliseconds from a create's return, and from its call, until the view showed it."""

    from_return: float
    from_call: float


class _Run:
    """One run of the load, and the times that were taken in it."""

    def __init__(self, service: InterruptService, client: Redis) -> None:
        self._create = creating(service)
        self._client = client
        self.seen: list[_Seen] = []
        self.pings: list[float] = []
        self.per_second = 0.0

    async def of(self, count: int) -> None:
        """That many creates, each when it is its turn."""
        began = perf_counter()
        async with asyncio.timeout(_TIMEOUT_S + count / PER_SECOND), asyncio.TaskGroup() as group:
            for number, ask in enumerate(asks(count)):
                await asyncio.sleep(max(0, began + number / PER_SECOND - perf_counter()))
                watched = number % WATCHED == 0
                group.create_task(self._watch(ask) if watched else self._bare(ask))
                if number % WATCHED == WATCHED // 2:
                    group.create_task(self._ping())
            self.per_second = count / (perf_counter() - began)

    async def _bare(self, ask: Ask) -> None:
        await self._create(ask)

    async def _watch(self, ask: Ask) -> None:
        called = perf_counter()
        interrupt = await self._create(ask)
        returned = perf_counter()
        assert interrupt.position is not None
        position = Position.parse(interrupt.position)
        card, place = KEYS.card(position.partition, PENDING.name), (position.ms, position.number)
        while await self._reached(card) < place:
            pass
        now = perf_counter()
        self.seen.append(_Seen((now - returned) * 1e3, (now - called) * 1e3))

    async def _reached(self, card: str) -> tuple[int, int]:
        at = await self._client.hget(card, "1:at")
        return Checkpoint.parse(at).place if isinstance(at, bytes) else (0, 0)

    async def _ping(self) -> None:
        began = perf_counter()
        await self._client.ping()
        self.pings.append((perf_counter() - began) * 1e3)


async def lag(scale: float) -> list[Figure]:
    """The median and the 99th percentile, of the same runs."""
    count = sized(PER_SECOND * SECONDS, scale, 10 * WATCHED)
    runs: list[_Run] = []
    with BenchServer() as server, BenchWorker(server):
        async with connect(server.url) as service, Redis(port=server.port) as client:

            async def measure() -> Pair:
                run = _Run(service, client)
                await run.of(count)
                runs.append(run)
                return _pair(run, 0.5)

            p50 = await in_pairs(f"{NAME}_p50", PAIRS, measure)
            await service.counts()  # waits until the views show all that this process has written
            check_views(server, closed=0)
        assert pending(server) == count * len(runs)
    runs = runs[-PAIRS:]
    p99 = [_pair(run, 0.99) for run in runs]
    for number, pair in enumerate(p99, start=1):
        tell(f"{NAME}_p99", number, PAIRS, pair)
    return [
        _figure("p50", 0.5, Target(3, "at most", "ours"), p50, runs, count),
        _figure("p99", 0.99, Target(20, "at most", "ours"), p99, runs, count),
    ]


def _figure(which: str, share: float, target: Target, pairs: list[Pair], runs: list[_Run], count: int) -> Figure:
    watched = [seen for run in runs for seen in run.seen]
    from_call = percentile([seen.from_call for seen in watched], share)
    reached = min(run.per_second for run in runs)
    return Figure(
        f"{NAME}_{which}",
        "ms",
        f"the {which} of a bare PING through redis.asyncio.Redis, on the same loop under the same load",
        target,
        pairs,
        {"from_call": from_call, "per_second": reached, "max": max(seen.from_return for seen in watched)},
        (
            described(),
            f"{count:,} creates a run, {reached:,.0f} a second; folded by another process, `python -m workers run`",
            f"from a create's return until HGETs see the checkpoint on it: one in {WATCHED}, {len(watched):,} in all",
            f"from the create's call on: {from_call:.2f} ms",
        ),
    )


def _pair(run: _Run, share: float) -> Pair:
    return Pair(percentile([seen.from_return for seen in run.seen], share), percentile(run.pings, share))


def percentile(times: list[float], share: float) -> float:
    """The time that this share of all does not exceed."""
    return sorted(times)[ceil(share * len(times)) - 1]
