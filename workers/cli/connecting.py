"""The store that a command works on."""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

import msgspec

from interrupts import InterruptService, ValidationError, connect
from interrupts.open_log import EMBEDDED_FOLDER, URL_VARIABLE
from interrupts.store.urls import parse


class Where(msgspec.Struct, frozen=True):
    """Which store: the url, as for `connect()`, and the namespace."""

    url: str | None
    namespace: str

    @property
    def shown(self) -> str:
        """The server, for people, without anything secret. Raises `ValidationError`."""
        return parse(self.url or os.environ.get(URL_VARIABLE) or f"embedded://{EMBEDDED_FOLDER}").where


def check_shared(where: Where) -> Where:
    """Refuses memory, which no other process can see into: there is nothing that this one could find there."""
    url = where.url or os.environ.get(URL_VARIABLE, "")
    if url.startswith("memory:"):
        raise ValidationError(
            "url: memory:// is one process's memory, and this process is another. Give the url of a server, or of a "
            "folder (embedded://); in a process of your own use workers.running(service).",
            field="url",
        )
    if not url and shutil.which("redis-server") is None:
        raise ValidationError(
            f"url: none was given, {URL_VARIABLE} is not set, and redis-server is not installed. Give --url.",
            field="url",
        )
    return where


def connected(where: Where) -> AbstractAsyncContextManager[InterruptService]:
    """The store, for as long as the block lasts. Raises as `connect()` does."""
    check_shared(where)
    return connect(where.url, namespace=where.namespace)


async def server_now(service: InterruptService) -> datetime:
    """The server's time, by which deadlines are told: nobody asks this machine's clock. Raises `UnavailableError`."""
    seconds, microseconds = await service.store.server.command(service.store.keys.slots[0], "TIME")
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(microseconds))
