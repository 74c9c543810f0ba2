"""workers.expiry_ms: how late an interrupt expires, by the log: the time of the event that says so, minus the deadline.

Both are the server's clock, in whole milliseconds, so that no clock is compared with another one. The role runs in a
process of its own, as people start it. The load is open-loop, in this process: so many creations a second, each when it
is its turn, all with the same short time to live. So the deadlines are as evenly spread as the creations, and come
while further creations are made and heard by the role: that is harder than deadlines alone.

The floor is what a round trip alone takes at that time, timed on this process's loop. An expiry takes two, one after
the other: what is due is read, what was decided is appended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import perf_counter, process_time
from typing import Final, NamedTuple

from redis.asyncio import Redis

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, sized, tell
from benchmarks.projections_lag import percentile
from benchmarks.server import BenchServer
from benchmarks.shape import CONTEXT, QUESTION, Ask, asks, described
from benchmarks.stored import KEYS, pending
from benchmarks.workers_process import BenchRole
from interrupts import InterruptService, connect
from interrupts.codec import decode_event
from interrupts.events import Created, Expired

NAME: Final = "workers.expiry_ms"
PER_SECOND: Final = 1_000
SECONDS: Final = 3
PAIRS: Final = 5
TTL_S: Final = 1.0
PING_EVERY: Final = 10
SAME_MS: Final = 0.5
"""What an expiry in the very millisecond of its deadline is taken to be late."""
_TIMEOUT_S: Final = 30.0
_PAGE: Final = 10_000


class Expiries(NamedTuple):
    """What a log says of some interrupts that have expired: their deadlines, and the times of the events, in ms."""

    deadlines: list[int]
    times: list[int]

    @property
    def late_ms(self) -> list[float]:
        """How late each one was."""
        return [max(SAME_MS, at - due) for due, at in zip(self.deadlines, self.times, strict=True)]


class _Run:
    """One run of the load."""

    def __init__(self, service: InterruptService, client: Redis) -> None:
        self._service = service
        self._client = client
        self.pings: list[float] = []
        self.late_ms: list[float] = []
        self.creates_ms: list[float] = []
        self.per_second = self.busy = 0.0

    async def of(self, count: int) -> None:
        """That many creations, each when it is its turn; returns when all are created."""
        began, used = perf_counter(), process_time()
        async with asyncio.timeout(_TIMEOUT_S + count / PER_SECOND), asyncio.TaskGroup() as group:
            for number, ask in enumerate(asks(count)):
                await asyncio.sleep(max(0, began + number / PER_SECOND - perf_counter()))
                group.create_task(self._create(ask))
                if number % PING_EVERY == PING_EVERY // 2:
                    group.create_task(self._ping())
        took_s = perf_counter() - began
        self.per_second, self.busy = count / took_s, (process_time() - used) / took_s

    async def _create(self, ask: Ask) -> None:
        request_id, user_id, session_id = ask
        began = perf_counter()
        await self._service.create_clarification(
            request_id, user_id, session_id, QUESTION, context=CONTEXT, ttl_seconds=TTL_S
        )
        self.creates_ms.append((perf_counter() - began) * 1e3)

    async def _ping(self) -> None:
        began = perf_counter()
        await self._client.ping()
        self.pings.append((perf_counter() - began) * 1e3)


async def lateness(scale: float) -> list[Figure]:
    """The median and the 99th percentile, of the same runs."""
    count = sized(PER_SECOND * SECONDS, scale, 200)
    runs: list[_Run] = []
    with BenchServer() as server, BenchRole(server, "expiry"):
        pings = Redis(port=server.port, max_connections=max(count, PING_EVERY))  # a moment's rest must not end the load
        async with connect(server.url) as service, pings as client:

            async def measure() -> Pair:
                before = ends(server)
                run = _Run(service, client)
                await run.of(count)
                await all_expired(server, TTL_S + _TIMEOUT_S)
                run.late_ms = expiries(server, before).late_ms
                assert len(run.late_ms) == count, f"{len(run.late_ms)} of {count} have expired"
                runs.append(run)
                return _pair(run, 0.5)

            p50 = await in_pairs(f"{NAME}_p50", PAIRS, measure)
    runs = runs[-PAIRS:]
    p99 = [_pair(run, 0.99) for run in runs]
    for number, pair in enumerate(p99, start=1):
        tell(f"{NAME}_p99", number, PAIRS, pair)
    return [
        _figure("p50", Target(3, "at most", "ours"), p50, runs, count),
        _figure("p99", Target(15, "at most", "ours"), p99, runs, count),
    ]


def ends(server: BenchServer) -> list[str]:
    """The stream id of the newest event in each partition; 0-0 where there is none."""
    newest = server.commands([("XREVRANGE", log, "+", "-", "COUNT", 1) for log in KEYS.logs])
    return [entries[0][0].decode() if entries else "0-0" for entries in newest]


async def all_expired(server: BenchServer, within_s: float) -> None:
    """Returns when no interrupt has a deadline any more."""
    async with asyncio.timeout(within_s):
        while pending(server):  # noqa: ASYNC110 - it is another process that ends this
            await asyncio.sleep(0.05)


def expiries(server: BenchServer, after: list[str]) -> Expiries:
    """What was created after these stream ids and has expired, read from the log."""
    deadline_of, found = dict[str, int](), Expiries([], [])
    for log, stream_id in zip(KEYS.logs, after, strict=True):
        for ms, raw in _entries(server, log, stream_id):
            event = decode_event(raw)
            if isinstance(event, Created):
                assert event.terms.ttl_ms is not None
                deadline_of[event.id] = ms + event.terms.ttl_ms
            elif isinstance(event, Expired):
                found.deadlines.append(deadline_of.pop(event.id))
                found.times.append(ms)
    assert not deadline_of, f"{len(deadline_of)} have not expired"
    return found


def _entries(server: BenchServer, log: str, after: str) -> Iterator[tuple[int, bytes]]:
    """The entries of a log after this stream id: their milliseconds, and their events."""
    while True:
        page = server.command("XRANGE", log, f"({after}", "+", "COUNT", _PAGE)
        for stream_id, fields in page:
            yield int(stream_id.partition(b"-")[0]), fields[b"e"]
        if len(page) < _PAGE:
            return
        after = page[-1][0].decode()


def _figure(which: str, target: Target, pairs: list[Pair], runs: list[_Run], count: int) -> Figure:
    late, creates = ([one for run in runs for one in getattr(run, field)] for field in ("late_ms", "creates_ms"))
    reached = min(run.per_second for run in runs)
    busy = max(run.busy for run in runs)
    details = {
        "per_second": reached,
        "max": max(late),
        "in_the_same_ms": sum(one == SAME_MS for one in late) / len(late),
        "create_ms_p50": percentile(creates, 0.5),
        "create_ms_p99": percentile(creates, 0.99),
        "load_busy": busy,
    }
    return Figure(
        f"{NAME}_{which}",
        "ms",
        f"the {which} of a bare PING through redis.asyncio.Redis, on the load's loop under the same load",
        target,
        pairs,
        details,
        (
            described(),
            (
                f"{count:,} deadlines a run, {reached:,.0f} a second, by creations that live for {TTL_S:g} s; "
                "expired by another process, `python -m workers run expiry`"
            ),
            (
                f"the creations go on while what they made expires: p50 {details['create_ms_p50']:.2f} ms, p99 "
                f"{details['create_ms_p99']:.2f} ms each; they keep this process busy for {busy:.0%} of the time"
            ),
            (
                f"whole milliseconds of the server's clock: {details['in_the_same_ms']:.0%} expired in that of their "
                f"deadline, which counts as {SAME_MS:g} ms; the latest one {max(late):,.0f} ms late"
            ),
        ),
    )


def _pair(run: _Run, share: float) -> Pair:
    return Pair(percentile(run.late_ms, share), percentile(run.pings, share))
