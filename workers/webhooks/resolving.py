"""From a name to a connection: what it resolves to, and whether that may be sent to.

It is judged once when a url is registered, so that a mistake shows at once. What counts is the judgement where a socket
is made, right before it connects: by then the address is certain, for names as for addresses, each time. That a name
resolved to something else before does not matter.

Each look-up has a thread of its own, which nobody waits for at the end. The loop's own threads are few: a handful of
names whose servers do not answer would hold up every other look-up, and the end of the process as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from functools import partial
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from interrupts import ValidationError
from workers.webhooks.rules import Rules

REGISTRATION_TIMEOUT_S: Final = 2.0
"""How long a registration waits for a name. One that does not resolve now may do so when something is sent."""
LOOKUPS_MAX: Final = 64
"""Look-ups of this process at the same time. Further ones wait: it takes that many names whose servers are silent."""
LOOKUP_PAUSE_S: Final = 0.05
ADDRESSES_MAX: Final = 8
"""How many of a name's addresses are tried. Whoever owns a name could give it thousands."""
NAMES_KEPT_S: Final = 10
"""How long a name's addresses are used before it is looked up again."""
IDLE_S: Final = 4.0
"""How long an unused connection is kept. Many servers close it after 5 s, and one that closes just when something is
sent makes a failure out of nothing."""
UNREAD_S: Final = 120.0
"""How long the system keeps a connection on which nobody reads what was sent. One that was given up stays until that is
read: without this, whoever does not read could make any number of them pile up."""

_free = threading.Semaphore(LOOKUPS_MAX)


async def look_up(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """All addresses of a name. Raises `OSError`."""
    free = _free
    while not free.acquire(blocking=False):  # noqa: ASYNC110 - held by threads, of whichever loop
        await asyncio.sleep(LOOKUP_PAUSE_S)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[tuple[socket.AddressFamily, str]]] = loop.create_future()

    def settle(result: list[tuple[socket.AddressFamily, str]] | OSError) -> None:
        if found.cancelled():
            return
        if isinstance(result, OSError):
            found.set_exception(result)
        else:
            found.set_result(result)

    def work() -> None:
        result: list[tuple[socket.AddressFamily, str]] | OSError
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            result = [(family, str(address[0])) for family, _, _, _, address in infos]
        except OSError as error:
            result = error
        except UnicodeError:  # what the codec of names refuses
            result = socket.gaierror(socket.EAI_NONAME, "this can't be a name")
        finally:
            free.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result)

    try:
        threading.Thread(target=work, name="webhook-name", daemon=True).start()
    except RuntimeError as error:  # the system has no thread left
        free.release()
        raise socket.gaierror(socket.EAI_AGAIN, "there is no thread left to look it up") from error
    return await found


async def check_resolves(rules: Rules, url: str) -> None:
    """Refuses a url whose name has an address that nothing may be sent to. Raises `ValidationError`.

    A name that does not resolve now passes: whatever it resolves to later is judged when something is sent there.
    """
    target = rules.target(url)
    assert target.raw_host is not None
    assert target.port is not None
    try:
        async with asyncio.timeout(REGISTRATION_TIMEOUT_S):
            found = await look_up(target.raw_host, target.port)
    except OSError:  # also that it took too long
        return
    for _, address in found:
        why = rules.refusal(address)
        if why is not None:
            raise ValidationError(f"url: its host {target.raw_host} has the address {address}: {why}.", field="url")


class Resolver(AbstractResolver):
    """How the http client finds addresses."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """A name's addresses. Raises `OSError`."""
        return [
            ResolveResult(hostname=host, host=address, port=port, family=found, proto=0, flags=socket.AI_NUMERICHOST)
            for found, address in (await look_up(host, port))[:ADDRESSES_MAX]
            if family in (socket.AF_UNSPEC, found)
        ]

    async def close(self) -> None:
        """Nothing is kept open."""


class RefusedAddressError(OSError):
    """Nothing may be sent to the address that is about to be connected to."""


class Connector(aiohttp.TCPConnector):
    """Connects only to what may be sent to. How many connections there are is for the callers to bound."""

    def __init__(self, rules: Rules, tls: ssl.SSLContext | None) -> None:
        super().__init__(
            limit=0,
            ssl=tls or True,
            resolver=Resolver(),
            ttl_dns_cache=NAMES_KEPT_S,
            keepalive_timeout=IDLE_S,
            socket_factory=partial(_judged_socket, rules),
        )


def _judged_socket(rules: Rules, info: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, address = info
    why = rules.refusal(str(address[0]))
    if why is not None:
        raise RefusedAddressError(why)
    made = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_S * 1000))
    return made
