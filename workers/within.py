"""Running the workers in a process of one's own: a script, a test, a notebook, or the worker command itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from interrupts import InterruptService
from projections import PROJECTIONS, Projection
from workers.projecting import Projecting

READY_TIMEOUT_S: Final = 5.0
"""How long the start may take; a long log goes on being folded after it, and the lists wait or say so."""


@asynccontextmanager
async def running(
    service: InterruptService, *, projections: Sequence[Projection] = PROJECTIONS
) -> AsyncIterator[Projecting]:
    """The workers, for as long as the block lasts: `async with connect() as service, running(service):`.

    They share the work with all others of the namespace. In the block the views are there and up to date. At its end
    what is in hand is finished. Raises `UnavailableError`.
    """
    projecting = Projecting(service, projections)
    await projecting.start()
    try:
        await projecting.ready(READY_TIMEOUT_S)
        yield projecting
    finally:
        await projecting.stop()
