"""From a url to the log of a namespace: what everything else is built on.

Without a url: the one in INTERRUPTS_REDIS_URL; else a private server in the folder `.interrupts`, where `redis-server`
is installed; else this process's memory. What was chosen for want of a url is said.
"""

from __future__ import annotations

import os
import shutil
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from interrupts.errors import CorruptLogError, NotConfirmedError, ValidationError
from interrupts.keys import Keys, check_namespace, check_partitions, meta_key, slot_of_tag
from interrupts.limits import ATTEMPT_TIMEOUT_S, CALL_TIMEOUT_S, PARTITIONS_DEFAULT
from interrupts.protocols import LoggerProtocol
from interrupts.scripts import script
from interrupts.store import urls
from interrupts.store.inspection import inspect
from interrupts.store.log import Log
from interrupts.store.opening import open_route
from interrupts.store.requirements import check_durability
from interrupts.store.server import Durability, Server

URL_VARIABLE: Final = "INTERRUPTS_REDIS_URL"
EMBEDDED_FOLDER: Final = ".interrupts"
FORMAT: Final = 1
"""The version of everything that is stored. It changes only if an older library could not read what is written."""
NAMESPACE: Final = script("namespace")


class _Meta(msgspec.Struct):
    """What a namespace was made with."""

    format: int
    partitions: int


async def open_log(
    stack: AsyncExitStack,
    url: str | None,
    *,
    namespace: str,
    partitions: int | None = None,
    durability: Durability = "memory",
    replicas: int = 1,
    attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
    call_timeout_s: float = CALL_TIMEOUT_S,
    logger: LoggerProtocol,
) -> Log:
    """The log of a namespace on the server that the url names. What was opened for it is closed with the stack.

    Refuses arguments before anything is started. Raises `ValidationError`, `UnsuitableServerError`,
    `UnavailableError`.
    """
    check_opening(url, namespace, partitions, attempt_timeout_s, call_timeout_s)
    durability, replicas = check_durability(durability, replicas)
    target = urls.parse(url if url is not None else _default_url(logger))
    if target.sort == "memory" and durability != "memory":
        raise ValidationError(
            f"durability: {durability!r} needs a server, and memory:// is none. Give the url of one.",
            field="durability",
        )
    route = await open_route(target, fsynced=durability == "fsynced", stack=stack)
    server = Server(route, attempt_timeout_s=attempt_timeout_s, call_timeout_s=call_timeout_s)
    stack.push_async_callback(server.close)
    if target.sort != "memory":
        server.confirmation = await inspect(server, target.where, durability, replicas)
    return Log(Keys(namespace, await _settle_partitions(server, namespace, partitions)), server)


def check_opening(
    url: str | None, namespace: str, partitions: int | None, attempt_timeout_s: float, call_timeout_s: float
) -> None:
    """Refuses, by name, what nothing can be opened with. Raises `ValidationError`."""
    check_namespace(namespace)
    if partitions is not None:
        check_partitions(partitions)
    check_positive("attempt_timeout_s", attempt_timeout_s)
    check_positive("call_timeout_s", call_timeout_s)
    if url is not None:
        urls.parse(url)


def check_positive(name: str, value: object) -> None:
    """A number of seconds or bytes, more than 0."""
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
