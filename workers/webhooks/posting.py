"""One attempt: a request that is sent to an endpoint, and what came back, in plain words where nothing did.

Nothing is followed from there: no redirects, no proxies of the environment, no cookies. Which address is connected to
is `resolving`'s.

An answer is its status. The body is only read for people to look at, so a receiver that drips, breaks off or never ends
changes nothing, and holds up little.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
import re
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec
from yarl import URL

from interrupts import ValidationError
from workers.webhooks.resolving import Connector, RefusedAddressError
from workers.webhooks.rules import Rules

BODY_BYTES_MAX: Final = 16 * 1024
"""Bytes of an answer's body that are read. If more comes, the connection is dropped."""
BODY_CHARS_MAX: Final = 1_000
"""Characters of it that are kept."""
BODY_TIMEOUT_S: Final = 2.0
"""How long the body is waited for, once the status is there."""
REDIRECTS: Final = (300, 301, 302, 303, 305, 307, 308)
LOCATION_CHARS_MAX: Final = 200
ERROR_CHARS_MAX: Final = 500
RETRY_AFTER_S_MAX: Final = 3_600.0
"""The longest that a receiver can ask for to be left alone."""
TARGETS_KEPT_MAX: Final = 1_000
"""Urls that are not judged again each time, since neither they nor the rules change."""
_OURS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""Faults of this machine: no files, no memory, no ports left."""
_LARGE_BYTES: Final = 1024 * 1024


class Answer(msgspec.Struct, gc=False, frozen=True):
    """What came of one attempt: a status, or an error in words, and for a status that is a failure both."""

    status: int | None
    body: str | None
    """the beginning of the answer's body, as far as it came"""
    error: str | None
    """why it failed; nothing of the url behind its host, or of the headers, is in it"""
    retry_after_s: float | None
    """for how long the receiver asks to be left alone"""
    duration_ms: float
    """until the status was there, or it was clear that none comes"""
    ours: bool = False
    """it was not sent, for want of something that this process needs"""

    @property
    def ok(self) -> bool:
        """Whether it has arrived."""
        return self.status is not None and 200 <= self.status <= 299

    @property
    def gone(self) -> bool:
        """Whether the receiver says that it is there no more, for good."""
        return self.status == 410


class Poster:
    """Sends requests by these rules: `async with Poster(rules) as poster`. It does not bound how many at once.

    Certificates are verified, by `tls` if that is given.
    """

    def __init__(self, rules: Rules, tls: ssl.SSLContext | None = None) -> None:
        self._rules = rules
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._targets: dict[str, URL] = {}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=Connector(self._rules, self._tls),
            headers={
                "User-Agent": f"interrupts-webhooks/{_version()}",
                "Content-Type": "application/json",
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),  # it has one time limit, around everything
            auto_decompress=False,
            trust_env=False,
            read_bufsize=BODY_BYTES_MAX,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Sends this once, and waits for the answer's status for so long. Whatever happens is an answer."""
        assert self._session is not None
        begun = time.perf_counter()
        loop = asyncio.get_running_loop()
        response: aiohttp.ClientResponse | None = None
        error: str | None = None
        ours = False
        excerpt = bytearray()
        duration_ms = 0.0
        try:
            target = self._target(url)
            data = body if len(body) <= _LARGE_BYTES else io.BytesIO(body)
            async with asyncio.timeout(timeout_s) as limit:
                response = await self._session.post(target, data=data, headers=headers, allow_redirects=False)
                duration_ms = (time.perf_counter() - begun) * 1000
                content = response.content
                if not content.is_eof():
                    limit.reschedule(min(limit.when() or 0.0, loop.time() + BODY_TIMEOUT_S))
                while len(excerpt) < BODY_BYTES_MAX and not content.at_eof():
                    excerpt += await content.read(BODY_BYTES_MAX - len(excerpt))
        except Exception as fault:  # noqa: BLE001 - whatever a receiver does is this delivery's failure, nothing more
            if response is None:
                error, ours = _in_words(fault, timeout_s), getattr(fault, "errno", None) in _OURS
                duration_ms = (time.perf_counter() - begun) * 1000
        finally:
            if response is not None:
                response.close()  # it has gone back to the others already if it was read to its end
        if response is None:
            return Answer(None, None, error, None, duration_ms, ours)
        status = response.status
        text = _harmless(excerpt.decode(errors="replace")[:BODY_CHARS_MAX])
        if 200 <= status <= 299:
            return Answer(status, text, None, None, duration_ms)
        retry_after_s = _seconds(response.headers.get("Retry-After", ""))
        return Answer(status, text, _said_by(response), retry_after_s, duration_ms)

    def _target(self, url: str) -> URL:
        target = self._targets.get(url)
        if target is None:
            target = self._rules.target(url)
            if len(self._targets) >= TARGETS_KEPT_MAX:
                self._targets.clear()
            self._targets[url] = target
        return target


