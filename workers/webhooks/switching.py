"""Switching endpoints off: at once if one says that it is gone, and by its rule if every try has failed for long."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import RETRY_PAUSE_MAX_S
from interrupts.store.deliveries import Deliveries
from interrupts.store.hooks import Hooks
from workers.webhooks.registered import Off, host_of
from workers.webhooks.registry import Registry

LOOK_AGAIN_S: Final = 10.0
"""How often it is looked at most whether one endpoint has failed everywhere."""
GONE: Final = "it has answered 410 Gone"


class Switching:
    """Switches endpoints off, from what those who send tell of them."""

    def __init__(self, service: InterruptService, registry: Registry) -> None:
        self._service = service
        self._registry = registry
        self._hooks = Hooks(service.store.server, service.store.keys)
        self._deliveries = Deliveries(service.store.server, service.store.keys)
        self._asked: asyncio.Queue[tuple[str, str, int]] = asyncio.Queue()
        self._looked: dict[str, float] = {}

    def gone(self, hook: str, rev: int) -> None:
        """It wants nothing any more, as it said to a try that was begun when this was the last change."""
        self._asked.put_nowait((hook, GONE, rev))

    def fails(self, hook: str, failing_ms: int) -> None:
        """In one partition every try has failed for so long."""
        one = self._registry.by_id.get(hook)
        after_s = None if one is None or one.off is not None else one.what.off_after_s
        now = time.monotonic()
        if after_s is None or failing_ms < after_s * 1000 or now - self._looked.get(hook, -LOOK_AGAIN_S) < LOOK_AGAIN_S:
            return
        self._looked[hook] = now
        self._asked.put_nowait((hook, "", self._registry.rev))

    async def run(self) -> None:
        """Switches off what is to be, until it is cancelled."""
        while True:
            hook, why, rev = await self._asked.get()
            while True:
                try:
                    await self._switch_off(hook, why, rev)
                    break
                except UnavailableError as error:
                    self._service.say("warning", "webhooks.waiting", why=str(error))
                    await asyncio.sleep(RETRY_PAUSE_MAX_S)

    async def _switch_off(self, hook: str, why: str, rev: int) -> None:
        one = self._registry.by_id.get(hook)
        if one is None or one.off is not None:
            return
        why = why or await self._fails_everywhere(hook, one.what.off_after_s)
        if not why:
            return
        off = msgspec.json.encode(Off(why, time.time_ns() // 1_000_000)).decode()
        if await self._hooks.switch_off(hook, off, rev):
            self._service.say(
                "error",
                "webhooks.switched_off",
                webhook=hook,
                host=host_of(one.what.url),
                because=why,
                meaning="its events wait, as far as there is room, until it is switched on again",
            )

    async def _fails_everywhere(self, hook: str, after_s: float | None) -> str:
        """Why it is to be switched off by its rule; "" if it is not: it has answered well in some partition."""
        if after_s is None:
            return ""
        partitions = range(self._service.store.keys.partitions)
        stats = await asyncio.gather(*(self._deliveries.stats(partition, hook) for partition in partitions))
        well_ms = max(one.get("delivered_at", 0) for one in stats)
        failing = [one["failing_since"] for one in stats if "failing_since" in one]
        failed_ms = max(one.get("failed_at", 0) for one in stats)
        if not failing or max(well_ms, min(failing)) > failed_ms - after_s * 1000:
            return ""
        return f"every try has failed for {_long(after_s)}"


def _long(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} seconds"
