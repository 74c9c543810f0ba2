"""Rate limits in front of an ASGI app: each request is counted before the app sees it, or gets a 429 in its place.

    app.add_middleware(RateLimitMiddleware, rate_limiter=limiter)                     # Starlette, FastAPI
    Litestar(..., middleware=[DefineMiddleware(RateLimitMiddleware, rate_limiter=limiter)])
    app = RateLimitMiddleware(limiter, config, logger).wrap(app)                      # around any ASGI app

The limiter is anything that has `check_rate_limit(user_id, endpoint)`. A synchronous one is asked in a thread; an
`AsyncRateLimiter` is awaited, and belongs to the event loop that the server runs on. What its `connect(url)` gives is
fine, too: the first request connects it.

It is plain ASGI and touches one message only, the one that starts the answer, so nothing that streams is held up. It
sees what the server and the middlewares around it let through: Litestar's own see only paths that have a handler, and
answers to cross-origin calls need the CORS middleware outside of this one. `wrap` around everything sees everything.

A limiter that is away is no reason to be away oneself, so calls then pass uncounted (`when_unavailable="open"`). The
first ones wait for as long as the limiter tries (`call_timeout_s`); from then on one a second does. Errors that say
that the code is wrong are not taken for that: a cost above the limit, a limiter of another event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
import zlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, Protocol, overload

from interrupts.errors import CorruptLogError, ValidationError
from interrupts.limits import RATE_ASK_AGAIN_S
from interrupts.middleware_config import RateLimitMiddlewareConfig, Scope, check, is_id
from interrupts.patterns import compiled
from interrupts.ports import Ports
from interrupts.protocols import LoggerProtocol
from interrupts.rate_headers import rate_headers, refusal, telling

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

PARTS: Final = 64
"""Users are kept apart in so many parts, in the order in which they lie in partitions: if one node of a cluster is
away, the users of the others are limited as before."""
OTHER_PATHS: Final = "(other paths)"
"""What is counted under this name: paths that are too long for an endpoint, or can't be printed."""


class AnyRateLimiter(Protocol):
    """What the middleware asks of a limiter. `RateLimiter` and `AsyncRateLimiter` are such."""

    def check_rate_limit(self, user_id: str, endpoint: str) -> Any:
        """A `RateLimitResult`, or an awaitable of one. It is given `cost`, too, where that is not 1."""


