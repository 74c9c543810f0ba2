"""Marks in an interrupt's history: its end was handed over to what goes on with it, and that has gone on.

They are events of the interrupt, and nobody's news: no subscriber hears of them, or one for all events would never end.
Each is there once for a group, however often its handler is called.
"""

from __future__ import annotations

import asyncio
from typing import Final

from interrupts import InterruptService, NotConfirmedError, NotFoundError, UnavailableError
from interrupts.commands import Mark
from interrupts.limits import RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S
from workers.event import Event

_ENDS: Final = {"interrupt.resolved", "interrupt.cancelled", "interrupt.expired"}


class Marking:
    """Marks for one group."""

    def __init__(self, service: InterruptService, group: str) -> None:
        self._service = service
        self._group = group

    async def delivered(self, event: Event) -> None:
        """Its handler is about to begin. Waits while Redis is away."""
        await self._mark(event, "delivered", done=False)

    async def acknowledged(self, event: Event) -> None:
        """Its handler is done. Waits while Redis is away."""
        await self._mark(event, "acknowledged", done=True)

    async def _mark(self, event: Event, what: str, *, done: bool) -> None:
        if event.event_type not in _ENDS:
            return
        command, pause_s = Mark(event.interrupt_id, f"{what}:{self._group}", self._group, done), RETRY_PAUSE_FIRST_S
        while True:
            try:
                await self._service.execution.carry_out(command)
                return
            except NotFoundError:
                return  # the interrupt is gone; there is no history to write to
            except NotConfirmedError:
                return  # it is written; should it be lost, so is nothing that anybody waits for
            except UnavailableError:
                # Not the handler's fault: the mark is tried again, not the handler.
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
