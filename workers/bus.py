"""The event bus: publish events of one's own, and react to those and to what happens to interrupts.

    bus = EventBus()

    @bus.subscribe("interrupt.resolved", group="resume")
    async def resume(event: Event) -> None: ...

    async with connect() as service, bus.running(service):
        await bus.publish("session.chat.completed", session_id="chat-1", response_length=12)

A subscription is a group on the log, with a name. Whoever runs a handler under this name goes on where the last one
stopped, so what happened meanwhile is not missed; several processes share the work. What is promised, and how it is
kept, is in `consuming`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from interrupts import InterruptService, ValidationError
from interrupts.event_names import check_event_pattern
from workers.subscriptions import Handler, Start, Subscription, group_of

H = TypeVar("H", bound=Handler)
END_TIMEOUT_S: Final = 10.0
"""How long the end of a `running` block may take, for handlers that are at work."""


class EventBus:
    """Subscriptions, and a place to publish. It may be made before there is a service."""

    def __init__(self, service: InterruptService | None = None) -> None:
        self._service = service
        self._subscriptions: dict[str, Subscription] = {}

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """All that have been made."""
        return tuple(self._subscriptions.values())

    def serve(self, service: InterruptService) -> None:
        """From now on it publishes there."""
        self._service = service

    def subscribe(
        self,
        *patterns: str,
        group: str | None = None,
        start: Start = "now",
        resumes: bool = False,
        attempts_max: int = 10,
        backoff_first_s: float = 0.5,
        backoff_max_s: float = 60.0,
        timeout_s: float = 60.0,
        concurrency: int = 64,
    ) -> Callable[[H], H]:
        """Makes a function, async or not, the handler of these events: names, `interrupt.*`, or `*` for all.

        `group`: the name under which it is remembered how far it is; the function's own unless told. `start`: where a
        new group begins: `now`, `beginning`, a time, or a position. `resumes`: it goes on with what had waited, so the
        interrupt's history says when its end was handed over and when the handler was done. A handler that raises, or
        takes longer than `timeout_s`, is tried again after pauses from `backoff_first_s` to `backoff_max_s`, and its
        event is parked after `attempts_max` attempts. So many handlers run at once: `concurrency`. Raises
        `ValidationError`.
        """

        for pattern in patterns:
            if callable(pattern):
                raise ValidationError(
                    'pattern: say what to subscribe to: @bus.subscribe("interrupt.resolved"), not @bus.subscribe.',
                    field="pattern",
                )
            check_event_pattern(pattern)
        if not patterns:
            raise ValidationError('pattern: say at least one: @bus.subscribe("interrupt.resolved").', field="pattern")

        def remember(handler: H) -> H:
            made = Subscription(
                group=group_of(handler, patterns) if group is None else group,
                patterns=patterns,
                handler=handler,
                start=start,
                resumes=resumes,
                attempts_max=attempts_max,
                backoff_first_s=backoff_first_s,
                backoff_max_s=backoff_max_s,
                timeout_s=timeout_s,
                concurrency=concurrency,
            )
            if made.group in self._subscriptions:
                raise ValidationError(
                    f"group: there is one named {made.group!r} already. Two handlers need two groups.", field="group"
                )
            self._subscriptions[made.group] = made
            return handler

        return remember

    async def publish(self, event_type: str, /, **data: Any) -> str:
        """Publishes an event; returns its position, in the log when this returns.

        It keeps the order of its `session_id`, where the data has one; else of its `request_id`; else of its name. For
        an idempotency key see `service.publish`. Raises `ValidationError`, `UnavailableError`.
        """
        if self._service is None:
            raise ValidationError(
                "bus: it has no service yet. Make it with EventBus(service), or publish within bus.running(service).",
                field="service",
            )
        return await self._service.publish(event_type, data)

    @asynccontextmanager
    async def running(self, service: InterruptService | None = None) -> AsyncIterator[EventBus]:
        """Runs the handlers here, for as long as the block lasts. All groups are there when the block begins.

        Raises `UnavailableError`.
        """
        from workers.reacting import ReactionsRole  # it needs this module
        from workers.supervisor import Supervisor

        serves = service or self._service
        if serves is None:
            raise ValidationError("bus: give the service: bus.running(service).", field="service")
        kept = Supervisor({"reactions": lambda: ReactionsRole(serves, [self])}, serves.say, end_timeout_s=END_TIMEOUT_S)
        first = ReactionsRole(serves, [self])
        await first.enlist()
        work = asyncio.create_task(kept.run())
        try:
            yield self
        finally:
            kept.stop()
            await work
