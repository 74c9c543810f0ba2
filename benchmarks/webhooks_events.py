"""What the webhooks' figures have in common: events in the log, what is sent of them, and the role that sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from benchmarks.measuring import per_second
from benchmarks.server import BenchServer
from benchmarks.shape import ANSWER, Ask, asks, creating
from benchmarks.stored import KEYS
from interrupts import InterruptResponse, InterruptService
from workers.webhooks import Rules, Webhooks
from workers.webhooks.role import WebhooksRole
from workers.webhooks.telling import bodies, told_of

NETWORKS: Final = "127.0.0.0/8"
RULES: Final = Rules(networks=(NETWORKS,))
IN_FLIGHT: Final = 512
LOOK_EVERY_S: Final = 0.01
TIMEOUT_S: Final = 30.0


async def create(service: InterruptService, count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Creates so many interrupts; the id and the user of each."""
    made, one = list[tuple[str, str]](), creating(service)

    async def make(ask: Ask) -> None:
        made.append(((await one(ask)).id, ask[1]))

    await per_second(make, asks(count, seed), IN_FLIGHT)
    return made


async def answer(service: InterruptService, one: tuple[str, str]) -> None:
    """Answers an interrupt."""
    interrupt_id, user_id = one
    assert await service.respond(interrupt_id, InterruptResponse(text=ANSWER), user_id=user_id) is not None


async def create_and_answer(service: InterruptService, count: int) -> None:
    """Creates so many interrupts and answers each: twice as many events."""

    async def one(each: tuple[str, str]) -> None:
        await answer(service, each)

    await per_second(one, await create(service, count), IN_FLIGHT)


async def sent_of(server: BenchServer, service: InterruptService) -> list[bytes]:
    """The body of each event in the log, as endpoints are sent it."""
    found = list[bytes]()
    for partition, log in enumerate(KEYS.logs):
        entries = server.command("XRANGE", log, "-", "+")
        told = [told_of(partition, stream_id.decode(), fields[b"e"]) for stream_id, fields in entries]
        found += await bodies(service, [one for one in told if one is not None])
    return found


@asynccontextmanager
async def sending(service: InterruptService) -> AsyncIterator[WebhooksRole]:
    """The role in this process, for as long as the block lasts."""
    role = WebhooksRole(service, RULES)
    work = asyncio.create_task(role.run())
    try:
        yield role
    finally:
        role.stop()
        await work


async def written_down(hooks: Webhooks, webhook_id: str, count: int) -> None:
    """Returns when it is written down that so many were delivered to an endpoint, and nothing waits for it."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            stats = await hooks.stats(webhook_id)
            if stats.delivered >= count and not stats.waiting:
                break
            await asyncio.sleep(LOOK_EVERY_S)
    assert not stats.failed_tries, f"{stats.failed_tries} tries have failed"
