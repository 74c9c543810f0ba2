"""The one place where a service is put together: from a url to something that can pause.

    async with interrupts.connect() as service:
        ...

Without a url: the one in INTERRUPTS_REDIS_URL; else a private server in the folder `.interrupts`, where `redis-server`
is installed; else this process's memory. What was chosen for want of a url is said.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from interrupts.config import InterruptConfig
from interrupts.errors import CorruptLogError, NotConfirmedError, ValidationError
from interrupts.keys import Keys, check_namespace, check_partitions, meta_key, slot_of_tag
from interrupts.limits import (
    ATTEMPT_TIMEOUT_S,
    CALL_TIMEOUT_S,
    PARTITIONS_DEFAULT,
    PAYLOAD_BYTES_MAX,
    VIEW_WAIT_S,
)
from interrupts.model import InterruptKind
from interrupts.ports import default_logger
from interrupts.protocols import DatabaseProtocol, LoggerProtocol, OTelAdapterProtocol, WebhookServiceProtocol
from interrupts.scripts import script
from interrupts.service import InterruptService
from interrupts.store import urls
from interrupts.store.inspection import inspect
from interrupts.store.log import Log
from interrupts.store.opening import open_route
from interrupts.store.requirements import check_durability
from interrupts.store.server import Durability, Server
from interrupts.terms import all_terms

URL_VARIABLE: Final = "INTERRUPTS_REDIS_URL"
EMBEDDED_FOLDER: Final = ".interrupts"
FORMAT: Final = 1
"""The version of everything that is stored. It changes only if an older library could not read what is written."""
NAMESPACE: Final = script("namespace")


class _Meta(msgspec.Struct):
    """What a namespace was made with."""

    format: int
    partitions: int


@asynccontextmanager
async def connect(
    url: str | None = None,
    *,
    namespace: str = "interrupts",
    partitions: int | None = None,
    durability: Durability = "memory",
    replicas: int = 1,
    configs: Mapping[InterruptKind, InterruptConfig] | None = None,
    logger: LoggerProtocol | None = None,
    webhook_service: WebhookServiceProtocol | None = None,
    otel_adapter: OTelAdapterProtocol | None = None,
    db: DatabaseProtocol | None = None,
    payload_bytes_max: int = PAYLOAD_BYTES_MAX,
    attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
    call_timeout_s: float = CALL_TIMEOUT_S,
    view_wait_s: float = VIEW_WAIT_S,
) -> AsyncIterator[InterruptService]:
    """A service on the server that the url names, for as long as the block lasts.

    `partitions`: how many a new namespace gets (16 unless told); for one that is there, None or its own number.
    `durability`: when a write counts as done: `memory` (acknowledged by the server), `replicated` (received by that
    many `replicas`), `fsynced` (on the server's disk). `attempt_timeout_s`: how long one attempt may take before it
    is repeated; `call_timeout_s`: how long a call goes on repeating. `view_wait_s`: how long a list waits
    for its view to show what was written before.

    Raises `ValidationError` for arguments, `UnsuitableServerError` for a server that can't keep the promises,
    `UnavailableError` for one that does not answer.
    """
    check_namespace(namespace)
    if partitions is not None:
        check_partitions(partitions)
    durability, replicas = check_durability(durability, replicas)
    _check_positive("attempt_timeout_s", attempt_timeout_s)
    _check_positive("call_timeout_s", call_timeout_s)
    _check_positive("view_wait_s", view_wait_s)
    _check_positive("payload_bytes_max", payload_bytes_max)
    all_terms(configs)  # refuses what can't be meant before anything is started
    log_lines = logger or default_logger()
    target = urls.parse(url if url is not None else _default_url(log_lines))
    if target.sort == "memory" and durability != "memory":
        raise ValidationError(
            f"durability: {durability!r} needs a server, and memory:// is none. Give the url of one.",
            field="durability",
        )
    async with AsyncExitStack() as stack:
        route = await open_route(target, fsynced=durability == "fsynced", stack=stack)
        server = Server(route, attempt_timeout_s=attempt_timeout_s, call_timeout_s=call_timeout_s)
        stack.push_async_callback(server.close)
        if target.sort != "memory":
            server.confirmation = await inspect(server, target.where, durability, replicas)
        keys = Keys(namespace, await _settle_partitions(server, namespace, partitions))
        service = InterruptService(
            db,
            log_lines,
            webhook_service,
            otel_adapter,
            configs,
            log=Log(keys, server),
            payload_bytes_max=payload_bytes_max,
            view_wait_s=view_wait_s,
        )
        stack.push_async_callback(service.aclose)
        yield service


def _check_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValidationError(f"{name}: {str(value)[:64]} is not more than 0.", field=name)


def _default_url(logger: LoggerProtocol) -> str:
    told = os.environ.get(URL_VARIABLE)
    if told:
        return told
    if shutil.which("redis-server"):
        logger.info("interrupts.embedded", folder=EMBEDDED_FOLDER, because=f"no url was given, and no {URL_VARIABLE}")
        return f"embedded://{EMBEDDED_FOLDER}"
    logger.warning(
        "interrupts.in_memory",
        meaning="everything is kept in this process's memory, and gone with it",
        because=f"no url was given, {URL_VARIABLE} is not set, and redis-server is not installed",
    )
    return "memory://"


async def _settle_partitions(server: Server, namespace: str, wanted: int | None) -> int:
    """The namespace's number of partitions, written down when it is first used. Refuses another number."""
    new = msgspec.json.encode(_Meta(FORMAT, wanted or PARTITIONS_DEFAULT))
    written = await server.run(NAMESPACE, slot_of_tag(namespace), [meta_key(namespace)], [new])
    if not written.confirmed:
        raise NotConfirmedError(
            f"The namespace {namespace!r} was looked at, but the server did not confirm the durability asked for in "
            "time. Look at its replicas and its disk, then try again."
        )
    try:
        meta = msgspec.json.decode(written.reply, type=_Meta)
    except msgspec.DecodeError as error:
        raise CorruptLogError(f"{meta_key(namespace)} can't be read ({error}): it was not written by us.") from error
    if meta.format != FORMAT:
        raise CorruptLogError(
            f"The namespace {namespace!r} has format {meta.format}, and this library reads format {FORMAT}. Use a "
            "version of the library that matches. Nothing was changed."
        )
    if wanted is not None and wanted != meta.partitions:
        raise ValidationError(
            f"partitions: the namespace {namespace!r} was made with {meta.partitions}, not {wanted}, and that can't be "
            "changed in place. Leave partitions out, or use another namespace.",
            field="partitions",
        )
    return meta.partitions
