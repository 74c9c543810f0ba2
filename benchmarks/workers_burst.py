"""workers.expiry_burst: how long it takes until very many interrupts have expired that are due in the same second.

They are created first, with deadlines spread over one second that is some seconds ahead, on a server of their own that
one process of the expiry role looks after all the time. What is measured is read from the log afterwards: from the
first deadline to the last event that says that one has expired, all by the server's clock. So with a load that takes no
time at all to expire this would still be one second.

The floor is as many bare scripts that write one event each, sent by a load generator in C.
"""

from __future__ import annotations

import asyncio
import random
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

from benchmarks.append import BARE_CREATES
from benchmarks.figures import Figure, Pair, Target
from benchmarks.floor import floor_per_second
from benchmarks.measuring import in_pairs, per_second, sized
from benchmarks.server import BenchServer
from benchmarks.shape import CONTEXT, QUESTION, Ask, asks, described
from benchmarks.stored import PARTITIONS, stored_event
from benchmarks.workers_expiry import all_expired, ends, expiries
from benchmarks.workers_process import BenchRole
from interrupts import InterruptService, connect

NAME: Final = "workers.expiry_burst"
PAIRS: Final = 5
IN_FLIGHT: Final = 512
SPREAD_S: Final = 0.5
"""The deadlines are asked for within so much time. Creations that are held up on their way make it more: up to 1 s."""
AHEAD_S: Final = 1.0
"""How long after the last creation the first deadline should at least be."""
_TRIES_MAX: Final = 3
_TIMEOUT_S: Final = 120.0


class _Burst(NamedTuple):
    """One burst, in seconds: from the first, and from the last deadline to the last event; and the rate between."""

    from_first: float
    from_last: float
    spread: float
    per_second: float
    ahead: float
    late_p50: float


async def burst(scale: float) -> Figure:
    """Bursts, each on a server and with a process of its own."""
    count = sized(100_000, scale, 2_000)
    bursts: list[_Burst] = []
    create_s = count / 10_000
    """How long the creations take, to begin with."""

    async def measure() -> Pair:
        nonlocal create_s
        one, took_s = None, 0.0
        with BenchServer() as server:
            stored = await stored_event(server)
            with BenchRole(server, "expiry"):
                async with connect(server.url) as service:
                    for _ in range(_TRIES_MAX):
                        one, took_s = await _burst(server, service, count, create_s)
                        if one is not None:
                            break
                        create_s = 2 * took_s
            assert one is not None, f"the creations take {took_s:.0f} s, and more each time"
            create_s = 1.3 * took_s
            bursts.append(one)
            server.flush()
            return Pair(one.from_first, count / await floor_per_second(server, stored, count))

    pairs = await in_pairs(NAME, PAIRS, measure, warm_up=False)
    middle = {field: median(getattr(one, field) for one in bursts) for field in _Burst._fields}
    return Figure(
        NAME,
        "s",
        f"as many times {BARE_CREATES}",
        Target(3, "at most", "ours"),
        pairs,
        middle | {"from_first_max": max(one.from_first for one in bursts)},
        (
            described(),
            (
                f"{count:,} deadlines within {max(one.spread for one in bursts):.2f} s, in {PARTITIONS} partitions; "
                f"the first one {min(one.ahead for one in bursts):.1f} s or more after the last creation"
            ),
            (
                f"from the last deadline on: {middle['from_last']:.2f} s; {middle['per_second']:,.0f} expire a second; "
                f"half are up to {middle['late_p50']:.2f} s late; the slowest burst took {max(pairs).ours:.2f} s"
            ),
            "expired by one other process, `python -m workers run expiry`",
        ),
    )


async def _burst(
    server: BenchServer, service: InterruptService, count: int, create_s: float
) -> tuple[_Burst | None, float]:
    """Creates, and waits until all has expired; nothing if deadlines came before all was created. And how long creating
    took."""
    before, dice = ends(server), random.Random(1)
    began = perf_counter()
    due = began + create_s + AHEAD_S

    async def create(ask: Ask) -> None:
        request_id, user_id, session_id = ask
        ttl_s = max(0.1, due + dice.random() * SPREAD_S - perf_counter())
        await service.create_clarification(
            request_id, user_id, session_id, QUESTION, context=CONTEXT, ttl_seconds=ttl_s
        )

    await per_second(create, asks(count), IN_FLIGHT)
    created = perf_counter()
    await asyncio.sleep(max(0, due - created))
    await all_expired(server, SPREAD_S + _TIMEOUT_S)
    if created >= due:
        return None, created - began
    found = expiries(server, before)
    assert len(found.times) == count, f"{len(found.times)} of {count} have expired"
    first, last_due, last = min(found.deadlines), max(found.deadlines), max(found.times)
    assert last_due - first <= 1_000, f"the deadlines are spread over {last_due - first} ms"
    from_first_s = max(1, last - first) / 1e3
    late_p50 = median(found.late_ms) / 1e3
    return (
        _Burst(
            from_first_s,
            (last - last_due) / 1e3,
            (last_due - first) / 1e3,
            count / from_first_s,
            due - created,
            late_p50,
        ),
        created - began,
    )
