"""To how many endpoints an event goes: the same choice that those who send make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workers.event import Event
from workers.webhooks.registry import Registry
from workers.webhooks.scopes import SORTS, Scope
from workers.webhooks.telling import told_of


class Counting:
    """The part of `Webhooks` that counts."""

    _registry: Registry

    async def count_of(self, event: Event) -> int:
        """To how many endpoints an event of the log would go now. Raises `UnavailableError`."""
        told = told_of(event.partition, event.stream_id, event.raw)
        if told is None:
            return 0
        await self._registry.refresh()
        return len(self._registry.named(told.name, told.scopes))

    async def count_for(self, event_type: str, ids: Mapping[str, Any]) -> int:
        """To how many endpoints an event of these ids would go now. Raises `UnavailableError`."""
        # What keeps no session's order keeps its request's, else its name's, as if that were one.
        told = {sort: ids.get(f"{sort}_id") for sort in SORTS}
        told["session"] = told["session"] or told["request"] or event_type
        await self._registry.refresh()
        return len(self._registry.named(event_type, [Scope(sort, str(own)) for sort, own in told.items() if own]))
