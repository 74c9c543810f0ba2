"""The middleware in a real server, with a stub for a limiter: how it is made, what it answers, what is wrong.

Also what the other tests of the middleware share: `serving`, and `Stub`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from interrupts import RateLimitConfig, RateLimiter, RateLimitResult, ValidationError
from interrupts.middleware import ASGIApp, RateLimitMiddleware
from interrupts.middleware_config import RateLimitMiddlewareConfig, RouteLimit
from tests.conftest import World
from tests.servers import until

Config = RateLimitMiddlewareConfig
Made: Any = RateLimitMiddleware  # for what mypy would not let pass
WrongConfig: Any = RateLimitMiddlewareConfig
WrongRoute: Any = RouteLimit
POLICIES = '"minute";q=60;w=60, "hour";q=1000;w=3600, "day";q=10000;w=86400, "burst";q=10;w=10'
REFUSED = RateLimitResult.exceeded_limit("minute", 60, 60, 30.5)


class Stub:
    """A synchronous limiter that notes what it is asked, and answers what it is told to."""

    def __init__(self, result: Any = None) -> None:
        self.result: Any = result or RateLimitResult.ok(remaining=5)
        self.asked: list[Any] = []

    def check_rate_limit(self, user_id: str, endpoint: str) -> Any:
        """As the contract has it."""
        self.asked.append((user_id, endpoint))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The plainest of apps. It sets one of the limiter's headers on a path of its own."""
    assert scope["type"] == "http", scope["type"]
    headers = [(b"content-type", b"text/plain")]
    if scope["path"] == "/own":
        headers += [(b"X-RateLimit-Limit", b"own"), (b"retry-after", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A real server for this app, in this event loop, and a client of it."""
    options = {
        "lifespan": "off",
        "ws": "websockets-sansio",
        "log_config": None,
        "timeout_graceful_shutdown": 30,
    } | options
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, **options))
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done(), "the server listens")
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await task


def serve(app: Any, use: Callable[[httpx.AsyncClient], Awaitable[None]], **options: Any) -> None:
    """Runs the server for as long as the client is used."""

    async def main() -> None:
        async with serving(app, **options) as client:
            await use(client)

    asyncio.run(main())


@pytest.mark.parametrize(
    "make",
    [
        lambda limiter: RateLimitMiddleware(limiter).wrap(hello),
        lambda limiter: RateLimitMiddleware(limiter)(hello),
        lambda limiter: RateLimitMiddleware(rate_limiter=limiter)(hello),
        lambda limiter: RateLimitMiddleware(limiter, Config(), World())(hello),
        lambda limiter: Made(limiter, config=None, logger=logging.getLogger("test")).wrap(hello),
        lambda limiter: RateLimitMiddleware(hello, limiter),
        lambda limiter: RateLimitMiddleware(hello, limiter, Config(), World()),
        lambda limiter: RateLimitMiddleware(hello, rate_limiter=limiter),
        lambda limiter: RateLimitMiddleware(app=hello, rate_limiter=limiter, config=Config(), logger=None),
        lambda limiter: Made(limiter, app=hello),
        lambda limiter: RateLimitMiddleware(hello, Stub()).wrap(RateLimitMiddleware(hello, limiter)),
    ],
    ids=itertools.count(),
)
def test_however_it_is_made_servers_can_run_it(make: Callable[[Any], ASGIApp]) -> None:
    """As the contract makes it, and as frameworks do, it is a middleware, and a server takes it for ASGI 3."""
    limiter = Stub()

    async def use(client: httpx.AsyncClient) -> None:
        response = await client.get("/x")
        assert (response.status_code, response.text) == (200, "hello")
        assert response.headers["x-ratelimit-remaining"] == "5"

    made = make(limiter)
    assert isinstance(made, RateLimitMiddleware)
    serve(made, use)
    assert limiter.asked == [("127.0.0.1", "/x")]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (Made, "rate_limiter"),
        (lambda: Made(hello), "rate_limiter"),
        (lambda: Made(app=hello), "rate_limiter"),
        (lambda: Made(None), "rate_limiter"),
        (lambda: Made(hello, rate_limiter=hello), "rate_limiter"),
        (lambda: Made(RateLimiter), "rate_limiter"),
        (lambda: Made(7, rate_limiter=Stub()), "app"),
        (lambda: Made(Stub()).wrap(7), "app"),
        (lambda: Made(Stub(), {"exempt": ["/x"]}), "config"),
        (lambda: Made(hello, Stub(), logger=print), "logger"),
        (lambda: WrongConfig(user="ada"), "user"),
        (lambda: WrongConfig(exempt="/health"), "exempt"),
        (lambda: WrongConfig(exempt=[7]), "exempt"),
        (lambda: WrongConfig(exempt=[""]), "exempt"),
        (lambda: WrongConfig(exempt_methods="GET"), "exempt_methods"),
        (lambda: WrongConfig(exempt_methods=[None]), "exempt_methods"),
        (lambda: WrongConfig(routes=[("/x", WrongRoute())]), "routes"),
        (lambda: WrongConfig(routes={"/x": 5}), "routes"),
        (lambda: WrongConfig(routes={7: WrongRoute()}), "routes"),
        (lambda: WrongConfig(when_unavailable="maybe"), "when_unavailable"),
        (lambda: WrongRoute(cost=0), "cost"),
        (lambda: WrongRoute(cost=1.5), "cost"),
        (lambda: WrongRoute(endpoint=""), "endpoint"),
        (lambda: WrongRoute(endpoint="x" * 513), "endpoint"),
    ],
    ids=itertools.count(),
)
def test_what_can_not_be_meant_is_refused_at_once(make: Callable[[], Any], field: str) -> None:
    """By the name of what is wrong."""
    with pytest.raises(ValidationError, match=rf"^{field}: ") as caught:
        make()
    assert caught.value.field == field


def test_unknown_arguments_are_python_errors() -> None:
    """As everywhere."""
    for wrong in ({"limit": 5}, {"app": hello}, {"config": None}):
        with pytest.raises(TypeError):
            Made(hello, Stub(), None, **wrong)


def test_the_headers_of_answers() -> None:
    """As `rate_headers` makes them; what the app has set itself stays; Retry-After only if the limiter refuses."""
    config = RateLimitConfig(requests_per_minute=60)
    limiter = Stub(RateLimitResult(True, False, None, None, 12, 60, 0.0, 48, "minute", 60.3, config))

    async def use(client: httpx.AsyncClient) -> None:
        before = time.time()
        response = await client.get("/x")
        after = time.time()
        reset = int(response.headers.pop("x-ratelimit-reset"))
        assert math.ceil(before + 60.3) <= reset <= math.ceil(after + 60.3)
        assert (
            dict(response.headers).items()
            >= {
                "x-ratelimit-limit": "60",
                "x-ratelimit-remaining": "48",
                "ratelimit-policy": POLICIES,
                "ratelimit": '"minute";r=48;t=61',
                "content-type": "text/plain",
            }.items()
        )
        assert "retry-after" not in response.headers
        own = await client.get("/own")
        assert own.headers.get_list("x-ratelimit-limit") == ["own"]
        assert own.headers["retry-after"] == "7"
        assert own.headers["x-ratelimit-remaining"] == "48"

    serve(RateLimitMiddleware(hello, limiter), use)


def test_a_refusal() -> None:
    """429 with problem details and all headers; the app is not called. HEAD gets the same without a body."""

    async def use(client: httpx.AsyncClient) -> None:
        response = await client.post("/x", content=b"x" * 100_000)
        assert response.status_code == 429
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "31"
        assert response.headers["x-ratelimit-limit"] == "60"
        assert response.headers["x-ratelimit-remaining"] == "0"
        assert response.headers["ratelimit"] == '"minute";r=0;t=31'
        assert response.json()["detail"] == REFUSED.reason
        head = await client.head("/x")
        assert (head.status_code, head.content) == (429, b"")
        assert head.headers["content-length"] == str(len(response.content))
        assert head.headers["retry-after"] == "31"

    async def never(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError(scope)

    serve(RateLimitMiddleware(never, Stub(REFUSED)), use)