class RateLimitMiddleware:
    """An ASGI app that limits what reaches another one. Made without an app, it is a maker of such: `wrap`.

    Raises `ValidationError` for what can't be meant. Not made to be subclassed.
    """

    @overload
    def __new__(
        cls,
        app: ASGIApp,
        rate_limiter: AnyRateLimiter,
        config: RateLimitMiddlewareConfig | None = None,
        logger: LoggerProtocol | None = None,
    ) -> RateLimitMiddleware: ...
    @overload
    def __new__(
        cls,
        rate_limiter: AnyRateLimiter,
        config: RateLimitMiddlewareConfig | None = None,
        logger: LoggerProtocol | None = None,
    ) -> RateLimitWrapper: ...
    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and hasattr(args[0], "check_rate_limit") and "rate_limiter" not in kwargs:
            args = (kwargs.pop("app", None), *args)
        app = args[0] if args else kwargs.get("app")
        made = object.__new__(RateLimitWrapper if app is None else RateLimitMiddleware)
        made._set(*args, **kwargs)
        return made

    def _set(self, app: Any = None, rate_limiter: Any = None, config: Any = None, logger: Any = None) -> None:
        self._check: Any = getattr(rate_limiter, "check_rate_limit", None)
        is_limiter = callable(self._check) and not isinstance(rate_limiter, type)
        check("rate_limiter", rate_limiter, is_limiter, "a limiter, which has check_rate_limit")
        check("app", app, app is None or callable(app), "an ASGI app")
        check("config", config, isinstance(config, RateLimitMiddlewareConfig | None), "a RateLimitMiddlewareConfig")
        self.app: ASGIApp = app
        self.config: RateLimitMiddlewareConfig = config or RateLimitMiddlewareConfig()
        self._limiter, self._logger = rate_limiter, logger
        self._waits = not inspect.iscoroutinefunction(self._check)
        self._say = Ports(logger=logger).say
        self._ask_at: dict[int, float] = {}
        self._exempt = [compiled(pattern) for pattern in self.config.exempt]
        self._routes = [
            (compiled(pattern), route.endpoint or pattern, route.cost) for pattern, route in self.config.routes.items()
        ]

    def wrap(self, app: ASGIApp) -> RateLimitMiddleware:
        """This app, limited."""
        return RateLimitMiddleware(app, self._limiter, self.config, self._logger)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As servers call an ASGI app."""
        user = None if scope["type"] not in ("http", "websocket") or self._is_exempt(scope) else await self._user(scope)
        result = None if user is None else await self._ask(user, scope["path"])
        if result is not None and result.allowed:
            await self.app(scope, receive, telling(send, rate_headers(result, time.time())))
        elif result is None and (user is None or self.config.when_unavailable == "open"):
            await self.app(scope, receive, send)
        else:
            if scope["type"] == "websocket":
                await receive()  # the request to connect, which is to be answered
            for message in refusal(scope, result, time.time()):
                await send(message)

    def _is_exempt(self, scope: Scope) -> bool:
        path = scope["path"]
        return scope.get("method") in self.config.exempt_methods or any(e.fullmatch(path) for e in self._exempt)

    async def _user(self, scope: Scope) -> str | None:
        user: Any = self.config.user(scope)
        if inspect.isawaitable(user):
            user = await user
        if user is None:
            return None
        check("user", user, isinstance(user, str), "a function that returns text or None")
        return user if is_id(user) else "sha256:" + hashlib.sha256(user.encode(errors="surrogatepass")).hexdigest()

    async def _ask(self, user: str, path: str) -> Any:
        """What the limiter says, or None if it can't."""
        part, now = zlib.crc32(user.encode()) * PARTS >> 32, time.monotonic()
        if part in self._ask_at:  # nobody waits for what somebody else is waiting for already
            if now < self._ask_at[part]:
                return None
            self._ask_at[part] = now + RATE_ASK_AGAIN_S
        endpoint, cost = self._counted_as(path)
        more = {} if cost == 1 else {"cost": cost}
        try:
            call = partial(self._check, user, endpoint, **more)
            result = await asyncio.to_thread(call) if self._waits else call()
            if inspect.isawaitable(result):
                result = await result
        except (ValidationError, TypeError, AttributeError, RuntimeError):
            raise  # the code is wrong, and should hear so
        except CorruptLogError as error:
            self._say("error", "rate_limiter.damaged", user=user, error=str(error))
            return None  # what is damaged is this user's
        except Exception as error:  # noqa: BLE001 - whatever ails the limiter, the app goes on
            if not self._ask_at:
                then = "pass uncounted" if self.config.when_unavailable == "open" else "are refused with 503"
                self._say("error", "rate_limiter.away", error=repr(error), meaning=f"until it is back, requests {then}")
            self._ask_at[part] = time.monotonic() + RATE_ASK_AGAIN_S
            return None
        if self._ask_at.pop(part, None) is not None and not self._ask_at:
            self._say("warning", "rate_limiter.back", meaning="requests are counted again")
        return result

    def _counted_as(self, path: str) -> tuple[str, int]:
        for pattern, endpoint, cost in self._routes:
            if pattern.fullmatch(path):
                return endpoint, cost
        return path if is_id(path) else OTHER_PATHS, 1


class RateLimitWrapper(RateLimitMiddleware):
    """What `RateLimitMiddleware(limiter)` is. A class of its own, because servers take what they run for ASGI 2 if its
    `__call__` is not async."""

    def __call__(self, app: ASGIApp) -> RateLimitMiddleware:  # type: ignore[override]
        """This app, limited."""
        return self.wrap(app)
