"""The rate limiter: how much of what is allowed a user has used, asked and counted in one round trip.

    async with AsyncRateLimiter.connect() as limiter:
        result = await limiter.check_rate_limit("user-1", "/api/search")
        if not result.allowed:
            ...

How it counts, and why never more than the limit passes: see `scripts/rings.lua` and `scripts/weigh.lua`. All decisions
are the script's, on the server's clock, so any number of processes may use the same limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Any, Final

from interrupts.checks import check_id, shown
from interrupts.errors import CorruptLogError, ValidationError
from interrupts.limits import RATE_ATTEMPT_TIMEOUT_S, RATE_CALL_TIMEOUT_S, RATE_ENDPOINTS_KNOWN_MAX
from interrupts.open_log import check_opening, open_log
from interrupts.ports import default_logger
from interrupts.protocols import LoggerProtocol
from interrupts.rate_rules import RateLimits, check_limits
from interrupts.rates import EndpointUse, RateLimitConfig, RateLimitResult, check_config, check_count
from interrupts.rings import uses
from interrupts.store.log import Log
from interrupts.store.tallies import Tallies

PEEK: Final = "peek"
TAKE: Final = "take"


class AsyncRateLimiter:
    """Limits the calls of users, for any number of processes together. Make one with `AsyncRateLimiter.connect()`.

    It belongs to one event loop; any number of tasks may use it at once, and their calls travel in batches. A user is
    any text that tells one caller from another: an account, a key, an address.
    """

    def __init__(
        self, log: Log, limits: RateLimitConfig | RateLimits | None = None, *, held: AsyncExitStack | None = None
    ) -> None:
        if not isinstance(log, Log):
            raise ValidationError(f"A limiter is made by {type(self).__name__}.connect({shown(log)}).", field="log")
        self.limits = check_limits(limits)
        """What holds for users for whom nothing else was set."""
        self._tallies = Tallies(log)
        self._held = held or AsyncExitStack()
        self._asked: dict[tuple[str, int, str], tuple[str, str, RateLimitConfig]] = {}

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
    ) -> Connecting:
        """A limiter on the server that the url names: `async with` it, or `await` it and call `aclose` at the end.

        `limits`: what holds for everybody at every endpoint, or by endpoint. `partitions`, `attempt_timeout_s`,
        `call_timeout_s` and the url are those of `interrupts.connect()`, whose counts of creations it sees in the same
        namespace. Raises `ValidationError`, `UnsuitableServerError`, `UnavailableError`.
        """
        check_opening(url, namespace, partitions, attempt_timeout_s, call_timeout_s)
        return Connecting(
            cls,
            check_limits(limits),
            url,
            {
                "namespace": namespace,
                "partitions": partitions,
                "attempt_timeout_s": attempt_timeout_s,
                "call_timeout_s": call_timeout_s,
                "logger": logger or default_logger(),
            },
        )

    async def check_rate_limit(self, user_id: str, endpoint: str, cost: int = 1) -> RateLimitResult:
        """Lets a call in and counts it, or refuses it and counts nothing.

        `cost`: for how many calls this one counts. Raises `ValidationError`, also for a cost that is more than one of
        the limits; `UnavailableError`.
        """
        return await self._tallies.take(check_id("user_id", user_id), *self._ask(endpoint, cost, TAKE))

    async def peek(self, user_id: str, endpoint: str, cost: int = 1) -> RateLimitResult:
        """What `check_rate_limit` would say, without counting a call. Raises as that does."""
        return await self._tallies.take(check_id("user_id", user_id), *self._ask(endpoint, cost, PEEK))

    async def set_user_limits(self, user_id: str, config: RateLimitConfig) -> None:
        """From now on these limits hold for the user, at every endpoint, in place of all others. Raises
        `ValidationError`, `UnavailableError`."""
        await self._tallies.set_limits(check_id("user_id", user_id), check_config("config", config).words())

    async def get_user_limits(self, user_id: str) -> RateLimitConfig | None:
        """The limits that were set for the user, or None. Raises `UnavailableError`."""
        words = await self._tallies.limits(check_id("user_id", user_id))
        return None if words is None else _own(user_id, words)

    async def remove_user_limits(self, user_id: str) -> bool:
        """From now on what holds for everybody holds for the user; returns whether something else did. Raises
        `UnavailableError`."""
        return await self._tallies.remove_limits(check_id("user_id", user_id))

    async def reset(self, user_id: str, endpoint: str | None = None) -> int:
        """Forgives the user's calls, at one endpoint (and all that are counted with it) or everywhere; returns how
        many counts there were. Raises `UnavailableError`."""
        group = "" if endpoint is None else self.limits.rule(endpoint).group
        return await self._tallies.forgive(check_id("user_id", user_id), group)

    async def usage(self, user_id: str, endpoint: str | None = None) -> list[EndpointUse]:
        """What the user has used of each limit: at one endpoint, or wherever they have used anything in the last 24
        hours. Nothing is counted by asking. Raises `UnavailableError`."""
        now_ms, words, fields = await self._tallies.usage(check_id("user_id", user_id))
        own = None if words is None else _own(user_id, words)
        only = None if endpoint is None else self.limits.rule(endpoint).group
        try:
            return uses(fields, now_ms, only, lambda group: own or self.limits.config_of(group))
        except ValueError as error:
            raise CorruptLogError(
                f"The counts of user {user_id[:64]!r} can't be read ({error!r}): damaged, or not written by us."
            ) from error

    async def aclose(self) -> None:
        """Sends what was handed over, and closes what `connect` has opened. `async with` does this at its end."""
        await self._tallies.drain()
        await self._held.aclose()

    def _ask(self, endpoint: str, cost: int, mode: str) -> tuple[str, str, RateLimitConfig]:
        """What the script is asked: its terms, the group, and the limits in the terms."""
        plain = type(endpoint) is str and type(cost) is int  # True is a 1, too, to a dictionary
        asked = self._asked.get((endpoint, cost, mode)) if plain else None
        if asked is None:
            rule = self.limits.rule(endpoint)
            asked = f"{mode} {check_count('cost', cost)} {rule.config.words()}", rule.group, rule.config
            if plain:
                if len(self._asked) >= RATE_ENDPOINTS_KNOWN_MAX:
                    self._asked.clear()
                self._asked[endpoint, cost, mode] = asked
        return asked


class Connecting:
    """A limiter that is being connected: for `async with`, or to be awaited. It also connects when it is first asked,
    where a limiter is needed before there is an event loop, as in an application's middleware."""

    def __init__(
        self, make: type[AsyncRateLimiter], limits: RateLimits, url: str | None, options: dict[str, Any]
    ) -> None:
        self._make = make
        self._limits = limits
        self._url = url
        self._options = options
        self._made: AsyncRateLimiter | None = None
        self._opening: asyncio.Lock | None = None

    async def check_rate_limit(self, user_id: str, endpoint: str, cost: int = 1) -> RateLimitResult:
        """As `AsyncRateLimiter.check_rate_limit`; the first call connects."""
        if self._made is None:
            self._opening = self._opening or asyncio.Lock()
            async with self._opening:
                if self._made is None:
                    await self.__aenter__()
        assert self._made is not None
        return await self._made.check_rate_limit(user_id, endpoint, cost=cost)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name}: the limiter is not connected yet. Use `async with AsyncRateLimiter.connect() as limiter:`, or "
            "`limiter = await AsyncRateLimiter.connect()`."
        )

    async def aclose(self) -> None:
        """Closes what was opened."""
        made, self._made = self._made, None
        if made is not None:
            await made.aclose()

    async def __aenter__(self) -> AsyncRateLimiter:
        async with AsyncExitStack() as stack:
            log = await open_log(stack, self._url, **self._options)
            self._made = self._make(log, self._limits, held=stack.pop_all())
        return self._made

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __await__(self) -> Generator[Any, None, AsyncRateLimiter]:
        return self.__aenter__().__await__()


def _own(user_id: str, words: bytes) -> RateLimitConfig:
    try:
        return RateLimitConfig.of_words(words)
    except (ValueError, ValidationError) as error:
        raise CorruptLogError(
            f"The limits of user {user_id[:64]!r} can't be read ({words[:64]!r}): not written by us."
        ) from error
