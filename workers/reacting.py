"""The role that runs handlers: all subscriptions of some event buses, in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from interrupts import InterruptService, ValidationError
from workers.bus import EventBus
from workers.consuming import Consumer

_TO_GIVE_BACK_S: Final = 2.0
"""So much of the time for the end is kept for giving back what this process has."""


class ReactionsRole:
    """Reacts to this process's share of a namespace, for each group."""

    def __init__(self, service: InterruptService, buses: Sequence[EventBus], *, end_timeout_s: float = 10.0) -> None:
        subscriptions = [subscription for bus in buses for subscription in bus.subscriptions]
        names = [subscription.group for subscription in subscriptions]
        for name in names:
            if names.count(name) > 1:
                raise ValidationError(f"group: two buses have one named {name!r}.", field="group")
        alone = asyncio.Lock()
        self._consumers = [Consumer(service, subscription, alone) for subscription in subscriptions]
        for bus in buses:
            bus.serve(service)
        self._handlers_end_s = max(end_timeout_s - _TO_GIVE_BACK_S, end_timeout_s / 2)
        self._asked = asyncio.Event()
        self._started = False

    async def enlist(self) -> None:
        """Makes all groups known, before anything is read for them. Raises `UnavailableError`."""
        await asyncio.gather(*(consumer.enlist() for consumer in self._consumers))

    async def start(self) -> None:
        """Returns when all groups are there. Raises `UnavailableError`."""
        await asyncio.gather(*(consumer.start() for consumer in self._consumers))
        self._started = True

    async def end(self) -> None:
        """Finishes what is in hand, and gives it back. Does not raise."""
        ends = (consumer.end(self._handlers_end_s) for consumer in self._consumers)
        await asyncio.gather(*ends, return_exceptions=True)

    async def run(self) -> None:
        """Works until it is asked to stop."""
        if self._asked.is_set():
            return
        asked = asyncio.create_task(self._asked.wait())
        faults: list[asyncio.Task[None]] = []
        try:
            await self.start()
            faults = [asyncio.create_task(consumer.fault()) for consumer in self._consumers]
            ended, _ = await asyncio.wait([asked, *faults], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in (asked, *faults):
                task.cancel()
            await asyncio.gather(asked, *faults, return_exceptions=True)
            await self.end()

    def stop(self) -> None:
        """Asks it to end."""
        self._asked.set()

    @property
    def ready(self) -> bool:
        """Whether each group has all partitions that are this process's."""
        return self._started and all(consumer.ready for consumer in self._consumers)

    def numbers(self) -> dict[str, int | float | str]:
        """What was handled, failed, parked, and is held, in all groups."""
        total: dict[str, int | float | str] = {"groups": len(self._consumers)}
        for consumer in self._consumers:
            for name, number in consumer.numbers().items():
                total[name] = int(total.get(name, 0)) + number
        return total
