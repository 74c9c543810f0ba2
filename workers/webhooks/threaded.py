"""Webhooks in a thread of their own: an event loop, a connection made at the first call, and a delivery worker."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self, TypeVar

from interrupts import InterruptService, ValidationError, connect
from interrupts.checks import shown
from interrupts.errors import UnavailableError
from interrupts.limits import CALL_TIMEOUT_S, HOOK_IN_HAND_MAX
from interrupts.loop_thread import LoopThread
from interrupts.open_log import URL_VARIABLE
from interrupts.ports import default_logger
from interrupts.protocols import LoggerProtocol
from interrupts.store.urls import parse
from workers.supervisor import Supervisor
from workers.webhooks.hooks import Webhooks
from workers.webhooks.role import WebhooksRole
from workers.webhooks.rules import Rules

R = TypeVar("R")
END_TIMEOUT_S: Final = 10.0


class Threaded:
    """The thread, and what runs in it."""

    def __init__(
        self,
        logger: LoggerProtocol | None = None,
        delivery_queue_size: int = HOOK_IN_HAND_MAX,
        *,
        url: str | None = None,
        namespace: str = "interrupts",
        partitions: int | None = None,
        rules: Rules | None = None,
    ) -> None:
        if isinstance(delivery_queue_size, bool) or not isinstance(delivery_queue_size, int) or delivery_queue_size < 1:
            raise ValidationError(
                f"delivery_queue_size: {shown(delivery_queue_size)} is not a whole number from 1 on.",
                field="delivery_queue_size",
            )
        self._url, self._logger = url, logger
        self._connecting: dict[str, Any] = {"namespace": namespace, "partitions": partitions, "logger": logger}
        self._memory = f"memory://webhooks-{secrets.token_hex(8)}"
        self._in_hand_max = delivery_queue_size
        self._rules = rules or Rules()
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._opened: AbstractAsyncContextManager[InterruptService] | None = None
        self._service: InterruptService | None = None
        self._hooks: Webhooks | None = None
        self._supervisor: Supervisor | None = None
        self._work: asyncio.Task[bool] | None = None
        self._roles: list[WebhooksRole] = []

    def check_reads(self, url: str | None, namespace: str) -> None:
        """Refuses a log that it does not read: `connect` asks, since it isn't called. Raises `ValidationError`."""
        told = [one or os.environ.get(URL_VARIABLE) or None for one in (self._url, url)]
        own, other = (None if one is None else parse(one) for one in told)
        nameless = own is not None and own.sort == "memory" and not own.name
        if namespace != self._connecting["namespace"] or own != other or nameless:
            raise ValidationError(
                "webhook_service: it reads the log of another url or namespace (or of a memory of its own), so nothing "
                "that happens here would be sent. Give both the same: WebhookService(url=…, namespace=…) and "
                "connect(url, namespace=…); for a memory give it a name, memory://name.",
                field="webhook_service",
            )

    def close(self) -> None:
        """Stops the worker, if it runs, and closes the connection; the next call opens one again."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.end(self._end())  # in a process that was forked meanwhile there is nothing to end
            self._opened = self._service = self._hooks = self._supervisor = self._work = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> LoopThread:
        with self._lock:
            if self._thread is None:
                thread = LoopThread()
                try:
                    thread.wait(self._open())
                except BaseException:  # Ctrl-C, too, must not leave the thread behind
                    thread.end()
                    raise
                self._thread = thread
            return self._thread

    def _wait(self, call: Callable[[Webhooks], Coroutine[Any, Any, R]]) -> R:
        thread = self._running()
        assert self._hooks is not None
        return thread.wait(call(self._hooks))

    async def _in_thread(self, call: Callable[[Webhooks], Coroutine[Any, Any, R]]) -> R:
        return await asyncio.to_thread(self._wait, call)

    async def _open(self) -> None:
        self._opened = connect(self._where(), **self._connecting)
        self._service = await self._opened.__aenter__()
        self._hooks = Webhooks(self._service, self._rules)

    def _where(self) -> str | None:
        """The url; a memory without a name gets one, so that it outlasts a connection, and that is said."""
        url = self._url if self._url is not None else os.environ.get(URL_VARIABLE) or None
        target = None if url is None else parse(url)
        if (target is None and shutil.which("redis-server")) or (target and (target.sort != "memory" or target.name)):
            return url
        (self._logger or default_logger()).warning(
            "webhooks.in_memory",
            meaning="it has a memory of its own: only what is emitted here is sent. Give both, this one and `connect`, "
            "the url of one server, or memory:// and a name",
        )
        return self._memory

    async def _start(self) -> None:
        service = self._service
        assert service is not None
        if self._work is None or self._work.done():
            self._roles.clear()
            self._supervisor = Supervisor({"webhooks": self._made}, service.say, end_timeout_s=END_TIMEOUT_S)
            self._work = asyncio.create_task(self._supervisor.run())
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                while not (self._roles and self._roles[-1].ready):
                    if self._work.done():
                        self._work.result()
                        return
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise UnavailableError(
                f"The delivery worker does not read the log yet, after {CALL_TIMEOUT_S:g} s. It goes on trying; its "
                "log lines say why."
            ) from None

    def _made(self) -> WebhooksRole:
        assert self._service is not None
        role = WebhooksRole(self._service, self._rules, in_hand_max=self._in_hand_max, end_timeout_s=END_TIMEOUT_S)
        self._roles[:] = [role]
        return role

    async def _end(self) -> None:
        if self._supervisor is not None and self._work is not None:
            self._supervisor.stop()
            await asyncio.wait([self._work])
        self._supervisor = self._work = None
        if self._opened is not None:
            await self._opened.__aexit__(None, None, None)
        self._opened = self._service = self._hooks = None
