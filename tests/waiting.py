"""What tests of waiting share: something to wait for, and waiters that are known to be asleep."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from interrupts import FlowInterrupt, InterruptResponse, InterruptService
from tests.servers import until

YES = InterruptResponse(approved=True)
BOUND_S = 60.0
"""Whoever is not woken by then has been forgotten."""


def run(main: Coroutine[Any, Any, None], bound_s: float = BOUND_S) -> None:
    """Runs a test that hangs if somebody is not woken; then it fails."""
    asyncio.run(asyncio.wait_for(main, bound_s))


async def ask(service: InterruptService, session: str = "s", **options: Any) -> FlowInterrupt:
    """A confirmation to wait for."""
    return await service.create_confirmation("r", "u", session, "Go on?", **options)


async def types(service: InterruptService, interrupt_id: str) -> list[str]:
    """What has happened to it."""
    return [event.type for event in await service.history(interrupt_id)]


def hung_up(service: InterruptService) -> list[asyncio.Event]:
    """The bells of those who wait."""
    return [bell for bells in service._waiters._bells.values() for bell in bells]


async def asleep(service: InterruptService, count: int) -> None:
    """Returns when so many wait, and none of them has anything to do but to listen for its bell."""

    def all_asleep() -> bool:
        bells = hung_up(service)
        return len(bells) == count and all(bell._waiters and not bell.is_set() for bell in bells)

    await until(all_asleep, f"{count} wait")


async def begun(service: InterruptService, *calls: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Calls of this service that wait, each for one, once they are asleep."""
    before = len(hung_up(service))
    tasks = [asyncio.create_task(call) for call in calls]
    await asleep(service, before + len(tasks))
    return tasks


def looks(service: InterruptService) -> list[str]:
    """From now on the ids that waiters of this service look at."""
    look, seen = service._waiters._look, list[str]()

    async def noted(interrupt_id: str) -> Any:
        seen.append(interrupt_id)
        return await look(interrupt_id)

    service._waiters._look = noted  # type: ignore[method-assign]
    return seen
