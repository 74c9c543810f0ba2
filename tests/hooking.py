"""Commands for webhooks, tried beside a receiver and the role that sends, both in one thread."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from typing import Any

from interrupts import AuthenticationError, InterruptService
from interrupts.loop_thread import LoopThread
from interrupts.signatures import verify
from tests.asking import Ask
from tests.parking import store
from tests.receiver import Receiver, Request
from tests.servers import RedisServer, wait_until
from workers import running
from workers.webhooks import Rules

LOOPBACK = "127.0.0.0/8"
EVENT = "shop.order.placed"
ONCE = ("--event", EVENT, "--retries", "0")
FAILS = "/status/500?body=%C2%9Bno%1B%5B31m"


class World:
    """A receiver, and a service with the role in the same thread, beside the commands."""

    receiver: Receiver
    service: InterruptService

    def __init__(self, server: RedisServer, namespace: str) -> None:
        self._server, self._namespace = server, namespace
        self._thread, self._stack = LoopThread(), AsyncExitStack()
        self._thread.wait(self._open())

    async def _open(self) -> None:
        self.receiver = await self._stack.enter_async_context(Receiver())
        self.service = await self._stack.enter_async_context(store(self._server, self._namespace))

    def send(self) -> None:
        """From now on the role runs."""
        work = running(self.service, projections=(), expiry=False, webhooks=Rules(networks=(LOOPBACK,)))
        self._thread.wait(self._stack.enter_async_context(work))

    def publish(self, count: int = 1) -> None:
        """So many events."""
        for number in range(count):
            self._thread.wait(self.service.publish(EVENT, {"number": number, "session_id": f"s{number}"}))

    def got(self, count: int, path: str) -> list[Request]:
        """The requests of a path, once there are so many."""
        return self._thread.wait(self.receiver.got(count, path))

    def close(self) -> None:
        """Ends it all."""
        self._thread.end(self._stack.aclose())


def added(ask: Ask, world: World, path: str, *options: str) -> str:
    """The id of an endpoint that is added for this."""
    url = world.receiver.url(path)
    document = json.loads(ask("webhooks", "add", url, *(options or ONCE), "--json"))
    return str(document["webhook"]["id"])


def results(ask: Ask, *filters: str) -> list[dict[str, Any]]:
    """What is listed of deliveries."""
    found: list[dict[str, Any]] = json.loads(ask("webhooks", "deliveries", *filters, "--json"))
    return found


def until_there(ask: Ask, status: str, count: int) -> None:
    """Returns when so many are of this status."""
    wait_until(lambda: len(results(ask, "--status", status)) == count, f"{count} are {status}")


def genuine(request: Request, secret: str) -> bool:
    """Whether it is signed with this secret."""
    try:
        verify(request.body, request.headers, secret)
    except AuthenticationError:
        return False
    return True
