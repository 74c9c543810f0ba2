"""webhooks.isolation: what nine endpoints lose when a tenth, which is sent the same events, hangs.

Ours is the rate of the nine while the tenth answers nothing at all: each request to it takes until its time is over,
and is tried again. The floor is the rate of the nine while the tenth answers as they do. As it takes nothing of the
process's time while it hangs, the nine may come out faster; so they are measured without a tenth, too: what hanging
costs them is the difference to that.
"""

from __future__ import annotations

import gc
from statistics import median
from time import perf_counter
from typing import Final

from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, sized
from benchmarks.server import BenchServer
from benchmarks.shape import described
from benchmarks.webhooks_events import RULES, create, sending
from benchmarks.webhooks_receiver import ASIDE, COUNTED, HANGING, Came, Receiver, receiving
from interrupts import connect
from workers.webhooks import WebhookConfig, Webhooks, new_secret

NAME: Final = "webhooks.isolation"
HEALTHY: Final = 9
HANGS_FOR_S: Final = 0.5
PAIRS: Final = 7


async def isolation(scale: float) -> Figure:
    """Pairs of runs with a tenth endpoint that hangs and with one that answers."""
    events = sized(500, scale, 20)
    alone, tried = list[float](), list[int]()
    with BenchServer() as server:
        async with receiving() as receiver:

            async def measure() -> Pair:
                hanging, came = await _rate(server, receiver, events, HANGING)
                assert came.hanging, "nothing was sent to the endpoint that hangs"
                tried.append(came.hanging)
                answering, came = await _rate(server, receiver, events, ASIDE)
                assert came.aside, "nothing was sent to the tenth endpoint"
                alone.append((await _rate(server, receiver, events, None))[0])
                return Pair(hanging, answering)

            pairs = await in_pairs(NAME, PAIRS, measure)
    by_itself = [pair.ours / one for pair, one in zip(pairs, alone[1:], strict=True)]
    return Figure(
        NAME,
        "deliveries/s",
        f"the rate of the same {HEALTHY} endpoints when the tenth answers as they do",
        Target(0.9, "at least"),
        pairs,
        {"alone": median(alone[1:]), "ratio_alone": median(by_itself), "tried": median(tried[1:])},
        (
            described(),
            (
                f"{events:,} creations, each sent to {HEALTHY} endpoints that answer and to one that hangs until its "
                f"time-out of {HANGS_FOR_S:g} s, each with the usual concurrency; the rate is that of the {HEALTHY}"
            ),
            (
                f"without a tenth endpoint they get {median(alone[1:]):,.0f} a second; hanging leaves them "
                f"{median(by_itself):.2f} of that ({min(by_itself):.2f} to {max(by_itself):.2f})"
            ),
        ),
    )


async def _rate(server: BenchServer, receiver: Receiver, events: int, tenth: str | None) -> tuple[float, Came]:
    """Deliveries a second to the nine, from before the role runs until the last one is received."""
    server.flush()
    async with connect(server.url) as service:
        hooks = Webhooks(service, RULES)
        urls = [receiver.url(f"{COUNTED}/{number}") for number in range(HEALTHY)]
        configs = [WebhookConfig(url, ["*"], secret=new_secret()) for url in urls]
        if tenth is not None:
            url = receiver.url(tenth)
            configs.append(WebhookConfig(url, ["*"], secret=new_secret(), timeout_seconds=HANGS_FOR_S))
        for config in configs:
            await hooks.register(config)
        await create(service, events)
        await receiver.came(0)  # what came late to the tenth one is none of this run's
        gc.collect()
        began = perf_counter()
        async with sending(service):
            came = await receiver.came(HEALTHY * events)
            took_s = perf_counter() - began
    assert came.requests == len(came.at) == HEALTHY * events, "not each was sent once"
    return HEALTHY * events / took_s, came
