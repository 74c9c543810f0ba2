"""Endpoints of webhooks, made up for tests: as they are stored, and as those who send keep a copy of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from interrupts import InterruptService, connect
from interrupts.store.hooks import Hooks
from interrupts.views import place_of
from tests.conftest import World
from tests.events import created
from workers.webhooks.registered import Stored, encoded
from workers.webhooks.registry import Registry
from workers.webhooks.scopes import Scope
from workers.webhooks.telling import Told

URL: Final = "https://example.com/hook"
SECRET: Final = "nobody may read this"


def stored(*events: str, scope: str | None = None, **more: Any) -> Stored:
    """An endpoint for these events (none: all) of a scope, as callers write it."""
    where = Scope.parse(scope)
    fields: dict[str, Any] = {
        "url": URL,
        "events": list(events or ["*"]),
        "sort": where.sort,
        "scope_id": where.id,
        "secret": SECRET,
        "headers": {"Authorization": SECRET},
        "timeout_s": 30.0,
        "retries": 3,
        "delay_s": 1.0,
        "delay_max_s": 60.0,
        "concurrency": 4,
        "off_after_s": None,
    }
    return Stored(**fields | more)


class HooksThere(Hooks):
    """What is registered, and its keys."""

    def __init__(self, store: Any) -> None:
        super().__init__(store.server, store.keys)
        self.name, self.slot, self.server = store.keys.hooks, store.keys.slots[0], store.server

    async def raw(self, command: str, suffix: str, *args: Any) -> Any:
        """A command's reply, for one of the keys."""
        return await self.server.command(self.slot, command, f"{self.name}{suffix}", *args)

    async def there(self) -> dict[str, tuple[bytes, str]]:
        """By id what is there: its text, and why it is off."""
        return {one.id: (one.text, one.off) for one in (await self.changes()).changes}


@contextlib.asynccontextmanager
async def registered_in(url: str, namespace: str) -> AsyncIterator[HooksThere]:
    """What is registered in a namespace of its own."""
    async with connect(url, namespace=namespace, partitions=1) as service:
        yield HooksThere(service.store)


def told(name: str = "interrupt.resolved", place: str = "0:5-0", only: str | None = None, **ids: str) -> Told:
    """An event of the request r, the session s and the user u."""
    partition, _, stream_id = place.partition(":")
    owners = {"request": "r", "session": "s", "user": "u"} | ids
    scopes = tuple(Scope(sort, own) for sort, own in owners.items() if own)
    return Told(name, int(partition), stream_id, place_of(stream_id), created("i"), scopes, only)


class Copy:
    """A copy, and the place where things are registered."""

    def __init__(self, service: InterruptService, world: World) -> None:
        self.service, self.world = service, world
        self.hooks, self.registry = Hooks(service.store.server, service.store.keys), Registry(service)

    async def put(self, hook: str, *events: str, **more: Any) -> None:
        """Registers an endpoint; the copy is not told."""
        await self.hooks.put(hook, encoded(stored(*events, **more)))

    async def raw(self, command: str, suffix: str = "", *args: Any) -> Any:
        """A command, for one of the keys of what is registered."""
        keys = self.service.store.keys
        return await self.service.store.server.command(keys.slots[0], command, f"{keys.hooks}{suffix}", *args)

    def wanting(self, *args: Any, **more: Any) -> list[str]:
        """The ids of those to whom such an event goes."""
        return sorted(one.id for one in self.registry.wanting(told(*args, **more)))


@contextlib.asynccontextmanager
async def copy_in(url: str, namespace: str) -> AsyncIterator[Copy]:
    """A copy of what is registered in a namespace of its own."""
    world = World()
    async with connect(url, namespace=namespace, partitions=2, logger=world) as service:
        yield Copy(service, world)
