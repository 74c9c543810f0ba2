"""What the rate limit middleware is told: who the user is, what is exempt, what a route costs."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
from msgspec.structs import force_setattr

from interrupts.checks import check_id, check_optional_id, shown
from interrupts.errors import ValidationError
from interrupts.rates import check_count

Scope = Any
"""A connection, as ASGI describes it: a mutable mapping. (Frameworks type it differently, hence Any.)"""


def client_address(scope: Scope) -> str | None:
    """The address that the connection comes from; of an IPv6 one its /64 network, as one subscriber has all of that.
    None, so no limit, where the server does not know it, as on a Unix socket.

    Any client can send X-Forwarded-For, so it is not looked at. Behind a proxy, whose address is then that of all, have
    the server put the client's in its place (uvicorn: `--proxy-headers --forwarded-allow-ips`).
    """
    client = scope.get("client")
    host = client[0] if client else None
    with suppress(ValueError):
        address = ipaddress.IPv6Address((host or "").partition("%")[0])
        return str(address.ipv4_mapped or ipaddress.IPv6Network((address, 64), strict=False))
    return host or None


class RouteLimit(msgspec.Struct, frozen=True):
    """How requests of a route are counted."""

    cost: int = 1
    """For how many calls one counts. One that is above a limit of a user is an error in the code: `ValidationError`."""
    endpoint: str | None = None
    """The name that they are counted under; without one it is the route's pattern."""

    def __post_init__(self) -> None:
        check_count("cost", self.cost)
        check_optional_id("endpoint", self.endpoint)


class RateLimitMiddlewareConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is limited, and how. In patterns of paths `*` stands for any text; a path is the scope's `path`. Raises
    `ValidationError` for what can't be meant."""

    user: Callable[[Scope], str | Awaitable[str | None] | None] = client_address
    """Who asks, told from the scope; may be async. None: the request is not limited. What can't be the id of a user
    (empty, too long, unprintable) counts under a hash of it. What this raises, the request fails with."""
    exempt: Sequence[str] = ()
    """Paths that are not limited."""
    exempt_methods: Collection[str] = frozenset({"OPTIONS"})
    """HTTP methods that are not limited; by default what browsers ask before a cross-origin call."""
    routes: Mapping[str, RouteLimit] = {}
    """Pattern by pattern how paths are counted; the first that matches holds. All paths of a route count together, so
    path parameters do not multiply the counts. A path that no route matches is counted by itself."""
    when_unavailable: Literal["open", "closed"] = "open"
    """What happens to requests while the limiter fails: let through uncounted, or (`closed`) refused with a 503."""

    def __post_init__(self) -> None:
        check("user", self.user, callable(self.user), "a function of the scope")
        for field in ("exempt", "exempt_methods"):
            texts = getattr(self, field)
            check(field, texts, isinstance(texts, Collection) and not isinstance(texts, str), "a list of texts")
            force_setattr(self, field, tuple(check_id(field, text) for text in texts))
        force_setattr(self, "exempt_methods", frozenset(map(str.upper, self.exempt_methods)))
        check("routes", self.routes, isinstance(self.routes, Mapping), "a dict of pattern and RouteLimit")
        for pattern, route in self.routes.items():
            check("routes", route, isinstance(route, RouteLimit), f"a RouteLimit for {check_id('routes', pattern)!r}")
        force_setattr(self, "routes", dict(self.routes))
        check("when_unavailable", self.when_unavailable, self.when_unavailable in ("open", "closed"), "open or closed")


def check(field: str, value: object, right: bool, what: str) -> None:
    """Refuses, by name, what is not right."""
    if not right:
        raise ValidationError(f"{field}: must be {what}, not {shown(value)}.", field=field)


def is_id(text: str) -> bool:
    """Whether this can be the id of a user or the name of an endpoint."""
    try:
        check_id("id", text)
    except ValidationError:
        return False
    return True
