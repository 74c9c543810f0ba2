"""workers.resume_ms: from the moment at which one process calls `respond` until whoever waits in another one wakes.

This process creates interrupts, so many a second, each when it is its turn, and waits for each; a while later another
process is told to answer it. Very many others wait here all the time, in other sessions, and are never answered. When
`respond` was called, and when `wait` returned, is taken by the processes themselves on the monotonic clock, which all
processes of a machine share. The log's own times would say whole milliseconds only.

The floor is the least that gets from one process to another one through this server: an XADD there until a blocked
XREAD here returns it, both through redis.asyncio, on the same loops under the same load.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic, process_time
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, per_second, sized, tell
from benchmarks.progress import say
from benchmarks.projections_lag import percentile
from benchmarks.server import BenchServer, end_with_us
from benchmarks.shape import Ask, asks, creating, described
from benchmarks.stored import pending
from benchmarks.workers_answerer import FLOOR_STREAM, READY, Told
from interrupts import InterruptService, InterruptStatus, connect

NAME: Final = "workers.resume_ms"
PER_SECOND: Final = 500
SECONDS: Final = 3
PAIRS: Final = 5
IN_FLIGHT: Final = 512
ANSWERED_AFTER_S: Final = 0.1
"""How long after its creation an interrupt is answered: by then its waiter is there."""
_TIMEOUT_S: Final = 30.0
_TOLD_BYTES_MAX: Final = 64 * 1024 * 1024


class _Answerer:
    """The process that answers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def ready(self) -> None:
        """Returns when it can answer."""
        assert await self._stdout.readline() == READY, "the answering process did not start"

    def answer(self, interrupt_id: str, user_id: str) -> None:
        """Has it answer this one now."""
        self._stdin.write(f"{interrupt_id} {user_id}\n".encode())

    async def told(self) -> Told:
        """Ends it, and returns when it has done what."""
        self._stdin.close()
        return msgspec.json.decode(await self._stdout.readline(), type=Told)


@asynccontextmanager
async def _answerer(url: str) -> AsyncIterator[_Answerer]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.workers_answerer", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_TOLD_BYTES_MAX,
        preexec_fn=end_with_us,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            answerer = _Answerer(process)
            await answerer.ready()
        yield answerer
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class _Run:
    """One run of the load, and what was timed in it."""

    def __init__(self, service: InterruptService, client: Redis, answerer: _Answerer) -> None:
        self._service, self._client, self._answerer = service, client, answerer
        self._create = creating(service)
        self._woken: dict[str, float] = {}
        self._floors: dict[str, float] = {}
        self.resumes: list[float] = []
        self.floors: list[float] = []
        self.creates: list[float] = []
        self.per_second = self.busy = 0.0

    async def of(self, count: int, seed: int) -> None:
        """That many creations, waits and answers."""
        gc.collect()
        listening = asyncio.create_task(self._listen())
        began, used = monotonic(), process_time()
        async with asyncio.timeout(_TIMEOUT_S + count / PER_SECOND), asyncio.TaskGroup() as group:
            for number, ask in enumerate(asks(count, seed)):
                await asyncio.sleep(max(0, began + number / PER_SECOND - monotonic()))
                group.create_task(self._ask(ask))
            took_s = monotonic() - began
        self.per_second, self.busy = count / took_s, (process_time() - used) / (monotonic() - began)
        async with asyncio.timeout(_TIMEOUT_S):
            told = await self._answerer.told()
        await asyncio.sleep(ANSWERED_AFTER_S)
        listening.cancel()
        assert told.answers.keys() == self._woken.keys()
        self.resumes = [(self._woken[one] - called) * 1e3 for one, called in told.answers.items()]
        self.floors = [(self._floors[one] - called) * 1e3 for one, called in told.floors.items()]

    async def _ask(self, ask: Ask) -> None:
        called = monotonic()
        interrupt = await self._create(ask)
        self.creates.append((monotonic() - called) * 1e3)
        asyncio.get_running_loop().call_later(ANSWERED_AFTER_S, self._answerer.answer, interrupt.id, interrupt.user_id)
        closed = await self._service.wait(interrupt.id)
        self._woken[interrupt.id] = monotonic()
        assert closed.status is InterruptStatus.RESOLVED

    async def _listen(self) -> None:
        after: Any = "$"
        while True:
            found: Any = await self._client.xread({FLOOR_STREAM: after}, block=1_000)
            for _, entries in found or ():
                now = monotonic()
                self._floors |= {stream_id.decode(): now for stream_id, _ in entries}
                after = entries[-1][0]


