"""The middleware's configuration: who is counted, under what name, for how much, and who is not."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

from interrupts.middleware import OTHER_PATHS, RateLimitMiddleware
from interrupts.middleware_config import RateLimitMiddlewareConfig, RouteLimit, client_address
from tests.test_middleware import Stub, hello, serve

Config = RateLimitMiddlewareConfig


class CostStub(Stub):
    """An asynchronous one that knows costs."""

    async def check_rate_limit(self, user_id: str, endpoint: str, *, cost: int = -1) -> Any:
        """Notes the cost, too."""
        return super().check_rate_limit(user_id, f"{endpoint} {cost}")


def counted(config: Config, *requests: tuple[str, str], limiter: Stub | None = None, **options: Any) -> list[Any]:
    """What the limiter is asked when these requests come."""
    limiter = limiter or Stub()

    async def use(client: httpx.AsyncClient) -> None:
        for method, path in requests:
            assert (await client.request(method, path)).status_code == 200

    serve(RateLimitMiddleware(hello, rate_limiter=limiter, config=config), use, **options)
    return limiter.asked


def test_paths_and_methods_that_are_exempt() -> None:
    """They reach the app and nobody counts them."""
    config = Config(exempt=["/health", "/static/*", "*.ico"], exempt_methods=["options", "Head"])
    passed = [("GET", "/health"), ("GET", "/static/a/b"), ("GET", "/favicon.ico"), ("OPTIONS", "/x"), ("HEAD", "/x")]
    caught = [("GET", "/health/"), ("GET", "/static"), ("POST", "/x")]
    assert counted(config, *passed) == []
    assert [path for _, path in counted(config, *caught)] == [path for _, path in caught]
    assert counted(Config(), ("OPTIONS", "/x")) == []
    assert len(counted(Config(exempt_methods=()), ("OPTIONS", "/x"))) == 1


def test_routes_say_what_is_counted_together_and_for_how_much() -> None:
    """The first that matches; without one the path itself. A cost is passed on only if it is not 1."""
    config = Config(
        routes={
            "/users/*/files": RouteLimit(cost=5),
            "/users/*": RouteLimit(),
            "/a*b*b*c": RouteLimit(endpoint="letters"),
        }
    )
    paths = ["/users/1/files", "/users/1", "/users/1/2", "/users", "/a/b/b/c", "/abc", "/abbc", "/abbcc", "/abbcd"]
    assert [asked[1] for asked in counted(config, *(("GET", path) for path in paths), limiter=CostStub())] == [
        *("/users/*/files 5", "/users/* -1", "/users/* -1", "/users -1"),
        *("letters -1", "/abc -1", "letters -1", "letters -1", "/abbcd -1"),
    ]


def test_paths_that_can_not_be_endpoints_count_together() -> None:
    """Too long, or not printable; a route gives such a path a name all the same."""
    config = Config(routes={"/long/*": RouteLimit(endpoint="long")})
    paths = ["/" + "x" * 511, "/" + "x" * 512, "/%00", "/%0Aa", "/%E2%80%A8", "/long/" + "x" * 10_000]
    assert [asked[1] for asked in counted(config, *(("GET", path) for path in paths))] == [
        paths[0],
        *[OTHER_PATHS] * 4,
        "long",
    ]


def test_no_path_makes_a_match_slow() -> None:
    """Patterns with many stars and a path made for them: were it tried again and again, this would never end."""
    config = Config(exempt=["/" + "*a" * 20 + "*b"])
    assert counted(config, ("GET", "/" + "a" * 20_000)) == [("127.0.0.1", OTHER_PATHS)]


@pytest.mark.parametrize(
    ("client", "user"),
    [
        (("203.0.113.7", 1234), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:2:ffff::", 1), "2001:db8:1:2::/64"),
        (("2001:db8:1:3::", 1), "2001:db8:1:3::/64"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("testclient", 1), "testclient"),
        (("a:b", None), "a:b"),
        (["", 0], None),
        (None, None),
    ],
)
def test_the_address_of_a_client(client: Any, user: str | None) -> None:
    """IPv6 by network; what is no address as it is; None where there is none."""
    assert client_address({"client": client}) == user


def test_headers_do_not_say_who_asks_unless_the_server_believes_them() -> None:
    """X-Forwarded-For counts only if the server is told to trust who sends it."""

    async def use(client: httpx.AsyncClient) -> None:
        await client.get("/x", headers={"X-Forwarded-For": "203.0.113.7"})

    for trusting, user in ((False, "127.0.0.1"), (True, "203.0.113.7")):
        limiter = Stub()
        serve(RateLimitMiddleware(hello, limiter), use, proxy_headers=trusting, forwarded_allow_ips="127.0.0.1")
        assert limiter.asked == [(user, "/x")]


@pytest.mark.parametrize(
    ("told", "user"),
    [
        ("ada", "ada"),
        ("x" * 512, "x" * 512),
        *((odd, hashlib.sha256(odd.encode()).hexdigest()) for odd in ("x" * 513, "a\nb", "", " ")),
        ("\ud800", hashlib.sha256(b"\xed\xa0\x80").hexdigest()),
        (None, None),
    ],
)
def test_a_function_says_who_asks(told: str | None, user: str | None) -> None:
    """Synchronous or not; None is not limited; what can't be an id counts under a hash of it."""

    async def later(scope: Any) -> str | None:
        assert scope["path"] == "/x"
        return told

    for function in (later, lambda scope: told):
        asked = counted(Config(user=function), ("GET", "/x"))
        assert [who.removeprefix("sha256:") for who, _ in asked] == ([] if user is None else [user])


def test_a_user_that_is_no_text_is_an_error_not_a_way_around() -> None:
    """The request fails, and so it does if the function does."""

    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.get("/x")).status_code == 500

    def broken(scope: Any) -> str:
        raise LookupError(scope["path"])

    wrong: Any = lambda scope: 7  # noqa: E731
    for function in (wrong, broken):
        limiter = Stub()
        serve(RateLimitMiddleware(hello, limiter, Config(user=function)), use)
        assert limiter.asked == []
