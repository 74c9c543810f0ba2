"""What a url says: which server, of which sort, and how to speak to it. Refusals never show a password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlencode

import msgspec
from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

from interrupts.errors import ValidationError
from interrupts.store.routes import Address, connection_maker

SCHEMES: Final = (
    "redis://host:6379/0",
    "rediss://host:6379/0",
    "unix:///path/to/redis.sock",
    "redis+cluster://host:7000,host:7001",
    "redis+sentinel://host:26379,host:26379/group/0",
    "embedded://folder",
    "memory://",
)
OPTIONS: Final = frozenset({"host", "port", "path", "db", "username", "password", "client_name", "socket_keepalive"})
"""What a url may say about a connection, besides what begins with ssl_. Time-outs and retries are the service's own."""
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<name>[^\s:\[\]]+))(?::(?P<port>\d{1,5}))?")
_PARTS: Final = re.compile(r"[^:/?#\s]+://(?P<where>[^/?#\s]*)(?P<path>[^?#\s]*)(?:\?(?P<query>[^#\s]*))?")
_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379


class Target(msgspec.Struct, frozen=True):
    """Where a url points. `options` are the connection's; `kind` is `tcp`, `tls` or `unix`."""

    sort: str
    kind: str = "tcp"
    options: dict[str, Any] = {}
    addresses: tuple[Address, ...] = ()
    name: str = ""
    """The folder of an embedded server, the group of a sentinel, the name of a store in memory."""

    @property
    def where(self) -> str:
        """Where that is, for people, without anything secret."""
        if self.addresses:
            return ",".join(f"{host}:{port}" for host, port in self.addresses)
        host, port = self.options.get("host", "localhost"), self.options.get("port", _REDIS_PORT)
        return self.name or str(self.options.get("path") or f"{host}:{port}")


def parse(url: str) -> Target:
    """The target of a url. Raises `ValidationError`."""
    if not isinstance(url, str):
        raise _bad(url, "is no text")
    scheme, separator, rest = url.partition("://")
    match scheme if separator else "":
        case "memory":
            return Target("memory", name=rest.strip("/"))
        case "embedded":
            if not rest:
                raise _bad(url, "names no folder")
            return Target("embedded", "unix", name=str(Path(unquote(rest)).expanduser()))
        case "redis" | "rediss" | "unix":
            kind = {"redis": "tcp", "rediss": "tls", "unix": "unix"}[scheme]
            if kind != "unix":
                _check_database(url, rest.partition("?")[0].partition("/")[2])
            return Target("fixed", kind, _options(url, url, kind))
        case "redis+cluster" | "rediss+cluster":
            return _cluster(url, "tls" if scheme.startswith("rediss") else "tcp")
        case "redis+sentinel" | "rediss+sentinel":
            return _sentinel(url, "tls" if scheme.startswith("rediss") else "tcp")
    raise _bad(url, "has no scheme that is known")


def _options(url: str, plain: str, kind: str) -> dict[str, Any]:
    try:
        parsed: Mapping[str, Any] = parse_url(plain)
    except (ValueError, TypeError) as error:
        raise _bad(url, f"can't be read ({type(error).__name__})") from None
    options = {name: value for name, value in parsed.items() if name not in ("connection_class", "socket_timeout")}
    for name, value in options.items():
        if name not in OPTIONS and not name.startswith("ssl_"):
            known = ", ".join(sorted(OPTIONS))
            raise _bad(url, f"has the option {name[:32]!r}; there are {known} and those that begin with ssl_")
        if name == "client_name" and not str(value).isalnum():
            raise _bad(url, "has a client_name that is not letters and digits")
    try:
        connection_maker(kind, options)()  # opens nothing
    except (TypeError, ValueError, RedisError) as error:
        raise _bad(url, f"has an option that can't be used ({type(error).__name__})") from None
    return options


def _split(url: str, default_port: int) -> tuple[tuple[Address, ...], str, str, dict[str, list[str]]]:
    # Not by urlsplit: it takes several addresses for one, and since some versions of Python refuses a list with an IPv6
    # address that is not the first.
    parts = _PARTS.fullmatch(url)
    if parts is None:
        raise _bad(url, "can't be read; escape what is special in a password, as in %2F for /")
    user, _, hosts = parts["where"].rpartition("@")
    addresses = []
    for host in hosts.split(","):
        match = _HOST.fullmatch(host)
        port = int(match["port"] or default_port) if match else 0
        if match is None or not 0 < port < 65536:
            raise _bad(url, "has no host and port where one is expected; escape what is special in a password")
        addresses.append((match["v6"] or match["name"], port))
    return tuple(addresses), user, parts["path"].strip("/"), parse_qs(parts["query"] or "")


def _check_database(url: str, database: str) -> None:
    """Refuses a database that is no number: the client library would take number 0 for it."""
    if database.strip("/") and not database.strip("/").isdecimal():
        raise _bad(url, "names a database that is no number")


def _spoken(url: str, kind: str, user: str, query: dict[str, list[str]], database: str = "") -> dict[str, Any]:
    """The options of a connection, without an address."""
    at = f"{user}@" if user else ""
    asked = f"?{urlencode(query, doseq=True)}" if query else ""
    _check_database(url, database)
    options = _options(url, f"redis://{at}localhost/{database}{asked}", kind)
    return {name: value for name, value in options.items() if name not in ("host", "port")}


def _cluster(url: str, kind: str) -> Target:
    addresses, user, path, query = _split(url, _REDIS_PORT)
    if path not in ("", "0"):
        raise _bad(url, "names a database, and a cluster has only number 0")
    return Target("cluster", kind, _spoken(url, kind, user, query), addresses)


def _sentinel(url: str, kind: str) -> Target:
    addresses, user, path, query = _split(url, _SENTINEL_PORT)
    group, _, database = path.partition("/")
    if not group:
        raise _bad(url, "names no group: redis+sentinel://host:26379/<group>")
    return Target("sentinel", kind, _spoken(url, kind, user, query, database), addresses, group)


def _bad(url: object, why: str) -> ValidationError:
    # Only the scheme is shown: in a url that can't be read, nobody knows where the password is.
    scheme, separator, _ = str(url).partition("://")
    shown = f"{scheme[:32]}://…" if separator else "the url"
    return ValidationError(f"url: {shown} {why}. Use one of: {', '.join(SCHEMES)}.", field="url")
