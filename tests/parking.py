"""Groups of reactions for tests: handlers that note, fail, or wait until they are told to go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from interrupts import InterruptService, connect
from tests.reacting import until_async
from tests.servers import Cluster, RedisServer, until
from workers import Event, EventBus
from workers.group_standing import owners_in

FAST = {"backoff_first_s": 0.0, "backoff_max_s": 0.0}


class Notes:
    """A handler that notes what it is given, and fails or waits where it is told to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fails: set[str] = set()
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def __call__(self, event: Event) -> None:
        """Notes its position."""
        self.seen.append(event.position)
        await self.goes_on.wait()
        if event.session_id in self.fails:
            raise ValueError(f"not {event.session_id}\x1b[31m")


def bus_of(notes: Notes, group: str = "resume", *patterns: str, **options: object) -> EventBus:
    """A bus with one group, which begins with the log."""
    bus = EventBus()
    given = {"start": "beginning", "attempts_max": 1, **FAST, **options}

    async def handle(event: Event) -> None:
        await notes(event)

    bus.subscribe(*(patterns or ("shop.order.placed",)), group=group, **given)(handle)  # type: ignore[arg-type]
    return bus


@asynccontextmanager
async def store(server: RedisServer | Cluster, namespace: str, partitions: int = 2) -> AsyncIterator[InterruptService]:
    """The test's own."""
    async with connect(server.url, namespace=namespace, partitions=partitions) as service:
        yield service


async def placed(service: InterruptService, *session_ids: str) -> list[str]:
    """An event of each session; the positions."""
    return [await service.publish("shop.order.placed", {"session_id": each, "\x1b": "é"}) for each in session_ids]


async def until_run(service: InterruptService, group: str = "resume") -> None:
    """Returns when some process has the group in all partitions."""

    async def is_run() -> bool:
        return None not in await owners_in(service, group, range(service.log.partitions))

    await until_async(is_run, f"{group} is run")


async def parked_by(service: InterruptService, notes: Notes, *session_ids: str, group: str = "resume") -> list[str]:
    """Has a group park an event of each of these sessions; the positions. When it returns, the group is not run."""
    notes.fails |= set(session_ids)
    positions = await placed(service, *session_ids)
    async with bus_of(notes, group).running(service):
        await until(lambda: set(positions) <= set(notes.seen), "all was handled once")
    return positions
