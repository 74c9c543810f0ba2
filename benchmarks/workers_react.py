"""workers.react: how many events a second one process hands to a handler that does nothing, from a log that is there.

Ours is an event bus with one empty handler, from before its start until it has ended: joining, taking the leases of all
partitions, reading, calling, writing down how far it is, giving the leases back. The floor is what is left of that if
nothing is promised: a loop of XREADGROUP and XACK with redis-py over the same streams, which throws the entries away.
"""

from __future__ import annotations

import asyncio
import gc
import random
from time import perf_counter
from typing import Any, Final

import redis
import redis.asyncio

from benchmarks.costs import Costs
from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, per_second, sized
from benchmarks.progress import say
from benchmarks.server import BenchServer
from benchmarks.stored import KEYS, PARTITIONS
from interrupts import InterruptService, connect
from interrupts.store.groups import Groups
from workers import Event, EventBus

NAME: Final = "workers.react"
SESSIONS: Final = 1_000
READ_COUNT: Final = 500
PAIRS: Final = 7
IN_FLIGHT: Final = 512
_TIMEOUT_S: Final = 120.0
_EVENT: Final = "session.chat.completed"


async def react(scale: float) -> Figure:
    """Pairs of a bus and a bare loop, each with a group that has seen nothing yet."""
    count = sized(100_000, scale, 2_000)
    blocking_rates, async_rates = list[float](), list[float]()
    with BenchServer() as server:
        ours = Costs(server, count)
        async with connect(server.url) as service:
            say(f"{NAME}  publishing {count:,} events")
            await _publish(service, count)
            number = 0

            async def measure() -> Pair:
                nonlocal number
                number += 1
                rate = await ours.of(_by_bus(service, f"group-{number}", count))
                _forget(server, f"group-{number}")
                blocking_rates.append(_by_bare_loop(server, f"bare-{number}", count))
                async_rates.append(await _by_bare_async_loop(server, f"bare-async-{number}", count))
                return Pair(rate, blocking_rates[-1])

            pairs = await in_pairs(NAME, PAIRS, measure)
    blocking, in_async = (sorted(rates[1:])[PAIRS // 2] for rates in (blocking_rates, async_rates))
    return Figure(
        NAME,
        "events/s",
        f"a bare loop of XREADGROUP COUNT {READ_COUNT} and XACK over the same streams, in one process, with "
        "redis.Redis and hiredis: the faster one on a quiet machine, beside redis.asyncio.Redis",
        Target(0.4, "at least"),
        pairs,
        {"client_us": ours.client_us, "server_us": ours.server_us, "blocking": blocking, "asyncio": in_async},
        (
            f"{count:,} published events of {SESSIONS:,} sessions in {PARTITIONS} partitions; an empty async handler",
            f"each takes {ours.client_us:.1f} µs of this process and {ours.server_us:.2f} µs of the server's scripts",
            f"the loop with redis.Redis reads {blocking:,.0f} a second, with redis.asyncio.Redis {in_async:,.0f}",
        ),
    )


async def _publish(service: InterruptService, count: int) -> None:
    dice = random.Random(0)

    async def publish(number: int) -> None:
        session_id = f"sess-{dice.randrange(SESSIONS):05}"
        await service.publish(_EVENT, {"session_id": session_id, "number": number, "response_length": 512})

    await per_second(publish, range(count), IN_FLIGHT)


async def _by_bus(service: InterruptService, group: str, count: int) -> float:
    """Events a second, from before the bus runs until it has ended and the group is written down at the log's end."""
    bus, handled, done = EventBus(), 0, asyncio.Event()

    @bus.subscribe(_EVENT, group=group, start="beginning")
    async def handle(_: Event) -> None:
        nonlocal handled
        handled += 1
        if handled == count:
            done.set()

    gc.collect()
    began = perf_counter()
    async with asyncio.timeout(_TIMEOUT_S), bus.running(service):
        await done.wait()
    took_s = perf_counter() - began
    assert handled == count, f"{handled} were handled, and {count} published"
    groups = Groups(service.store.server, KEYS)
    for partition in range(PARTITIONS):
        newest = await service.store.server.command(
            KEYS.slots[partition], "XREVRANGE", KEYS.logs[partition], "+", "-", "COUNT", 1
        )
        at, _ = await groups.standing(group, partition)
        assert not newest or at.stream_id == newest[0][0].decode(), "not all is written down as done"
    return count / took_s


def _forget(server: BenchServer, group: str) -> None:
    """Removes what the bus has written, so that each pair finds the same server."""
    server.command("DEL", *(KEYS.group(partition, group) for partition in range(PARTITIONS)))
    server.command("HDEL", KEYS.groups, group)


def _by_bare_loop(server: BenchServer, group: str, count: int) -> float:
    with redis.Redis(port=server.port) as opened:
        _make_group(server, group)
        client: Any = opened  # its replies are typed for both protocols at once
        after, read = dict.fromkeys(KEYS.logs, ">"), 0
        gc.collect()
        began = perf_counter()
        while found := client.xreadgroup(group, "bench", after, count=READ_COUNT):
            for log, entries in found:
                client.xack(log, group, *(stream_id for stream_id, _ in entries))
                read += len(entries)
        took_s = perf_counter() - began
    _end_group(server, group, read, count)
    return read / took_s


async def _by_bare_async_loop(server: BenchServer, group: str, count: int) -> float:
    async with redis.asyncio.Redis(port=server.port) as opened:
        _make_group(server, group)
        client: Any = opened
        after, read = dict.fromkeys(KEYS.logs, ">"), 0
        gc.collect()
        began = perf_counter()
        while found := await client.xreadgroup(group, "bench", after, count=READ_COUNT):
            for log, entries in found:
                await client.xack(log, group, *(stream_id for stream_id, _ in entries))
                read += len(entries)
        took_s = perf_counter() - began
    _end_group(server, group, read, count)
    return read / took_s


def _make_group(server: BenchServer, group: str) -> None:
    server.commands([("XGROUP", "CREATE", log, group, "0", "MKSTREAM") for log in KEYS.logs])


def _end_group(server: BenchServer, group: str, read: int, count: int) -> None:
    """Removes the group, once it is sure that the loop has read and acknowledged everything."""
    assert read == count, f"{read} events were read, and {count} published"
    assert not sum(server.command("XPENDING", log, group)["pending"] for log in KEYS.logs)
    server.commands([("XGROUP", "DESTROY", log, group) for log in KEYS.logs])
