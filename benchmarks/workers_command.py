"""Commands of producers: how fast one process decides what lies in the command streams, against calling it directly.

The commands are preloaded. The direct call is the same work in the same process: the same creates and answers, each
under its command id, 512 in flight. What differs is what the role does besides: it reads the streams, writes the
replies and takes the commands away.

    python -m benchmarks.workers_command
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Sequence
from time import perf_counter
from typing import Any, Final

import msgspec

from benchmarks.costs import Costs, told
from benchmarks.figures import Figure, Pair, Target
from benchmarks.measuring import in_pairs, per_second, sized
from benchmarks.progress import say
from benchmarks.server import BenchServer
from benchmarks.shape import ANSWER, CONTEXT, QUESTION, Ask, asks
from interrupts import InterruptResponse, InterruptService, connect
from interrupts.ids import keyed_id
from interrupts.keys import Keys
from workers.commanding import CommandsRole

IN_FLIGHT: Final = 512
PAIRS: Final = 7
COUNT: Final = 20_000
SENT_AT_ONCE: Final = 1_000
LOOK_EVERY_S: Final = 0.002
NAMESPACE: Final = "interrupts"

Sent = tuple[str, str, str, dict[str, Any]]
"""session, command id, command and body"""


async def run(scale: float) -> AsyncIterator[Figure]:
    """Both figures."""
    with BenchServer() as server:
        yield await command_figure(server, scale, "create")
        yield await command_figure(server, scale, "respond")


async def command_figure(server: BenchServer, scale: float, command: str) -> Figure:
    """Commands of one sort that one process decides a second, and the same work by direct calls."""
    count = sized(COUNT, scale, IN_FLIGHT)
    work = [(ask, f"command-{number:06}") for number, ask in enumerate(asks(count))]
    commands = [_created(*each) if command == "create" else _answered(*each) for each in work]
    ours, floor = Costs(server, count), Costs(server, count)

    async def measure() -> Pair:
        server.flush()
        async with connect(server.url) as service:
            if command == "respond":
                await per_second(_creating(service), work, IN_FLIGHT)
            preload(server, service.store.keys, commands)
            rate = await ours.of(decided_per_second(service, count))
            assert server.command("XLEN", service.store.keys.replies[0])
        server.flush()
        async with connect(server.url) as service:
            if command == "respond":
                await per_second(_creating(service), work, IN_FLIGHT)
            direct = _creating(service) if command == "create" else _answering(service)
            return Pair(rate, await floor.of(per_second(direct, work, IN_FLIGHT)))

    name = f"workers.command_{command}"
    pairs = await in_pairs(name, PAIRS, measure)
    details, costs = told(ours, floor)
    notes = (f"{count:,} commands in each measurement, in 16 partitions; one process", costs)
    return Figure(
        name,
        "commands/s",
        f"the same by direct calls, {IN_FLIGHT} in flight",
        Target(0.5, "at least"),
        pairs,
        details,
        notes,
    )


async def decided_per_second(service: InterruptService, count: int) -> float:
    """How many commands a second the role decides, from its start until these are done."""
    role = CommandsRole(service)
    gc.collect()
    began = perf_counter()
    running = asyncio.create_task(role.run())
    while int(role.numbers()["done"]) < count:
        assert not running.done(), running.result()
        assert not role.numbers()["refused"]
        await asyncio.sleep(LOOK_EVERY_S)
    rate = count / (perf_counter() - began)
    role.stop()
    await running
    return rate


def preload(server: BenchServer, keys: Keys, commands: Sequence[Sent]) -> None:
    """Puts commands into their streams."""
    for at in range(0, len(commands), SENT_AT_ONCE):
        server.commands(
            [
                ("XADD", _stream(keys, session), "*", "id", name, "command", what, "body", msgspec.json.encode(body))
                for session, name, what, body in commands[at : at + SENT_AT_ONCE]
            ]
        )


def _stream(keys: Keys, session: str) -> str:
    return keys.commands[keys.partition_of_session(session)]


def _created(ask: Ask, name: str) -> Sent:
    request_id, user_id, session_id = ask
    body = {"kind": "clarification", "request_id": request_id, "user_id": user_id, "session_id": session_id}
    return session_id, name, "create", {**body, "question": QUESTION, "data": CONTEXT}


def _answered(ask: Ask, name: str) -> Sent:
    body = {"interrupt_id": keyed_id(ask[2], name), "response": {"text": ANSWER}, "user_id": ask[1]}
    return ask[2], f"answer-{name}", "respond", body


def _creating(service: InterruptService) -> Any:
    async def create(work: tuple[Ask, str]) -> None:
        (request_id, user_id, session_id), name = work
        await service.create_clarification(
            request_id, user_id, session_id, QUESTION, context=CONTEXT, idempotency_key=name
        )

    return create


def _answering(service: InterruptService) -> Any:
    async def answer(work: tuple[Ask, str]) -> None:
        (_, user_id, session_id), name = work
        response, command_id = InterruptResponse(text=ANSWER), f"answer-{name}"
        interrupt_id = keyed_id(session_id, name)
        assert await service.respond(interrupt_id, response, user_id=user_id, command_id=command_id)

    return answer


async def _main() -> None:
    async for figure in run(float(os.environ.get("SCALE", "1"))):
        say(f"{figure.name}: {figure.ours:,.0f} {figure.unit}, {figure.ratio:.2f} of {figure.floor_is}")
        for note in figure.notes:
            say(f"    {note}")
        print(figure.to_json())


if __name__ == "__main__":
    asyncio.run(_main())
