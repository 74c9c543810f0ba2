"""The webhook service of the contract: calls without async where the contract has none, and a delivery worker.

    webhooks = WebhookService(url="redis://host:6379/0")
    webhooks.register(WebhookConfig("https://example.com/hook", ["interrupt.*"], secret="…"))
    await webhooks.start_delivery_worker()

It has an event loop of its own in a thread, with a connection of its own, which is made at the first call. So nothing
here holds up the caller's loop for longer than a question to Redis takes, and the worker goes on whatever that loop
does. As a port of an interrupt service (`connect(webhook_service=webhooks)`) it isn't called: it reads the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from workers.event import Event
from workers.webhooks.hooks import Webhooks
from workers.webhooks.keeping import BY_HAND
from workers.webhooks.model import (
    Delivery,
    DeliveryStatus,
    Endpoint,
    EndpointStats,
    Resent,
    WebhookConfig,
    WebhookDeliveryResult,
)
from workers.webhooks.registered import ROTATION_S
from workers.webhooks.subscriber import WebhookSubscriber
from workers.webhooks.threaded import Threaded


class WebhookService(Threaded):
    """Service for managing webhook subscriptions and delivery.

    `delivery_queue_size`: how many deliveries its worker has in hand; all that is beyond waits in Redis. `url`,
    `namespace` and `partitions` are as for `connect`; `rules` say where anything may be sent.
    """

    reads_log: Final = True

    def register(self, config: WebhookConfig, scope: str | None = None) -> str:
        """Register a webhook. Returns webhook ID.

        `scope`: a request's id (or `request:<id>`, `session:<id>`, `user:<id>`); None: the events of all. One url is
        one webhook in a scope: registered again, it gets the new configuration. Raises `ValidationError`,
        `UnavailableError`.
        """
        return self._wait(lambda hooks: hooks.register(config, scope))

    def unregister(self, scope: str | None = None, url: str | None = None) -> int:
        """Unregister webhooks: those of a scope (None: those for all), or the one of this url in it. Returns count
        removed. Raises `UnavailableError`."""
        return self._wait(lambda hooks: hooks.unregister(scope, url))

    def get_webhooks(self, scope: str | None = None) -> list[WebhookConfig]:
        """Get registered webhooks: those of a scope (None: those for all), without what is secret.

        Raises `UnavailableError`.
        """
        return self._wait(lambda hooks: hooks.get_webhooks(scope))

    def get_delivery_results(
        self,
        scope: str | None = None,
        limit: int = 100,
        *,
        webhook_id: str | None = None,
        event_type: str | None = None,
        status: DeliveryStatus | str | None = None,
    ) -> list[WebhookDeliveryResult]:
        """Get recent delivery results, the newest events first: of a scope (None: all), and of those that meet the
        other filters. Raises `NotFoundError`, `ValidationError`, `UnavailableError`."""
        return self._wait(
            lambda hooks: hooks.get_delivery_results(
                scope, limit, webhook_id=webhook_id, event_type=event_type, status=status
            )
        )

    def endpoints(self, scope: str | None = None, *, everywhere: bool = False) -> list[Endpoint]:
        """The webhooks of a scope, or of every scope, as they are: whether they are switched off, and why."""
        return self._wait(lambda hooks: hooks.endpoints(scope, everywhere=everywhere))

    def stats(self, webhook_id: str) -> EndpointStats:
        """Its counts, and how quickly it answers. Raises `NotFoundError`, `UnavailableError`."""
        return self._wait(lambda hooks: hooks.stats(webhook_id))

    def switch_off(self, webhook_id: str, why: str = BY_HAND) -> bool:
        """Sends it nothing until it is switched on: its events wait. Raises `NotFoundError`, `UnavailableError`."""
        return self._wait(lambda hooks: hooks.switch_off(webhook_id, why))

    def switch_on(self, webhook_id: str) -> bool:
        """Sends it what has waited, and goes on. Raises `NotFoundError`, `UnavailableError`."""
        return self._wait(lambda hooks: hooks.switch_on(webhook_id))

    def rotate_secret(self, webhook_id: str, secret: str, *, overlap_s: float = ROTATION_S) -> None:
        """Signs with this secret, and for a while with the one before as well. Raises as `Webhooks.rotate_secret`."""
        self._wait(lambda hooks: hooks.rotate_secret(webhook_id, secret, overlap_s=overlap_s))

    def send_test(self, webhook_id: str) -> str:
        """Has a test event sent to it; returns the delivery's id. Raises as `Webhooks.send_test`."""
        return self._wait(lambda hooks: hooks.send_test(webhook_id))

    def delivery(self, delivery_id: str) -> Delivery:
        """One delivery, with the beginning of its body. Raises `NotFoundError`, `UnavailableError`."""
        return self._wait(lambda hooks: hooks.delivery(delivery_id))

    def resend(
        self,
        webhook_id: str,
        delivery_ids: Iterable[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        everything: bool = False,
    ) -> Resent:
        """Has deliveries sent again: these, or of those that were given up all, or a time range.

        Raises as `Webhooks.resend`.
        """
        return self._wait(
            lambda hooks: hooks.resend(webhook_id, delivery_ids, since=since, until=until, everything=everything)
        )

    def create_subscriber(self, scope: str | None = None) -> WebhookSubscriber:
        """Create an event subscriber for this service."""
        return WebhookSubscriber(self, scope)

    async def emit_event(
        self,
        event_type: str,
        data: dict[str, Any],
        request_id: str | None = None,
        event_id: str | None = None,
    ) -> int:
        """Emit an event to matching webhooks. Returns count queued.

        It is in the log when this returns, and is sent whatever crashes then. With an `event_id` it is published once
        in its request (session, or name), however often it is emitted within a day. Raises `ValidationError`,
        `ConflictError` for an id used again with other data, `UnavailableError`.
        """
        return await self._in_thread(
            lambda hooks: self._emit(hooks, event_type, data, {"request_id": request_id}, event_id)
        )

    async def emit_with_ids(
        self, event_type: str, data: dict[str, Any], ids: Mapping[str, str | None], event_id: str | None = None
    ) -> int:
        """The same, for a session's or user's event, by its ids. Raises as `emit_event` does."""
        return await self._in_thread(lambda hooks: self._emit(hooks, event_type, data, ids, event_id))

    async def count_of(self, event: Event) -> int:
        """To how many webhooks an event of the log goes. Raises `UnavailableError`."""
        return await self._in_thread(lambda hooks: hooks.count_of(event))

    async def start_delivery_worker(self) -> None:
        """Start the background delivery worker. Returns when it reads the log; started twice, it runs once.

        Raises `UnavailableError`.
        """
        await self._in_thread(lambda _: self._start())

    async def stop_delivery_worker(self) -> None:
        """Stop the background delivery worker, and close the connection. What is being sent is finished."""
        await asyncio.to_thread(self.close)

    @staticmethod
    async def _emit(
        hooks: Webhooks, event_type: str, data: dict[str, Any], ids: Mapping[str, str | None], event_id: str | None
    ) -> int:
        await hooks.emit(event_type, data, ids=ids, event_id=event_id)
        given = {name: one for name, one in ids.items() if one is not None}
        return await hooks.count_for(event_type, data | given)
