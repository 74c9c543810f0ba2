"""The middleware and a limiter that is away, or is no limiter of ours; and what passes through uncounted."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from interrupts import (
    AsyncRateLimiter,
    CorruptLogError,
    RateLimitConfig,
    RateLimiter,
    RateLimitResult,
    UnavailableError,
)
from interrupts.ids import partition_of_session
from interrupts.middleware import RateLimitMiddleware
from interrupts.middleware_config import RateLimitMiddlewareConfig
from tests.conftest import World
from tests.servers import RedisServer
from tests.test_middleware import Stub, hello, serve, serving


class Asked(Stub):
    """An asynchronous limiter that only its result shows to be one."""

    def check_rate_limit(self, user_id: str, endpoint: str) -> Any:
        """Hands over a coroutine."""

        async def check() -> Any:
            return super(Asked, self).check_rate_limit(user_id, endpoint)

        return check()


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("when_unavailable", ["open", "closed"])
def test_a_server_that_is_away(when_unavailable: Any, kind: str, own_server: RedisServer, namespace: str) -> None:
    """Requests pass uncounted, or get a 503; it is said once, and once that it is back."""
    world = World()
    config = RateLimitMiddlewareConfig(when_unavailable=when_unavailable)
    options: dict[str, Any] = {"namespace": namespace, "call_timeout_s": 0.5, "attempt_timeout_s": 0.2}

    def lines() -> list[tuple[str, str]]:
        return [(level, event) for level, event, _ in world.lines]

    async def main(limiter: Any) -> None:
        async with serving(RateLimitMiddleware(hello, limiter, config, world)) as client:
            assert (await client.get("/x")).headers["x-ratelimit-remaining"] == "59"
            own_server.kill()
            for response in await asyncio.gather(*(client.get("/x") for _ in range(3))):
                assert response.status_code == (200 if when_unavailable == "open" else 503)
                assert not [name for name in response.headers if "ratelimit" in name or name == "retry-after"]
                if when_unavailable == "closed":
                    assert response.headers["content-type"] == "application/problem+json"
                    assert response.json()["type"] == "urn:interrupts:problem:rate-limiter-unavailable"
                    assert (await client.head("/x")).content == b""
            assert lines() == [("error", "rate_limiter.away")]
            own_server.start()
            while "x-ratelimit-limit" not in (await client.get("/x")).headers:
                pass
            assert (await client.get("/x")).status_code == 200
            assert lines() == [("error", "rate_limiter.away"), ("warning", "rate_limiter.back")]

    async def asynchronous() -> None:
        async with AsyncRateLimiter.connect(own_server.url, **options) as limiter:
            await main(limiter)

    if kind == "async":
        asyncio.run(asynchronous())
    else:
        with RateLimiter.connect(own_server.url, **options) as limiter:
            asyncio.run(main(limiter))


def test_each_outage_is_said_once_even_by_a_logger_that_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the limiter raises is an outage; a logger's own fault changes nothing."""
    monkeypatch.setattr("interrupts.middleware.RATE_ASK_AGAIN_S", 0.0)

    def harm(port: str) -> None:
        raise RuntimeError(port)

    world, limiter = World(harm), Stub()

    async def use(client: httpx.AsyncClient) -> None:
        for result in (KeyError("x"), TimeoutError(), RateLimitResult.ok(1), OSError(), RateLimitResult.ok(1)):
            limiter.result = result
            assert (await client.get("/x")).status_code == 200

    serve(RateLimitMiddleware(limiter, logger=world)(hello), use)
    assert [event for _, event, _ in world.lines] == ["rate_limiter.away", "rate_limiter.back"] * 2
    assert "KeyError" in world.lines[0][2]["error"]


def test_what_ails_one_user_or_one_node_is_not_everybodys() -> None:
    """Damaged counts concern their user alone; a node that is away concerns the users who are there."""
    users = [f"user-{number}" for number in range(40)]

    class Ailing(Stub):
        """Has damaged counts, and a node that is away."""

        def check_rate_limit(self, user_id: str, endpoint: str) -> Any:
            """What it says depends on who asks."""
            self.asked.append((user_id, endpoint))
            if user_id == users[0]:
                raise CorruptLogError("damaged")
            if partition_of_session(user_id, 16) >= 8:
                raise UnavailableError("away")
            return RateLimitResult.exceeded_limit("minute", 3, 3, 30.0)

    async def use(client: httpx.AsyncClient) -> None:
        for user in users * 2:
            status = (await client.get("/x", headers={"who": user})).status_code
            assert status == (200 if user == users[0] or partition_of_session(user, 16) >= 8 else 429)

    def who(scope: Any) -> str:
        return str(dict(scope["headers"])[b"who"], "ascii")

    serve(RateLimitMiddleware(Ailing(), RateLimitMiddlewareConfig(user=who))(hello), use)


