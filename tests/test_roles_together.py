"""All roles in one worker process, real, on a real Redis: all of it happens, also when the server or a process goes."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import ExitStack
from datetime import timedelta

import pytest

from interrupts import InterruptResponse, InterruptService, connect
from interrupts.limits import LEASE_S
from projections.verify import verify
from tests.conftest import whole_log
from tests.expiring_process import ECHO, until_closed, whole_worker
from tests.producing import Producer, producer
from tests.reacting import until_async
from tests.servers import RedisServer, sessions
from tests.waiting import ask, run, types

SOON = timedelta(seconds=0.2)
PARTITIONS = 8
END_S = 13.0
"""The worker's `end_timeout_s`, and the watchdog."""
HANDLERS = "tests.expiring_process:bus"


async def echoes(service: InterruptService) -> set[int]:
    """What the handler of published events has seen."""
    return {event.content["n"] for event in await whole_log(service) if event.type == ECHO}


async def until_echoed(service: InterruptService, *numbers: int, timeout_s: float = 20.0) -> None:
    """Returns when all of these were handled."""

    async def echoed() -> bool:
        return set(numbers) <= await echoes(service)

    await until_async(echoed, "what was published is handled", timeout_s)


async def until_resumed(service: InterruptService, interrupt_id: str, timeout_s: float = 20.0) -> None:
    """Returns when a handler has gone on with it."""

    async def resumed() -> bool:
        return "interrupt.acknowledged" in await types(service, interrupt_id)

    await until_async(resumed, f"{interrupt_id} is resumed", timeout_s)


async def everything(service: InterruptService, commands: Producer, session: str, number: int) -> None:
    """Each sort of work once, in one session: returns when all of it has happened."""
    answered, overdue = await ask(service, session), await ask(service, session, ttl=SOON)
    waiting = [asyncio.create_task(service.wait(one.id)) for one in (answered, overdue)]
    assert answered.id in {one.id for one in await service.list_pending(session_id=session)}
    await service.publish("tests.event.happened", {"n": number, "session_id": session})
    await service.respond(answered.id, InterruptResponse(approved=True))
    made = await asyncio.to_thread(lambda: commands.made(commands.create(session)))
    reply = await asyncio.to_thread(lambda: commands.reply(commands.respond(made)))
    assert reply[0] == "done"
    assert [one.status.value for one in await asyncio.gather(*waiting)] == ["resolved", "expired"]
    for one in (answered.id, made):
        await until_resumed(service, one)
    await until_echoed(service, number)
    there = await service.get_interrupt(made)
    assert there is not None
    closed = {one.id for one in await service.list_closed(session, after=there.position)}
    assert closed >= {answered.id, overdue.id, made}


@pytest.mark.parametrize("how", ["option", "environment"])
def test_one_process_does_everything(shared_server: RedisServer, namespace: str, how: str) -> None:
    """Lists, deadlines, commands, reactions and waits, with handlers that are named either way; it ends with code 0."""
    options, told = (("--handlers", HANDLERS), "") if how == "option" else ((), HANDLERS)

    async def main() -> None:
        url = shared_server.url
        async with connect(url, namespace=namespace, partitions=PARTITIONS, view_wait_s=20) as service:
            with whole_worker(url, namespace, *options, INTERRUPTS_HANDLERS=told) as worker:
                roles = worker.until("workers.running")["roles"]
                assert roles == ["projections", "expiry", "commands", "reactions", "webhooks"]
                with producer(shared_server.port, namespace) as commands:
                    for number in range(2):
                        await everything(service, commands, f"s{number}", number)
                worker.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(worker.ended) == 0
                assert [line for line in worker.lines if line["level"] in ("warning", "error")] == []
            assert (await verify(service)).differences == []

    run(main())


async def in_all_partitions(service: InterruptService, commands: Producer, first: int) -> None:
    """A command, an event, an answer and a deadline in each partition: returns when all of it was dealt with."""
    there = sessions(service)
    numbers = list(range(first, first + len(there)))
    for session, number in zip(there, numbers, strict=True):
        await service.publish("tests.event.happened", {"n": number, "session_id": session})
    sent = [await asyncio.to_thread(commands.create, session) for session in there]
    overdue = [await ask(service, session, ttl=SOON) for session in there]
    answered = [await ask(service, session) for session in there]
    for one in answered:
        await service.respond(one.id, InterruptResponse(approved=True))
    for name in sent:
        await asyncio.to_thread(commands.made, name)
    await until_closed(service, overdue)
    await until_echoed(service, *numbers)
    for one in answered:
        await until_resumed(service, one.id)
    assert {one.session_id for one in await service.list_pending()} == set(there)


@pytest.mark.parametrize("others", [0, 1], ids=["begun afterwards", "there already"])
def test_one_that_ends_gives_everything_back(shared_server: RedisServer, namespace: str, others: int) -> None:
    """SIGTERM: it ends in time with code 0, and another process has all its partitions before any lease runs out."""

    async def main() -> None:
        url = shared_server.url
        async with connect(url, namespace=namespace, partitions=PARTITIONS, view_wait_s=20) as service:
            with ExitStack() as stack:
                first = stack.enter_context(whole_worker(url, namespace))
                for _ in range(others):
                    stack.enter_context(whole_worker(url, namespace))
                commands = stack.enter_context(producer(shared_server.port, namespace))
                await in_all_partitions(service, commands, 0)
                began = time.monotonic()
                first.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(first.ended) == 0
                assert time.monotonic() - began < END_S
                assert first.until("workers.ended")["in_time"]
                if not others:
                    stack.enter_context(whole_worker(url, namespace))
                began = time.monotonic()
                await in_all_partitions(service, commands, 1_000)
                took_s = time.monotonic() - began
            assert took_s < LEASE_S, f"{took_s:.1f} s"
            assert (await verify(service)).differences == []

    run(main())
