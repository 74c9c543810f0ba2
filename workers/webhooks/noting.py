"""Writing down what became of deliveries: what gathers within a moment goes in one call.

What was written down once is not changed by the same call again, so a call that got no answer is made until it has one.
On one server a call carries all partitions; in a cluster each has its own: a node that is away holds up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import HOOK_NOTE_DELAY_S, RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S
from interrupts.store.deliveries import Deliveries, Sent, Settled

AT_ONCE: Final = 256
"""Outcomes that one call carries."""
Then = Callable[[Sent, Settled], None]


class Noting:
    """Writes outcomes down, and tells `then` of each how that went."""

    def __init__(self, service: InterruptService, then: Then) -> None:
        self._service = service
        self._deliveries = Deliveries(service.store.server, service.store.keys)
        self._then = then
        self._one_server = service.store.server.route.one_server
        self._waiting: dict[int, list[Sent]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._writers: dict[int, asyncio.Task[None]] = {}

    def note(self, outcome: Sent) -> None:
        """It is written down within a moment."""
        number = 0 if self._one_server else outcome.partition
        waiting = self._waiting.setdefault(number, [])
        waiting.append(outcome)
        if number in self._writers:
            return
        if len(waiting) >= AT_ONCE:
            self._write_soon(number)
        elif number not in self._timers:
            loop = asyncio.get_running_loop()
            self._timers[number] = loop.call_later(HOOK_NOTE_DELAY_S, self._write_soon, number)

    async def end(self, within_s: float) -> None:
        """Writes down what is left, as far as that is possible in this time."""
        for number in list(self._timers):
            self._write_soon(number)
        writers = list(self._writers.values())
        try:
            if writers:
                await asyncio.wait(writers, timeout=within_s)
        finally:
            for task in writers:
                task.cancel()
        await asyncio.gather(*writers, return_exceptions=True)

    def _write_soon(self, number: int) -> None:
        timer = self._timers.pop(number, None)
        if timer is not None:
            timer.cancel()
        if number not in self._writers:
            self._writers[number] = asyncio.get_running_loop().create_task(self._write(number))

    async def _write(self, number: int) -> None:
        pause_s = RETRY_PAUSE_FIRST_S
        try:
            while self._waiting[number]:
                some = self._waiting[number][:AT_ONCE]
                try:
                    settled = await self._deliveries.sent(some)
                except UnavailableError as error:
                    self._service.say("warning", "webhooks.can_not_note", why=str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
                    continue
                pause_s = RETRY_PAUSE_FIRST_S
                del self._waiting[number][: len(some)]
                for outcome, one in zip(some, settled, strict=True):
                    self._then(outcome, one)
        finally:
            del self._writers[number]
