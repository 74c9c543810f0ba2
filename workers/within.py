"""Running the workers in a process of one's own: a script, a test, a notebook, or the worker command itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from interrupts import InterruptService
from projections import PROJECTIONS, Projection
from workers.bus import EventBus
from workers.expiring import ROLE, ExpiryRole
from workers.projecting import Projecting
from workers.roles import WEBHOOKS, Role
from workers.supervisor import Supervisor
from workers.webhooks.place import enlist
from workers.webhooks.role import WebhooksRole
from workers.webhooks.rules import Rules

END_TIMEOUT_S: Final = 5.0
READY_TIMEOUT_S: Final = 5.0
"""How long the start may take; a long log goes on being folded after it, and the lists wait or say so."""


@asynccontextmanager
async def running(
    service: InterruptService,
    *buses: EventBus,
    projections: Sequence[Projection] = PROJECTIONS,
    expiry: bool = True,
    webhooks: Rules | None = None,
) -> AsyncIterator[Projecting]:
    """The workers, for as long as the block lasts: `async with connect() as service, running(service):`.

    They fold the views, expire what is due (unless `expiry` is False), run the handlers of these buses, and send
    webhooks to where these rules let them (without rules they send none). They share the work with all others of the
    namespace. In the block the views are there and up to date. At its end what is in hand is finished. Raises
    `UnavailableError`.
    """
    projecting = Projecting(service, projections)
    await projecting.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(projecting.stop)
        await projecting.ready(READY_TIMEOUT_S)
        roles: dict[str, Callable[[], Role]] = {}
        if expiry:
            roles[ROLE] = lambda: ExpiryRole(service)
        if webhooks is not None:
            await enlist(service)
            roles[WEBHOOKS] = lambda: WebhooksRole(service, webhooks, end_timeout_s=END_TIMEOUT_S)
        if roles:
            kept = Supervisor(roles, service.say, end_timeout_s=END_TIMEOUT_S)
            work = asyncio.create_task(kept.run())
            stack.push_async_callback(asyncio.wait, [work])
            stack.callback(kept.stop)
        for bus in buses:
            await stack.enter_async_context(bus.running(service))
        yield projecting
