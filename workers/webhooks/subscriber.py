"""A subscriber that hands events of an application's own to webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from interrupts import ValidationError
from workers.event import Event
from workers.webhooks.scopes import Scope

if TYPE_CHECKING:
    from workers.webhooks.service import WebhookService


class WebhookSubscriber:
    """Call it with an event: a name and its data, or an object that has `event_type` and `data` (or `payload`).

    `scope`: what is emitted belongs to this request, session or user, unless the data name one. An event of the store's
    own bus is in the log already, from where it goes to webhooks by itself: it is counted, and not published again.
    """

    def __init__(self, service: WebhookService, scope: str | None = None) -> None:
        self._service = service
        where = Scope.parse(scope)
        self._ids = {f"{where.sort}_id": where.id} if where.sort else {}

    async def __call__(self, event: Any, data: Mapping[str, Any] | None = None) -> int:
        """Emits the event; returns to how many endpoints it goes. Raises `ValidationError`, `UnavailableError`."""
        if isinstance(event, Event):
            return await self._service.count_of(event)
        name = event if isinstance(event, str) else getattr(event, "event_type", None) or getattr(event, "type", None)
        said = data
        if said is None and not isinstance(event, str):
            said = getattr(event, "data", None) or getattr(event, "payload", None)
        if not isinstance(name, str) or not isinstance(said or {}, Mapping):
            raise ValidationError(
                "event: give a name and its data, or an object with event_type and data.", field="event"
            )
        plain = dict(said or {})
        request_id = getattr(event, "request_id", None)
        ids = self._ids | ({} if request_id is None else {"request_id": request_id})
        ids = {field: own for field, own in ids.items() if not plain.get(field)}
        return await self._service.emit_with_ids(name, plain, ids, getattr(event, "event_id", None))

    on_event = handle_event = __call__
