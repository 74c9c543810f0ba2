"""The same rate limiter without async: the `RateLimiterProtocol` for scripts and synchronous frameworks.

    with RateLimiter.connect() as limiter:
        result = limiter.check_rate_limit("user-1", "/api/search")

There is no second implementation: each method hands its call to an `AsyncRateLimiter` in a thread of its own and waits.
Any number of threads may use one limiter at once; their calls travel in the same batches.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from interrupts.checks import shown
from interrupts.errors import ValidationError
from interrupts.limiter import AsyncRateLimiter
from interrupts.limits import RATE_ATTEMPT_TIMEOUT_S, RATE_CALL_TIMEOUT_S
from interrupts.loop_thread import LoopThread
from interrupts.protocols import LoggerProtocol
from interrupts.rate_rules import RateLimits
from interrupts.rates import RateLimitConfig

P = ParamSpec("P")
R = TypeVar("R")


def _call(
    method: Callable[Concatenate[AsyncRateLimiter, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[RateLimiter, P], R]:
    def call(self: RateLimiter, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._thread.wait(method(self._limiter, *args, **kwargs))

    return update_wrapper(call, method)


class RateLimiter:
    """An `AsyncRateLimiter` whose methods wait for their result. Make one with `RateLimiter.connect()`."""

    def __init__(self, limiter: AsyncRateLimiter, thread: LoopThread | None = None) -> None:
        if thread is None or not isinstance(limiter, AsyncRateLimiter):
            raise ValidationError(f"A limiter is made by RateLimiter.connect({shown(limiter)}).", field="limiter")
        self._limiter = limiter
        self._thread = thread
        self._closed = False

    @classmethod
    def connect(
        cls,
        url: str | None = None,
        *,
        namespace: str = "interrupts",
        limits: RateLimitConfig | RateLimits | None = None,
        partitions: int | None = None,
        attempt_timeout_s: float = RATE_ATTEMPT_TIMEOUT_S,
        call_timeout_s: float = RATE_CALL_TIMEOUT_S,
        logger: LoggerProtocol | None = None,
    ) -> RateLimiter:
        """A limiter on the server that the url names: use it in a `with` block, or call `close` at the end.

        The arguments, and what it raises, are those of `AsyncRateLimiter.connect`.
        """
        connecting = AsyncRateLimiter.connect(
            url,
            namespace=namespace,
            limits=limits,
            partitions=partitions,
            attempt_timeout_s=attempt_timeout_s,
            call_timeout_s=call_timeout_s,
            logger=logger,
        )
        thread = LoopThread()
        try:
            return cls(thread.wait(connecting.__aenter__()), thread)
        except BaseException:  # Ctrl-C, too, must not leave the thread behind
            thread.end()
            raise

    check_rate_limit = _call(AsyncRateLimiter.check_rate_limit)
    peek = _call(AsyncRateLimiter.peek)
    set_user_limits = _call(AsyncRateLimiter.set_user_limits)
    get_user_limits = _call(AsyncRateLimiter.get_user_limits)
    remove_user_limits = _call(AsyncRateLimiter.remove_user_limits)
    reset = _call(AsyncRateLimiter.reset)
    usage = _call(AsyncRateLimiter.usage)

    def close(self) -> None:
        """Sends what was handed over, closes the connections, and ends the thread. The `with` block does this."""
        if not self._closed:
            self._closed = True
            self._thread.end(self._limiter.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
