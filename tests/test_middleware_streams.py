"""The middleware holds nothing up: answers and requests stream, clients go away, websockets work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import InvalidStatus

from interrupts.middleware import RateLimitMiddleware
from interrupts.middleware_config import RateLimitMiddlewareConfig
from tests.test_middleware import REFUSED, Stub, hello, serving
from tests.test_middleware_apps import FRAMEWORKS, Gates, litestar_app, starlette_app


@pytest.mark.parametrize(("make", "path"), [*((make, "/stream") for make in FRAMEWORKS), (litestar_app, "/events")])
def test_answers_stream(make: Any, path: str) -> None:
    """The app sends its last part only when the client has the first."""

    async def main() -> None:
        gates = Gates()
        async with serving(make(Stub(), None, gates)) as client, client.stream("GET", path) as response:
            assert response.headers["x-ratelimit-remaining"] == "5"
            parts = []
            async for part in response.aiter_raw():
                parts.append(part)
                gates.first_came.set()
        text = b"".join(parts)
        assert len(parts) >= 2
        assert b"first" in parts[0]
        assert text.index(b"first") < text.index(b"last")

    asyncio.run(main())


def test_requests_stream() -> None:
    """The client sends its last part only when the app has the first."""

    async def main() -> None:
        gates = Gates()

        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            await gates.first_came.wait()
            yield b"last"

        async with serving(starlette_app(Stub(), None, gates)) as client:
            response = await client.post("/upload", content=parts())
            assert (response.text, response.headers["x-ratelimit-remaining"]) == ("firstlast", "5")

    asyncio.run(main())


def test_a_client_that_goes_away_ends_the_stream() -> None:
    """The app hears of it, as without the middleware."""

    async def main() -> None:
        gates = Gates()
        async with serving(starlette_app(Stub(), None, gates)) as client:
            async with client.stream("GET", "/stream") as response:
                assert await anext(response.aiter_raw()) == b"first"
            await asyncio.wait_for(gates.done.wait(), 30)
        assert not gates.first_came.is_set()

    asyncio.run(main())


def test_background_work_comes_after_the_answer() -> None:
    """The answer does not wait for it."""

    async def main() -> None:
        gates = Gates()
        async with serving(starlette_app(Stub(), None, gates)) as client:
            assert (await client.get("/work")).text == "work"
            assert not gates.done.is_set()
            gates.first_came.set()
            await asyncio.wait_for(gates.done.wait(), 30)

    asyncio.run(main())


@pytest.mark.parametrize("away", [False, True])
def test_websockets(away: bool) -> None:
    """A handshake is answered with the headers; one that is too much, or can't be counted, with 429 or 503."""
    limiter = Stub()
    config = RateLimitMiddlewareConfig(when_unavailable="closed")

    async def main() -> None:
        async with serving(starlette_app(limiter, config, Gates())) as client:
            address = str(client.base_url).replace("http", "ws", 1) + "/echo"
            async with connect_socket(address, proxy=None) as socket:
                await socket.send("hello")
                assert await socket.recv() == "hello"
                assert socket.response is not None
                assert socket.response.headers["x-ratelimit-remaining"] == "5"
                assert socket.response.headers["x-own"] == "1"
            limiter.result = OSError("away") if away else REFUSED
            with pytest.raises(InvalidStatus) as caught:
                await connect_socket(address, proxy=None)
            response = caught.value.response
            assert response.status_code == (503 if away else 429)
            assert response.headers["content-type"] == "application/problem+json"
            assert response.headers.get("retry-after") == (None if away else "31")
            assert (b"rate-limited" in response.body) is not away

    asyncio.run(main())


def test_a_handshake_is_closed_where_the_server_can_not_answer_it() -> None:
    """After the request to connect was received, as ASGI wants it."""
    messages: list[Any] = []

    async def receive() -> Any:
        messages.append({"type": "websocket.connect"})
        return messages[-1]

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {"type": "websocket", "path": "/echo", "client": ("ada", 1)}
    asyncio.run(RateLimitMiddleware(Stub(REFUSED)).wrap(hello)(scope, receive, send))
    assert messages == [{"type": "websocket.connect"}, {"type": "websocket.close", "code": 1008}]
