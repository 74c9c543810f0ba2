"""Which workers are there, asked without joining them."""

from __future__ import annotations

from interrupts import InterruptService
from interrupts.keys import slot_of_tag, workers_key
from interrupts.store.lookup import ATTEND, ROLE


async def present(service: InterruptService) -> list[str]:
    """Those that fold views in this namespace."""
    namespace = service.store.keys.namespace
    key = workers_key(namespace, ROLE)
    return [name.decode() for name in await service.store.server.read(ATTEND, slot_of_tag(namespace), [key], ["", ""])]