@pytest.mark.parametrize("fault", [TypeError("no cost"), RuntimeError("another loop")])
def test_a_fault_in_the_code_is_not_an_outage(fault: Exception) -> None:
    """It is raised, lest requests pass uncounted for ever."""
    limiter: Any = Stub()
    limiter.result = fault
    nobody: Any = None

    async def main() -> None:
        app = RateLimitMiddleware(hello, limiter)
        scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": ("127.0.0.1", 1)}
        with pytest.raises(type(fault)):
            await app(scope, nobody, nobody)

    asyncio.run(main())


def test_a_limiter_that_was_away_a_moment_ago_is_not_waited_for() -> None:
    """Requests pass, or are refused, at once; the next one that is due asks again."""
    limiter = Stub()

    async def use(client: httpx.AsyncClient) -> None:
        limiter.result = OSError()
        for _ in range(5):
            assert (await client.get("/x")).status_code == 200
        assert len(limiter.asked) == 1
        middleware._ask_at = dict.fromkeys(middleware._ask_at, 0.0)
        limiter.result = RateLimitResult.ok(remaining=9)
        for _ in range(5):
            assert (await client.get("/x")).headers["x-ratelimit-remaining"] == "9"
        assert len(limiter.asked) == 6

    middleware = RateLimitMiddleware(limiter)(hello)
    serve(middleware, use)


def test_one_that_is_not_connected_yet_is_connected_by_the_first_requests(url: str, namespace: str) -> None:
    """Where an app is made, there is no event loop yet."""
    connecting = AsyncRateLimiter.connect(url, namespace=namespace, limits=RateLimitConfig(requests_per_minute=5))

    async def use(client: httpx.AsyncClient) -> None:
        answers = await asyncio.gather(*(client.get("/x") for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15
        await connecting.aclose()

    serve(RateLimitMiddleware(hello, rate_limiter=connecting), use)


def test_an_awaitable_that_a_plain_function_returns_is_awaited() -> None:
    """As of a limiter that is decorated."""
    limiter = Asked(RateLimitResult.ok(remaining=9))

    async def use(client: httpx.AsyncClient) -> None:
        assert (await client.get("/x")).headers["x-ratelimit-remaining"] == "9"

    serve(RateLimitMiddleware(limiter).wrap(hello), use)


def test_lifespan_and_what_is_unknown_pass_through() -> None:
    """Neither is counted; receive and send are the server's own."""
    limiter, passed = Stub(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append((scope, receive, send))

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        raise AssertionError

    async def main() -> None:
        for kind in ("lifespan", "tea"):
            await RateLimitMiddleware(app, limiter)({"type": kind}, receive, send)
        await RateLimitMiddleware(app, limiter)({"type": "http", "path": "/x", "client": None}, receive, send)

    asyncio.run(main())
    assert [(scope["type"], one, other) for scope, one, other in passed] == [
        (kind, receive, send) for kind in ("lifespan", "tea", "http")
    ]
    assert limiter.asked == []


def test_a_request_that_is_cancelled_is_no_outage() -> None:
    """Nothing is said, and the cancellation goes on."""
    world = World()

    class Endless:
        async def check_rate_limit(self, user_id: str, endpoint: str) -> Any:
            asked.set()
            await asyncio.Event().wait()

    async def nothing(message: Any = None) -> None:
        raise AssertionError(message)

    async def main() -> None:
        middleware = RateLimitMiddleware(hello, Endless(), logger=world)
        scope = {"type": "http", "method": "GET", "path": "/x", "client": ("ada", 1)}
        task = asyncio.create_task(middleware(scope, nothing, nothing))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asked = asyncio.Event()
    asyncio.run(main())
    assert world.lines == []
