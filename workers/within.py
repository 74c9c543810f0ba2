"""Running the workers in a process of one's own: a script, a test, a notebook, or the worker command itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from interrupts import InterruptService
from projections import PROJECTIONS, Projection
from workers.bus import EventBus
from workers.expiring import ROLE, ExpiryRole
from workers.projecting import Projecting
from workers.supervisor import Supervisor

END_TIMEOUT_S: Final = 5.0
READY_TIMEOUT_S: Final = 5.0
"""How long the start may take; a long log goes on being folded after it, and the lists wait or say so."""


@asynccontextmanager
async def running(
    service: InterruptService,
    *buses: EventBus,
    projections: Sequence[Projection] = PROJECTIONS,
    expiry: bool = True,
) -> AsyncIterator[Projecting]:
    """The workers, for as long as the block lasts: `async with connect() as service, running(service):`.

    They fold the views, expire what is due (unless `expiry` is False), and run the handlers of these buses. They share
    the work with all others of the namespace. In the block the views are there and up to date. At its end what is in
    hand is finished. Raises `UnavailableError`.
    """
    projecting = Projecting(service, projections)
    await projecting.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(projecting.stop)
        await projecting.ready(READY_TIMEOUT_S)
        if expiry:
            kept = Supervisor({ROLE: lambda: ExpiryRole(service)}, service.say, end_timeout_s=END_TIMEOUT_S)
            work = asyncio.create_task(kept.run())
            stack.push_async_callback(asyncio.wait, [work])
            stack.callback(kept.stop)
        for bus in buses:
            await stack.enter_async_context(bus.running(service))
        yield projecting