def _in_words(fault: Exception, timeout_s: float) -> str:
    """Why no answer came, without anything that may be secret: never the text of the client's own errors."""
    match fault:
        case ValidationError():
            said = str(fault)
        case aiohttp.ClientConnectorDNSError():
            said = f"the name {fault.host} does not resolve now: {fault.os_error.strerror}"
        case aiohttp.ClientConnectorCertificateError():
            why = getattr(fault.certificate_error, "verify_message", "") or "it does not fit"
            said = f"TLS failed, since the certificate of {fault.host} is not accepted: {why}"
        case aiohttp.ClientConnectorSSLError():
            what = getattr(fault.os_error, "reason", "") or "it was broken off"
            said = f"TLS failed with {fault.host}, port {fault.port}: {what}"
        case aiohttp.ClientConnectorError(os_error=RefusedAddressError() as why):
            said = f"the host {fault.host} has an address that nothing is sent to: {why}"
        case aiohttp.ClientConnectorError(os_error=why):
            what = os.strerror(why.errno) if why.errno else str(why).removeprefix("Multiple exceptions: ")
            said = f"no connection to {fault.host}, port {fault.port}: {what}"
        case TimeoutError():
            said = f"timed out: no answer came within {timeout_s:g} s"
        case aiohttp.ServerDisconnectedError() | OSError():
            said = "the connection was closed before an answer came"
        case aiohttp.ClientResponseError():
            said = "what came back is not HTTP"
        case ValueError() | TypeError():
            said = "it can't be sent as it is: one of its headers is not allowed in HTTP"
        case _:
            said = f"it could not be sent ({type(fault).__name__})"
    return _harmless(said[:ERROR_CHARS_MAX])


def _said_by(response: aiohttp.ClientResponse) -> str:
    """A status that is a failure, in words."""
    said = f"it answered {response.status}"
    if response.status not in REDIRECTS:
        return said
    where = re.split("[?#]", response.headers.get("Location", "nowhere"), maxsplit=1)[0]
    where = _harmless(re.sub("//[^/]*@", "//", where)[:LOCATION_CHARS_MAX])  # what may be secret is left out
    return f"{said}, a redirect to {where}, which is not followed. Register the url that is meant"


def _seconds(text: str) -> float | None:
    """What Retry-After asks for: seconds, or a time, within the bound; None if it is neither."""
    if text.isascii() and text.isdigit():
        return float(min(int(text[:10]), RETRY_AFTER_S_MAX))
    try:
        at = parsedate_to_datetime(text)
        left = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    except Exception:  # noqa: BLE001 - the text is a stranger's, and that parser has many ways to fail
        return None
    return min(max(left, 0.0), RETRY_AFTER_S_MAX)


def _harmless(text: str) -> str:
    """Without anything that does something to a terminal or a page when it is shown."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else "\ufffd" for one in text)


@cache
def _version() -> str:
    try:
        return version("interrupts")
    except PackageNotFoundError:  # it runs from its folder
        return "0"
