"""webhooks.latency_ms: from an event's place in the log until the endpoint has received it, 200 a second.

The events are answers to interrupts that wait, by this process, each when it is its turn. The role runs in a process of
its own, as people start it, and the receiver in another one. When an event was appended is in its stream id, in whole
milliseconds of the server's clock, which is this machine's, as the receiver's is. So up to a millisecond too much is
counted, and never too little.

The floor is what the way alone takes at that time: a bare aiohttp client posts the same number of bytes to the same
receiver, on this process's loop, from the call until it is received.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Final

import aiohttp

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, sized
from benchmarks.projections_lag import percentile
from benchmarks.server import BenchServer
from benchmarks.shape import described
from benchmarks.webhooks_events import NETWORKS, RULES, answer, create
from benchmarks.webhooks_receiver import COUNTED, Came, Receiver, receiving
from benchmarks.workers_process import BenchRole
from interrupts import InterruptService, connect
from workers.webhooks import WebhookConfig, Webhooks, new_secret

NAME: Final = "webhooks.latency_ms"
PER_SECOND: Final = 200
SECONDS: Final = 5
PAIRS: Final = 5
POST_EVERY: Final = 5
BODY: Final = b"." * 1_000
_POSTED: Final = "posted-"
_TIMEOUT_S: Final = 30.0


class Run:
    """One run of the load, and the times that were taken in it, in milliseconds."""

    def __init__(self, service: InterruptService, client: aiohttp.ClientSession, receiver: Receiver) -> None:
        self._service, self._client, self._receiver = service, client, receiver
        self._posted: dict[str, float] = {}
        self.late_ms: list[float] = []
        self.floor_ms: list[float] = []
        self.per_second = 0.0

    async def of(self, count: int, seed: int) -> None:
        """That many answers; returns when all have been received."""
        made = await create(self._service, count, seed)
        gc.collect()
        began = time.perf_counter()
        async with asyncio.timeout(_TIMEOUT_S + count / PER_SECOND), asyncio.TaskGroup() as group:
            for number, one in enumerate(made):
                await asyncio.sleep(max(0, began + number / PER_SECOND - time.perf_counter()))
                group.create_task(answer(self._service, one))
                if number % POST_EVERY == POST_EVERY // 2:
                    group.create_task(self._post(f"{_POSTED}{number}"))
        self.per_second = count / (time.perf_counter() - began)
        self.take(await self._receiver.came(count + len(self._posted)), self._posted)
        assert len(self.late_ms) == count, f"{len(self.late_ms)} of {count} came"

    def take(self, came: Came, posted: dict[str, float]) -> None:
        """What has come, and when what was posted was."""
        for message_id, at in came.at.items():
            if message_id in posted:
                self.floor_ms.append((at - posted[message_id]) * 1e3)
            else:
                self.late_ms.append(at * 1e3 - appended_ms(message_id))

    async def _post(self, message_id: str) -> None:
        headers = {"webhook-id": message_id, "Content-Type": "application/json"}
        self._posted[message_id] = time.time()
        async with self._client.post(self._receiver.url(COUNTED), data=BODY, headers=headers) as response:
            await response.read()


def appended_ms(message_id: str) -> int:
    """When the event of a delivery was appended, by the server's clock."""
    _, ms, _ = message_id.split("-", 2)
    return int(ms)


async def latency(scale: float) -> Figure:
    """Runs of the load, the median of each."""
    count = sized(PER_SECOND * SECONDS, scale, 100)
    runs: list[Run] = []
    with BenchServer() as server:
        async with receiving() as receiver, connect(server.url) as service, aiohttp.ClientSession() as client:
            config = WebhookConfig(receiver.url(COUNTED), ["interrupt.resolved"], secret=new_secret())
            await Webhooks(service, RULES).register(config)
            with BenchRole(server, "webhooks", INTERRUPTS_WEBHOOK_NETWORKS=NETWORKS):

                async def measure() -> Pair:
                    run = Run(service, client, receiver)
                    await run.of(count, len(runs) + 1)
                    runs.append(run)
                    return Pair(percentile(run.late_ms, 0.5), percentile(run.floor_ms, 0.5))

                pairs = await in_pairs(NAME, PAIRS, measure)
    late, posts = ([one for run in runs[-PAIRS:] for one in getattr(run, field)] for field in ("late_ms", "floor_ms"))
    p99, reached = percentile(late, 0.99), min(run.per_second for run in runs[-PAIRS:])
    return Figure(
        NAME,
        "ms",
        f"the p50 of a bare aiohttp POST of {len(BODY):,} bytes on the load's loop, from the call until it is received",
        Target(10, "at most", "ours"),
        pairs,
        {"p99": p99, "max": max(late), "p99_floor": percentile(posts, 0.99), "per_second": reached},
        (
            described(),
            (
                f"the p50 of {count:,} answers a run, {reached:,.0f} a second, to one endpoint that is sent those "
                "events, signed; by another process, `python -m workers run webhooks`"
            ),
            (
                f"from the event's stream id, which is whole milliseconds, until it is received: p99 {p99:.1f} ms, the "
                f"slowest {max(late):,.1f} ms"
            ),
        ),
    )
