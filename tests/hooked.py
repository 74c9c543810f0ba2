"""What end-to-end tests of webhooks share: a store, a receiver, endpoints there, and whoever sends to them.

That something is not sent shows once all that was to be sent is: `settled` waits until the log is read to its end and
nothing waits for any endpoint.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from interrupts import FlowInterrupt, InterruptService, connect
from tests.raw import raw
from tests.reacting import QUICK_BEATS, until_async, until_settled
from tests.receiver import Receiver, Request
from tests.servers import RedisServer, until
from workers.webhooks import DeliveryStatus, Rules, WebhookConfig, WebhookDeliveryResult, Webhooks, verify
from workers.webhooks.place import GROUP
from workers.webhooks.role import WebhooksRole

LOCAL: Final = Rules(networks=("127.0.0.0/8",))
SECRET: Final = "the secret that is first"
NEXT_SECRET: Final = "the secret that follows it"
QUICK: Final[dict[str, float]] = QUICK_BEATS | {
    "workers.webhooks.fan_out.RENEW_S": 0.1,
    "workers.webhooks.role.HOOK_LOOK_S": 0.1,
    "workers.webhooks.role.HOOK_LOOK_AT_ALL_S": 0.5,
    "workers.webhooks.registry.HOOK_LOOK_AT_ALL_S": 0.5,
}
"""What is looked at now and then is looked at ten times as often."""


class Hooked:
    """A namespace with webhooks, and a receiver of them."""

    def __init__(self, service: InterruptService, hooks: Webhooks, receiver: Receiver) -> None:
        self.service, self.hooks, self.receiver = service, hooks, receiver

    def config(self, path: str, *events: str, **more: Any) -> WebhookConfig:
        """A path of the receiver, for these events (none: all). Tries come soon after each other."""
        config: dict[str, Any] = {"retry_delay_seconds": 0.01, "timeout_seconds": 5, **more}
        return WebhookConfig(self.receiver.url(path), list(events or ["*"]), **config)

    async def at(self, path: str, *events: str, scope: str | None = None, **more: Any) -> str:
        """Registers such a path; its id."""
        return await self.hooks.register(self.config(path, *events, **more), scope)

    async def emit(self, *numbers: int, name: str = "tests.happened") -> list[str]:
        """Emits events with these numbers, one after the other; their positions."""
        return [await self.hooks.emit(name, {"n": number}) for number in numbers]

    async def one(self, webhook_id: str, status: DeliveryStatus | str, **more: Any) -> WebhookDeliveryResult:
        """The endpoint's only result with this status, once there is one."""
        return (await self.results(webhook_id, status, 1, **more))[0]

    async def results(
        self, webhook_id: str, status: DeliveryStatus | str, count: int, **more: Any
    ) -> list[WebhookDeliveryResult]:
        """The endpoint's results with this status, once there are so many."""
        found: list[WebhookDeliveryResult] = []

        async def there() -> bool:
            found[:] = await self.hooks.get_delivery_results(webhook_id=webhook_id, status=status, **more)
            return len(found) >= count

        await until_async(there, f"{count} deliveries to {webhook_id} are {status}")
        assert len(found) == count
        return found

    async def until_off(self, webhook_id: str) -> str:
        """Why it is switched off, once it is."""
        why: list[str] = []

        async def off() -> bool:
            why[:] = [(await self.hooks.endpoint(webhook_id)).off or ""]
            return bool(why[0])

        await until_async(off, f"{webhook_id} is switched off")
        return why[0]

    async def settled(self) -> None:
        """Returns when the log is read to its end, and nothing waits to be sent."""
        await until_settled(self.service, GROUP)

        async def sent() -> bool:
            there = await self.hooks.endpoints(everywhere=True)
            return not any([(await self.hooks.stats(one.id)).waiting for one in there])

        await until_async(sent, "all is sent")

    async def keys_with(self, part: str) -> list[str]:
        """The namespace's keys in Redis that have this in their names."""
        keys = self.service.store.keys
        mine = tuple(f"{{{tag}}}" for tag in (keys.namespace, *keys.tags))
        there = [key.decode() for key in await raw(self.service, "KEYS", f"{{{keys.namespace}*")]
        return sorted(key for key in there if key.startswith(mine) and part in key)


@asynccontextmanager
async def sending(service: InterruptService, rules: Rules = LOCAL) -> AsyncIterator[WebhooksRole]:
    """The role, at work; at the end of the block it is asked to end, and must not have failed."""
    role = WebhooksRole(service, rules)
    work = asyncio.create_task(role.run())
    try:
        await until(lambda: role.ready or work.done(), "it reads the log")
        yield role
    finally:
        role.stop()
        await work


@asynccontextmanager
async def hooked(
    server: RedisServer | str,
    namespace: str,
    *,
    partitions: int = 4,
    at_work: bool = True,
    rules: Rules = LOCAL,
    **more: Any,
) -> AsyncIterator[Hooked]:
    """A namespace with a receiver and, unless `at_work` is False, somebody who sends."""
    url = server if isinstance(server, str) else server.url
    async with Receiver() as receiver, connect(url, namespace=namespace, partitions=partitions, **more) as service:
        there = Hooked(service, Webhooks(service, rules), receiver)
        if not at_work:
            yield there
            return
        async with sending(service, rules):
            yield there


def said(request: Request) -> dict[str, Any]:
    """What a body says."""
    body: dict[str, Any] = json.loads(request.body)
    return body


def names(requests: Sequence[Request]) -> list[str]:
    """The names of the events."""
    return [said(request)["type"] for request in requests]


def numbers(requests: Sequence[Request]) -> list[int]:
    """The numbers of what was emitted, in order."""
    return sorted(said(request)["data"]["n"] for request in requests)


def interrupt_in(request: Request) -> FlowInterrupt:
    """The interrupt in a body."""
    return FlowInterrupt.from_dict(said(request)["data"])


def id_at(position: str, webhook_id: str) -> str:
    """What the delivery of an event to an endpoint is called."""
    return f"{position.replace(':', '-')}-{webhook_id}"


def check_signed(request: Request, secret: str) -> None:
    """The bytes that came are the bytes that were signed: so says `verify`, and so do the contract's few lines."""
    verify(request.body, request.headers, secret)
    check_as_in_contract(request, secret)


def check_as_in_contract(request: Request, secret: str) -> None:
    """What a receiver does that knows only the header of the contract."""
    of_body = hmac.new(secret.encode(), request.body, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(f"sha256={of_body}", request.headers["x-webhook-signature"])
