"""The middleware in apps of Starlette, FastAPI and Litestar, with real limiters, in a real server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastapi
import litestar
import pytest
from litestar.middleware import DefineMiddleware
from litestar.response import ServerSentEvent, Stream
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from interrupts import AsyncRateLimiter, RateLimitConfig, RateLimiter, ValidationError
from interrupts.middleware import RateLimitMiddleware
from interrupts.middleware_config import RateLimitMiddlewareConfig, RouteLimit
from tests.test_middleware import Stub, hello, serving

LIMITS = RateLimitConfig(requests_per_minute=5, requests_per_hour=100, burst_size=3)
POLICIES = '"minute";q=5;w=60, "hour";q=100;w=3600, "day";q=10000;w=86400, "burst";q=3;w=36'


class Gates:
    """What the app and its client wait for from each other."""

    def __init__(self) -> None:
        self.first_came = asyncio.Event()
        self.done = asyncio.Event()

    async def stream(self) -> AsyncIterator[bytes]:
        """Goes on only when the client has the first part."""
        try:
            yield b"first"
            await self.first_came.wait()
            yield b"last"
        finally:
            self.done.set()


def starlette_app(limiter: Any, config: RateLimitMiddlewareConfig | None, gates: Gates) -> Any:
    """With background work, which is done after the answer."""

    async def item(request: Request) -> PlainTextResponse:
        return PlainTextResponse("item")

    async def later() -> None:
        await gates.first_came.wait()
        gates.done.set()

    async def work(request: Request) -> PlainTextResponse:
        return PlainTextResponse("work", background=BackgroundTask(later))

    async def upload(request: Request) -> PlainTextResponse:
        parts = []
        async for part in request.stream():
            parts.append(part)
            gates.first_came.set()
        return PlainTextResponse(b"".join(parts))

    async def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(gates.stream())

    async def echo(socket: WebSocket) -> None:
        await socket.accept(headers=[(b"x-own", b"1")])
        await socket.send_text(await socket.receive_text())
        await socket.close()

    app = Starlette(
        routes=[
            Route("/items/{number}", item),
            Route("/work", work),
            Route("/upload", upload, methods=["POST"]),
            Route("/stream", stream),
            WebSocketRoute("/echo", echo),
        ]
    )
    app.add_middleware(RateLimitMiddleware, rate_limiter=limiter, config=config)
    return app


def fastapi_app(limiter: Any, config: RateLimitMiddlewareConfig | None, gates: Gates) -> Any:
    """The same, as far as it differs from Starlette's."""
    app = fastapi.FastAPI()
    app.add_middleware(RateLimitMiddleware, rate_limiter=limiter, config=config)

    @app.get("/items/{number}")
    async def item(number: int) -> int:
        return number

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(gates.stream(), media_type="text/event-stream")

    return app


def litestar_app(limiter: Any, config: RateLimitMiddlewareConfig | None, gates: Gates) -> Any:
    """Middleware that gets its app by keyword."""

    @litestar.get("/items/{number:int}")
    async def item() -> str:
        return "item"

    @litestar.get("/stream")
    async def stream() -> Stream:
        return Stream(gates.stream())

    @litestar.get("/events")
    async def events() -> ServerSentEvent:
        return ServerSentEvent(gates.stream())

    define = DefineMiddleware(RateLimitMiddleware, rate_limiter=limiter, config=config)
    return litestar.Litestar([item, stream, events], middleware=[define], openapi_config=None, logging_config=None)


FRAMEWORKS = [starlette_app, fastapi_app, litestar_app]


@asynccontextmanager
async def limiter_of(kind: str, url: str, namespace: str, **options: Any) -> AsyncIterator[Any]:
    """A real limiter, synchronous or not."""
    if kind == "sync":
        limiter = await asyncio.to_thread(RateLimiter.connect, url, namespace=namespace, limits=LIMITS, **options)
        try:
            yield limiter
        finally:
            await asyncio.to_thread(limiter.close)
    else:
        async with AsyncRateLimiter.connect(url, namespace=namespace, limits=LIMITS, **options) as asynchronous:
            yield asynchronous


@pytest.mark.parametrize("make", FRAMEWORKS)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_three_at_once_and_no_more(make: Any, kind: str, url: str, namespace: str) -> None:
    """The limiter's own numbers arrive; a route counts its paths together; other users are not touched."""
    config = RateLimitMiddlewareConfig(
        user=lambda scope: dict(scope["headers"]).get(b"x-user", b"").decode() or None,
        routes={"/items/*": RouteLimit(endpoint="items")},
    )

    async def main() -> None:
        async with limiter_of(kind, url, namespace) as limiter, serving(make(limiter, config, Gates())) as client:
            for number in range(3):
                response = await client.get(f"/items/{number}", headers={"X-User": "ada"})
                assert response.status_code == 200, response.text
                assert response.headers["x-ratelimit-limit"] == "5"
                assert response.headers["x-ratelimit-remaining"] == str(4 - number)
                assert response.headers["ratelimit-policy"] == POLICIES
                assert response.headers["ratelimit"].startswith(f'"minute";r={4 - number};t=')
                assert "retry-after" not in response.headers
            refused = await client.get("/items/3", headers={"X-User": "ada"})
            assert refused.status_code == 429
            problem = refused.json()
            assert (problem["limit_type"], problem["limit"], problem["status"]) == ("burst", 3, 429)
            assert 0 < problem["retry_after_seconds"] <= int(refused.headers["retry-after"]) <= 12
            assert refused.headers["ratelimit"] == f'"burst";r=0;t={refused.headers["retry-after"]}'
            assert (await client.get("/items/3", headers={"X-User": "grace"})).status_code == 200
            assert "ratelimit" not in (await client.get("/items/3")).headers

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_route_has_a_cost(kind: str, url: str, namespace: str) -> None:
    """One request of it counts for three; a cost that could never pass is the code's mistake and fails."""
    config = RateLimitMiddlewareConfig(routes={"/dear": RouteLimit(cost=3), "/never": RouteLimit(cost=4)})

    async def main() -> None:
        async with limiter_of(kind, url, namespace) as limiter:
            wrapped = RateLimitMiddleware(limiter, config).wrap(hello)
            async with serving(wrapped) as client:
                assert (await client.get("/dear")).headers["x-ratelimit-remaining"] == "2"
                assert (await client.get("/dear")).status_code == 429
                assert (await client.get("/never")).status_code == 500
            with pytest.raises(ValidationError, match="cost"):
                await wrapped({"type": "http", "path": "/never", "client": ("x", 1)}, *[nothing] * 2)

    asyncio.run(main())


async def nothing(message: Any = None) -> None:
    """Neither receives nor sends."""


@pytest.mark.parametrize("make", FRAMEWORKS)
def test_paths_without_a_handler(make: Any) -> None:
    """Around everything they are counted like others; Litestar's own middlewares do not see them."""
    limiter = Stub()

    async def main() -> None:
        async with serving(make(limiter, None, Gates())) as client:
            response = await client.get("/nothing")
            assert (response.status_code, len(limiter.asked)) == (404, 0 if make is litestar_app else 1)
        async with serving(RateLimitMiddleware(make(Stub(), None, Gates()), limiter), lifespan="on") as client:
            response = await client.get("/nothing")
            assert (response.status_code, response.headers["x-ratelimit-remaining"]) == (404, "5")
        assert limiter.asked[-1] == ("127.0.0.1", "/nothing")

    asyncio.run(main())
