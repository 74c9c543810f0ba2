"""webhooks.rate: how many deliveries a second one process sends, from the log to one endpoint that answers at once.

Ours is the role with all that is promised, in a process of its own, as people start it: it reads events that lie in the
log, writes down what is to be sent, claims it, signs it, sends it and writes down what came of it; from the moment at
which it says that it runs, and has read nothing yet, until the last one is received. The floor is a bare aiohttp
client, in a process of its own and on the same event loop, too, that posts the same bodies from memory to the same
receiver, as many at once, and promises nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from statistics import median
from time import monotonic
from typing import Final

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, sized
from benchmarks.server import BenchServer
from benchmarks.shape import described
from benchmarks.stored import PARTITIONS
from benchmarks.webhooks_client import posted
from benchmarks.webhooks_events import NETWORKS, RULES, create_and_answer, sent_of, written_down
from benchmarks.webhooks_receiver import COUNTED, Came, Receiver, receiving
from benchmarks.workers_process import BenchRole
from interrupts import connect
from workers.webhooks import WebhookConfig, Webhooks, new_secret

NAME: Final = "webhooks.rate"
AT_ONCE: Final = 64
PAIRS: Final = 7


class _Runs:
    """Runs of the role and of the bare client, over one log, and what they cost in processor time per delivery."""

    def __init__(self, server: BenchServer, receiver: Receiver, count: int) -> None:
        self._server, self._receiver, self._count = server, receiver, count
        self.role_us: list[float] = []
        self.client_us: list[float] = []
        self.server_us: list[float] = []
        self.body_bytes = 0.0

    async def pair(self) -> Pair:
        """The role's rate, then the client's with the same bodies."""
        self._server.flush()
        async with connect(self._server.url) as service:
            url = self._receiver.url(COUNTED)
            config = WebhookConfig(url, ["*"], secret=new_secret(), concurrency=AT_ONCE)
            hooks = Webhooks(service, RULES)
            webhook_id = await hooks.register(config)
            await create_and_answer(service, self._count // 2)
            by_role, sent = await self._by_role(hooks, webhook_id)
            bodies = await sent_of(self._server, service)
        assert sent.requests == len(sent.at) == len(bodies) == self._count, "not each was sent once"
        by_client, others = await self._by_client(bodies)
        assert others.body_bytes == sent.body_bytes, "other bodies were sent than those that were posted"
        self.body_bytes = sent.body_bytes / self._count
        return Pair(by_role, by_client)

    async def _by_role(self, hooks: Webhooks, webhook_id: str) -> tuple[float, Came]:
        gc.collect()
        self._server.forget_times()
        with BenchRole(self._server, "webhooks", INTERRUPTS_WEBHOOK_NETWORKS=NETWORKS) as role:
            began, used_s = monotonic(), role.used_s()
            came = await self._receiver.came(self._count)
            await written_down(hooks, webhook_id, self._count)
            self.role_us.append((role.used_s() - used_s) * 1e6 / self._count)
        self.server_us.append(self._server.script_us()[1] / self._count)
        return self._count / (came.last_at - began), came

    async def _by_client(self, bodies: Sequence[bytes]) -> tuple[float, Came]:
        told = await posted(self._receiver.url(COUNTED), bodies, AT_ONCE)
        self.client_us.append(told.each_us)
        return told.per_second, await self._receiver.came(self._count)


async def rate(scale: float) -> Figure:
    """Pairs of the role and a bare client."""
    interrupts = sized(5_000, scale, 100)
    with BenchServer() as server:
        async with receiving() as receiver:
            runs = _Runs(server, receiver, 2 * interrupts)
            pairs = await in_pairs(NAME, PAIRS, runs.pair)
    role_us, client_us, server_us = (median(some[1:]) for some in (runs.role_us, runs.client_us, runs.server_us))
    return Figure(
        NAME,
        "deliveries/s",
        f"a bare aiohttp client that posts the same bodies from memory, {AT_ONCE} at once, to the same receiver",
        Target(0.7, "at least"),
        pairs,
        {"role_us": role_us, "client_us_floor": client_us, "server_us": server_us, "bytes": runs.body_bytes},
        (
            described(),
            (
                f"{interrupts:,} interrupts in {PARTITIONS} partitions, created and answered before: "
                f"{2 * interrupts:,} deliveries to one endpoint, {AT_ONCE} at once, signed, "
                f"{runs.body_bytes:,.0f} bytes on average"
            ),
            (
                f"each takes {role_us:.0f} µs of the role's process and {server_us:.1f} µs of the server's scripts; "
                f"the floor's, {client_us:.0f} µs of its own"
            ),
        ),
    )
