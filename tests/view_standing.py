"""How views stand, and waiting until somebody has folded what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from interrupts import InterruptService
from projections import Projection
from projections.lag import lags
from projections.store import Standing, Views
from tests.notes import ALL
from tests.servers import START_TIMEOUT_S


async def standing(service: InterruptService, view: str, partition: int = 0) -> Standing:
    """How a view stands."""
    (found,) = await Views(service.store).standings([view], [partition])
    return found


async def names(service: InterruptService, partition: int, view: str) -> list[str]:
    """The names of all keys of a view, its card among them."""
    keys = service.store.keys
    card = keys.card(partition, view)
    found = await service.store.server.command(keys.slots[partition], "KEYS", f"{card}:*")
    return sorted(name.decode() for name in found)


async def until_folded(service: InterruptService, projections: Sequence[Projection] = ALL) -> None:
    """Returns when somebody has folded all that is there."""
    give_up_at = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while behind := [lag for lag in await lags(service, projections=projections) if lag.events or lag.state != "live"]:
        assert asyncio.get_running_loop().time() < give_up_at, f"waited {START_TIMEOUT_S:g} s in vain: {behind}"
        await asyncio.sleep(0.01)