async def resume(scale: float) -> list[Figure]:
    """The median and the 99th percentile, of the same runs."""
    waiting, count = sized(10_000, scale, 100), sized(PER_SECOND * SECONDS, scale, 200)
    runs: list[_Run] = []
    async with AsyncExitStack() as stack:
        server = stack.enter_context(BenchServer())
        service = await stack.enter_async_context(connect(server.url))
        client = await stack.enter_async_context(Redis(port=server.port))
        say(f"{NAME}  {waiting:,} interrupts, each with somebody who waits for it")
        waiters = await _waiters(service, waiting)

        async def measure() -> Pair:
            async with _answerer(server.url) as answerer:
                run = _Run(service, client, answerer)
                await run.of(count, len(runs) + 1)
            runs.append(run)
            return _pair(run, 0.5)

        try:
            p50 = await in_pairs(f"{NAME}_p50", PAIRS, measure)
            assert not any(waiter.done() for waiter in waiters)
            assert pending(server) == waiting
        finally:
            for waiter in waiters:
                waiter.cancel()
            await asyncio.gather(*waiters, return_exceptions=True)
    runs = runs[-PAIRS:]
    p99 = [_pair(run, 0.99) for run in runs]
    for number, pair in enumerate(p99, start=1):
        tell(f"{NAME}_p99", number, PAIRS, pair)
    return [
        _figure("p50", 0.5, Target(3, "at most", "ours"), p50, runs, waiting),
        _figure("p99", 0.99, Target(15, "at most", "ours"), p99, runs, waiting),
    ]


async def _waiters(service: InterruptService, count: int) -> list[asyncio.Task[Any]]:
    """Creates so many, and has somebody wait for each."""
    create, waiters = creating(service), list[asyncio.Task[Any]]()

    async def create_and_wait(ask: Ask) -> None:
        interrupt = await create(ask)
        waiters.append(asyncio.create_task(service.wait(interrupt.id)))

    await per_second(create_and_wait, asks(count), IN_FLIGHT)
    await asyncio.sleep(ANSWERED_AFTER_S)
    return waiters


def _figure(which: str, share: float, target: Target, pairs: list[Pair], runs: list[_Run], waiting: int) -> Figure:
    resumes, creates = ([one for run in runs for one in getattr(run, field)] for field in ("resumes", "creates"))
    create_ms, reached = percentile(creates, share), min(run.per_second for run in runs)
    busy = max(run.busy for run in runs)
    return Figure(
        f"{NAME}_{which}",
        "ms",
        f"the {which} of an XADD by the answering process until a blocked XREAD in the waiting one has it, both "
        "through redis.asyncio.Redis, on the same loops under the same load",
        target,
        pairs,
        {"create_ms": create_ms, "per_second": reached, "max": max(resumes), "busy": busy},
        (
            described(),
            (
                f"from the call of `respond` in one process until `wait` returns in another one: {len(resumes):,} in "
                f"all, {reached:,.0f} a second, while {waiting:,} others wait in that process, too"
            ),
            (
                f"each is created by the process that waits, at the same rate ({which} {create_ms:.2f} ms), and "
                f"answered {ANSWERED_AFTER_S:g} s later; the process that waits is busy for {busy:.0%} of the time"
            ),
            f"the slowest took {max(resumes):,.1f} ms",
        ),
    )


def _pair(run: _Run, share: float) -> Pair:
    return Pair(percentile(run.resumes, share), percentile(run.floors, share))
