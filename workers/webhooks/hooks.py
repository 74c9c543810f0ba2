"""Webhooks of one namespace, for async code: registering endpoints, looking at deliveries, sending them again.

Nothing is sent from here: that is the role's work (`workers.webhooks.role`), in this process or in another one. Every
change is seen there within a second, and before any event that is appended after the call has returned.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from interrupts import InterruptService, NotFoundError, ValidationError
from interrupts.checks import shown
from interrupts.event_names import check_emitted_name
from interrupts.limits import DECIDE_AGAIN_MAX, HOOKS_MAX
from interrupts.publishing import publish_event
from interrupts.store.deliveries import Deliveries
from interrupts.store.hooks import MOVED, TOO_MANY, Change, Hooks
from workers.log_entries import id_of as id_of_entry
from workers.log_entries import newest_entry
from workers.webhooks.checked import checked
from workers.webhooks.counting import Counting
from workers.webhooks.deliveries import DeliveryLists
from workers.webhooks.keeping import Keeping, moved
from workers.webhooks.model import Endpoint, EndpointStats, WebhookConfig
from workers.webhooks.place import enlist
from workers.webhooks.registered import (
    Registered,
    Stored,
    encoded,
    going_on,
    host_of,
    id_of,
    registered,
)
from workers.webhooks.registry import Registry
from workers.webhooks.resolving import check_resolves
from workers.webhooks.rules import Rules
from workers.webhooks.scopes import Scope
from workers.webhooks.stats import summed
from workers.webhooks.telling import EVENTS, TEST_EVENT, delivery_id, is_unheard_of


class Webhooks(Keeping, Counting, DeliveryLists):
    """What is registered, and what is and was sent. `rules` say where anything may be sent at all."""

    def __init__(self, service: InterruptService, rules: Rules | None = None) -> None:
        self._service = service
        self._rules = rules or Rules()
        self._hooks = Hooks(service.store.server, service.store.keys)
        self._deliveries = Deliveries(service.store.server, service.store.keys)
        self._registry = Registry(service)

    async def register(self, config: WebhookConfig, scope: str | None = None) -> str:
        """Registers an endpoint for the events of a scope (see `Scope`; None: all); returns its id.

        One url is one endpoint in a scope: registered again it gets the new configuration, and keeps its id, its counts
        and what waits for it. It keeps its secret, too, if none is given; another one begins a rotation of 24 hours. If
        it is switched off it stays so, which is said in a warning. Events from now on are sent to it. Raises
        `ValidationError`, `UnavailableError`.
        """
        where = Scope.parse(scope)
        what = checked(config, where, self._rules)
        await check_resolves(self._rules, what.url)
        unheard_of = [pattern for pattern in what.events if is_unheard_of(pattern)]
        if unheard_of:
            meaning = f"unless a kind's webhook_event says so, there are {', '.join(EVENTS)}"
            self._say("warning", "webhooks.unheard_of", what, events=unheard_of, meaning=meaning)
        await enlist(self._service)
        hook = id_of(self._service.store.keys.namespace, where, what.url)
        rev: int = MOVED
        there: Change | None = None
        for _ in range(DECIDE_AGAIN_MAX):
            there = await self._hooks.one(hook)
            now = going_on(what, there, time.time_ns() // 1_000_000)
            if now is None:
                now = msgspec.structs.replace(what, after=await self._ends(where))
            rev = await self._hooks.put(hook, encoded(now), b"" if there is None else there.stored or b"")
            if rev != MOVED:
                break
        if rev == MOVED:
            raise moved(hook)
        if rev == TOO_MANY:
            raise ValidationError(
                f"config: there are {HOOKS_MAX:,} webhooks already, which is the most. Take some away first.",
                field="config",
            )
        self._say("info", "webhooks.registered", what, webhook=hook, again=there is not None)
        if there is not None and there.off:
            meaning = "it stays switched off, and its events wait, until somebody switches it on"
            self._say("warning", "webhooks.still_off", what, webhook=hook, meaning=meaning)
        return hook

    async def unregister(
        self, scope: str | None = None, url: str | None = None, *, webhook_id: str | None = None
    ) -> int:
        """Takes away the endpoints of a scope (None: those for all), or the one of this url in it, or the one of this
        id, with all that waits for them. Returns how many. Raises `UnavailableError`."""
        if webhook_id is not None:
            if scope is not None or url is not None:
                raise ValidationError("webhook_id: give the id, or a scope and a url, not both.", field="webhook_id")
            ids = [webhook_id]
        else:
            where = Scope.parse(scope)
            there = await self._registered()
            ids = [one.id for one in there.values() if one.scope == where and url in (None, one.what.url)]
            if url is not None and not ids:
                # As it was written, before it was brought into its form.
                hook = id_of(self._service.store.keys.namespace, where, self._plain(url))
                ids = [hook] if hook in there else []
        removed = 0
        for hook in ids:
            removed += await self._hooks.remove(hook)
            # What is written down for it from here on is found by whoever sends, and forgotten.
            partitions = range(self._service.store.keys.partitions)
            await asyncio.gather(*(self._deliveries.purge(partition, hook) for partition in partitions))
        return removed

    async def endpoints(self, scope: str | None = None, *, everywhere: bool = False) -> list[Endpoint]:
        """The endpoints of a scope (None: those for all), or with `everywhere` of every scope, the oldest first.

        Raises `ValidationError`, `UnavailableError`.
        """
        where = Scope.parse(scope)
        there = [one for one in (await self._registered()).values() if everywhere or one.scope == where]
        return [one.endpoint() for one in sorted(there, key=lambda one: (one.since_ms, one.id))]

    async def get_webhooks(self, scope: str | None = None) -> list[WebhookConfig]:
        """The configurations of a scope's endpoints, without what is secret. Raises `UnavailableError`."""
        where = Scope.parse(scope)
        there = [one for one in (await self._registered()).values() if one.scope == where]
        return [one.config() for one in sorted(there, key=lambda one: (one.since_ms, one.id))]

    async def endpoint(self, webhook_id: str) -> Endpoint:
        """One endpoint. Raises `NotFoundError`, `UnavailableError`."""
        return (await self._one(webhook_id)).endpoint()

    async def stats(self, webhook_id: str) -> EndpointStats:
        """Its counts, of all partitions. Raises `NotFoundError`, `UnavailableError`."""
        await self._one(webhook_id)
        partitions = range(self._service.store.keys.partitions)
        return summed(await asyncio.gather(*(self._deliveries.stats(one, webhook_id) for one in partitions)))

    async def send_test(self, webhook_id: str) -> str:
        """Has a test event sent to it, the same way as every other; returns the delivery's id.

        Raises `NotFoundError`, `ValidationError` if it is switched off, `UnavailableError`.
        """
        one = await self._one(webhook_id)
        if one.off is not None:
            raise ValidationError(
                f"webhook_id: {webhook_id} is switched off ({one.off.why}): a test would only wait. Switch it on "
                "first.",
                field="webhook_id",
            )
        said = {"webhook_id": webhook_id, "message": "This is a test. Nothing has happened."}
        position = await self._service.publish(TEST_EVENT, said)
        return delivery_id(position, webhook_id)

    async def emit(
        self,
        event_type: str,
        data: dict[str, Any],
        *,
        ids: Mapping[str, str | None] | None = None,
        event_id: str | None = None,
    ) -> str:
        """Publishes an event of one's own, in the log when this returns; its position. With an `event_id` once.

        `ids`: its `request_id`, `session_id` and `user_id`, where the data do not say them. Raises `ValidationError`,
        `ConflictError` for an id used again with other data, `UnavailableError`.
        """
        name = check_emitted_name(event_type)
        return await publish_event(self._service.store, name, data, ids=ids or {}, idempotency_key=event_id)

    def _say(self, level: str, event: str, what: Stored, **fields: Any) -> None:
        self._service.say(level, event, host=host_of(what.url), **fields)

    async def _ends(self, scope: Scope) -> dict[int, str]:
        """Where the log ends, in each partition that may have events of this scope."""
        keys = self._service.store.keys
        partitions = [keys.partition_of_session(scope.id)] if scope.sort == "session" else range(keys.partitions)
        newest = await asyncio.gather(*(newest_entry(self._service, partition) for partition in partitions))
        return {
            partition: id_of_entry(entry)
            for partition, entry in zip(partitions, newest, strict=True)
            if entry is not None
        }

    def _plain(self, url: str) -> str:
        try:
            return self._rules.check_url(url)
        except ValidationError:
            return url

    async def _registered(self) -> dict[str, Registered]:
        """All that can be read, by id."""
        await self._registry.refresh()
        return self._registry.by_id

    async def _one(self, webhook_id: str) -> Registered:
        return registered(await self._change(webhook_id))

    async def _change(self, webhook_id: str) -> Change:
        change = await self._hooks.one(webhook_id) if isinstance(webhook_id, str) else None
        if change is None:
            raise NotFoundError(f"There is no webhook {shown(webhook_id)}.")
        return change
