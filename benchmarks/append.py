"""Appending: how fast interrupts are created and answered, alone and by the hundred, and what one takes in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable
from typing import Any, Final

from redis.asyncio import Redis

from benchmarks.append_memory import memory
from benchmarks.costs import Costs, told
from benchmarks.figures import Figure, Pair, Target
from benchmarks.floor import KEYS, floor_per_second, interrupt_key, load_floor
from benchmarks.measuring import in_pairs, lone_pair, per_second, sized
from benchmarks.progress import say
from benchmarks.server import BenchServer
from benchmarks.shape import ANSWER, TTL_MS, Ask, asks, creating, described
from benchmarks.stored import Stored, pending, stored_event
from interrupts import InterruptResponse, InterruptService, connect
from interrupts.ids import new_id

IN_FLIGHT: Final = 512
PAIRS: Final = 7
WARM_UP: Final = 2 * IN_FLIGHT
BARE_CREATES: Final = "one bare create per script (floor.lua), 32 in a pipeline, sent by redis-benchmark"

Waiting = tuple[str, str]
"""interrupt and user id"""


async def run(scale: float) -> AsyncIterator[Figure]:
    """All figures of this part."""
    with BenchServer() as server:
        stored = await stored_event(server)
        yield await _create_512(server, stored, scale)
        yield await _respond_512(server, stored, scale)
        yield await _create_lone(server, stored, scale)
    yield await memory(scale)
    yield await _growth(scale)


async def _create_512(server: BenchServer, stored: Stored, scale: float) -> Figure:
    """Creates a second from one process, 512 in flight: the whole call, from arguments to a FlowInterrupt."""
    count = sized(60_000, scale, IN_FLIGHT)
    work = list(asks(count))
    ours, floor = Costs(server, count), Costs(server, count)

    async def measure() -> Pair:
        server.flush()
        async with connect(server.url) as service:
            await per_second(creating(service), asks(WARM_UP, seed=1), IN_FLIGHT)
            rate = await ours.of(per_second(creating(service), work, IN_FLIGHT))
        assert pending(server) == count + WARM_UP
        server.flush()
        return Pair(rate, await floor.of(floor_per_second(server, stored, count)))

    name = "append.create_512"
    pairs = await in_pairs(name, PAIRS, measure)
    details, costs = told(ours, floor)
    sizes = f"an event as stored: {len(stored.event)} bytes; {count:,} creates in each measurement"
    return Figure(name, "creates/s", BARE_CREATES, Target(0.9, "at least"), pairs, details, (described(), sizes, costs))


async def _respond_512(server: BenchServer, stored: Stored, scale: float) -> Figure:
    """Answers a second from one process, 512 in flight, to interrupts that another service has created."""
    count = sized(40_000, scale, IN_FLIGHT)
    ours, floor = Costs(server, count), Costs(server, count)

    async def measure() -> Pair:
        server.flush()
        async with connect(server.url) as maker:
            made = await _created(maker, asks(WARM_UP + count))
        async with connect(server.url) as service:

            async def answer(waiting: Waiting) -> None:
                interrupt_id, user_id = waiting
                answered = await service.respond(interrupt_id, InterruptResponse(text=ANSWER), user_id=user_id)
                assert answered is not None

            await per_second(answer, made[:WARM_UP], IN_FLIGHT)
            rate = await ours.of(per_second(answer, made[WARM_UP:], IN_FLIGHT))
        assert pending(server) == 0
        server.flush()
        return Pair(rate, await floor.of(floor_per_second(server, stored, count)))

    name = "append.respond_512"
    pairs = await in_pairs(name, PAIRS, measure)
    details, costs = told(ours, floor)
    sizes = f"an answer of {len(ANSWER)} characters; {count:,} answers in each measurement"
    return Figure(name, "answers/s", BARE_CREATES, Target(0.6, "at least"), pairs, details, (sizes, costs))


async def _create_lone(server: BenchServer, stored: Stored, scale: float) -> Figure:
    """The median time of a create when nothing else is going on."""
    calls = sized(3_000, scale, 20)
    sha = load_floor(server)
    name = "append.create_lone"
    async with connect(server.url) as service, Redis(port=server.port) as client:
        create, callers = creating(service), asks(calls * (PAIRS + 1))

        async def measure() -> Pair:
            ids = (new_id(session) for _, _, session in asks(calls, seed=1))
            bare = iter([(interrupt_key(new), stored.as_if(new)) for new in ids])

            def floor() -> Awaitable[Any]:
                key, event = next(bare)
                return client.evalsha(sha, len(KEYS) + 1, *KEYS, key, TTL_MS, event)

            return await lone_pair(lambda: create(next(callers)), floor, calls)

        server.flush()
        pairs = await in_pairs(name, PAIRS, measure)
    return Figure(
        name,
        "µs (p50)",
        "one bare EVALSHA of the same floor.lua through redis.asyncio.Redis, on the same loop",
        Target(1.6, "at most"),
        pairs,
        notes=(f"{calls:,} calls of each in a pair, in turn",),
    )


async def _growth(scale: float) -> Figure:
    """Whether a create gets slower when very many interrupts are pending."""
    many, few, calls = sized(1_000_000, scale, 2_000), 1_000, sized(1_500, scale, 20)
    name = "append.growth"
    with BenchServer() as large, BenchServer() as small:
        async with connect(large.url) as in_large, connect(small.url) as in_small:
            say(f"{name}  creating {many:,} interrupts")
            await per_second(creating(in_large), asks(many), IN_FLIGHT)
            create_in_large, create_in_small = creating(in_large), creating(in_small)
            callers = asks(2 * calls * (PAIRS + 1), seed=1)
            spent = {large: [0, 0], small: [0, 0]}

            async def measure() -> Pair:
                small.flush()  # what the pair before has created: it would soon be a thousand more
                await per_second(create_in_small, asks(few), IN_FLIGHT)
                for server in spent:
                    server.forget_times()
                pair = await lone_pair(
                    lambda: create_in_large(next(callers)), lambda: create_in_small(next(callers)), calls
                )
                for server, sums in spent.items():
                    ran, us = server.script_us()
                    assert ran == calls
                    sums[0] += ran
                    sums[1] += us
                return pair

            pairs = await in_pairs(name, PAIRS, measure)
            assert pending(large) >= many
            server_us = {server: us / ran for server, (ran, us) in spent.items()}
    return Figure(
        name,
        "µs (p50)",
        f"the same lone create on a second server with {few:,} pending, instead of {many:,}",
        Target(1.15, "at most"),
        pairs,
        {"pending": many, "server_us": server_us[large], "server_us_floor": server_us[small]},
        (f"the server spends on one: {server_us[large]:.1f} µs at {many:,}, {server_us[small]:.1f} µs at {few:,}",),
    )


async def _created(service: InterruptService, callers: Iterable[Ask]) -> list[Waiting]:
    create = creating(service)
    made: list[Waiting] = []

    async def keep(ask: Ask) -> None:
        interrupt = await create(ask)
        made.append((interrupt.id, interrupt.user_id))

    await per_second(keep, callers, IN_FLIGHT)
    return made
