"""The rate limiter as callers have it: async and not, from many threads, processes and clients at once."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from interrupts import (
    AsyncRateLimiter,
    CorruptLogError,
    EndpointLimit,
    RateLimitConfig,
    RateLimiter,
    RateLimiterProtocol,
    RateLimitResult,
    RateLimits,
    UnavailableError,
    ValidationError,
)
from interrupts.keys import Keys
from interrupts.limits import ID_CHARS_MAX, PARTITIONS_DEFAULT, RATE_LIMIT_MAX
from interrupts.rates import LIMIT_TYPES
from tests.rate_process import Caller
from tests.servers import Cluster, RedisServer

R = TypeVar("R")

WIDE = 1_000_000
LIMIT = 500
THREADS, PROCESSES = 32, 4
HOUR_S = 3_600.0
FEW = RateLimitConfig(3, WIDE, WIDE, 3)
"""Three calls; none comes again before a minute is over."""


def of_minute(limit: int) -> RateLimitConfig:
    """So many calls at once, and no more for a minute."""
    return RateLimitConfig(limit, WIDE, WIDE, limit)


def with_limiter(
    url: str,
    namespace: str,
    use: Callable[[AsyncRateLimiter], Coroutine[Any, Any, R]],
    limits: RateLimitConfig | RateLimits | None = FEW,
    **options: Any,
) -> R:
    """What comes of using a limiter."""

    async def main() -> R:
        async with AsyncRateLimiter.connect(url, namespace=namespace, limits=limits, **options) as limiter:
            return await use(limiter)

    return asyncio.run(main())


async def passed(limiter: AsyncRateLimiter, user: str, endpoint: str = "/a", *, calls: int = 5) -> int:
    """How many of so many calls pass, one after the other."""
    return sum([(await limiter.check_rate_limit(user, endpoint)).allowed for _ in range(calls)])


def counts_key(namespace: str, user: str, partitions: int = PARTITIONS_DEFAULT) -> str:
    """Where a user's counts are."""
    keys = Keys(namespace, partitions)
    return keys.rates[keys.partition_of_user(user)] + user


def user_of_each_partition(namespace: str, partitions: int) -> list[str]:
    """A user in each partition."""
    keys, found = Keys(namespace, partitions), dict[int, str]()
    for number in range(10_000):
        found.setdefault(keys.partition_of_user(f"u{number}"), f"u{number}")
    return [found[partition] for partition in range(partitions)]


# --- many at once ----------------------------------------------------------------------------------------------------


def test_of_many_threads_exactly_the_limit_passes(url: str, namespace: str) -> None:
    """32 at once, on one limiter."""
    barrier = threading.Barrier(THREADS)

    def work(limiter: RateLimiter) -> list[RateLimitResult]:
        barrier.wait()
        return [limiter.check_rate_limit("u", "/a") for _ in range(2 * LIMIT // THREADS)]

    with (
        RateLimiter.connect(url, namespace=namespace, limits=of_minute(LIMIT)) as limiter,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        results = [result for part in pool.map(work, [limiter] * THREADS) for result in part]
        assert sum(result.allowed for result in results) == LIMIT
        assert sorted(result.current_count for result in results if result.allowed) == list(range(1, LIMIT + 1))
        assert {result.current_count for result in results if not result.allowed} == {LIMIT}


def test_of_many_processes_exactly_the_limit_passes(shared_server: RedisServer, namespace: str) -> None:
    """Four real ones, each with several threads."""
    with RateLimiter.connect(shared_server.url, namespace=namespace) as limiter, ExitStack() as stack:
        limiter.set_user_limits("u", of_minute(LIMIT))
        callers = [stack.enter_context(Caller(shared_server.url, namespace, "u", LIMIT // 2)) for _ in range(PROCESSES)]
        for caller in callers:
            caller.process.ready()
        for caller in callers:
            caller.start()
        assert sum(caller.passed() for caller in callers) == LIMIT
        assert not limiter.check_rate_limit("u", "/a").allowed


def test_of_many_tasks_exactly_the_limit_passes(url: str, namespace: str) -> None:
    """2,000 at once of one user, beside those of others."""

    async def use(limiter: AsyncRateLimiter) -> None:
        users = ["u"] * 2_000 + [f"other {number}" for number in range(100)]
        results = await asyncio.gather(*(limiter.check_rate_limit(user, "/a") for user in users))
        allowed = Counter(user for user, result in zip(users, results, strict=True) if result.allowed)
        assert allowed == {"u": LIMIT, **{f"other {number}": 1 for number in range(100)}}

    with_limiter(url, namespace, use, of_minute(LIMIT))


def test_clients_whose_clocks_are_off_by_an_hour_make_no_difference(shared_server: RedisServer, namespace: str) -> None:
    """The server's clock decides: what one has used, is used for those an hour before and behind."""
    with RateLimiter.connect(shared_server.url, namespace=namespace) as limiter, ExitStack() as stack:
        limiter.set_user_limits("u", of_minute(7))
        clocks = (HOUR_S, -HOUR_S)
        callers = [stack.enter_context(Caller(shared_server.url, namespace, "u", 3, clock_s)) for clock_s in clocks]
        assert limiter.check_rate_limit("u", "/a", cost=3).allowed
        for caller, expected in zip(callers, (3, 1), strict=True):
            caller.start()
            assert caller.passed() == expected
        assert limiter.peek("u", "/a").retry_after_seconds <= 61
        (use,) = limiter.usage("u")
        assert use.minute.used == 7


# --- limits of users -------------------------------------------------------------------------------------------------


def test_a_users_own_limits_hold_at_once_and_for_every_client(url: str, namespace: str) -> None:
    """In place of all others, at every endpoint; what was used before counts. Also when they are taken away."""
    limits = RateLimits(FEW, {"/wide/*": of_minute(100)})

    async def main() -> None:
        async with (
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as one,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=limits) as other,
        ):
            assert await one.get_user_limits("u") is None
            assert [await passed(limiter, "u") for limiter in (one, other)] == [3, 0]
            await one.set_user_limits("u", of_minute(5))
            assert await other.get_user_limits("u") == await one.get_user_limits("u") == of_minute(5)
            assert [await passed(limiter, "u") for limiter in (other, one)] == [2, 0]
            assert [await passed(other, "u", "/wide/a", calls=9), await passed(other, "v", "/wide/a", calls=9)] == [
                5,
                9,
            ]
            refused = await other.check_rate_limit("u", "/wide/a")
            assert (refused.limit, refused.config) == (5, of_minute(5))
            assert await other.get_user_limits("v") is None
            assert [await one.remove_user_limits("u") for _ in range(2)] == [True, False]
            assert await other.get_user_limits("u") is None
            refused = await other.check_rate_limit("u", "/a")
            assert (refused.allowed, refused.current_count, refused.limit, refused.config) == (False, 5, 3, FEW)

    asyncio.run(main())


def test_a_process_sees_the_limits_that_another_has_set(shared_server: RedisServer, namespace: str) -> None:
    """It is connected before they are set."""
    with (
        RateLimiter.connect(shared_server.url, namespace=namespace) as limiter,
        Caller(shared_server.url, namespace, "u", 50) as caller,
    ):
        caller.process.ready()
        limiter.set_user_limits("u", of_minute(2))
        caller.start()
        assert caller.passed() == 2


@pytest.mark.parametrize("user", ["u", "a:b", "}{", "{u}", "u v", "*", "ä漢\U0001f600", "%d", "x" * ID_CHARS_MAX])
def test_any_name_of_a_user_has_counts_and_limits_of_its_own(url: str, namespace: str, user: str) -> None:
    """Whatever the name looks like in the name of a key."""

    async def use(limiter: AsyncRateLimiter) -> None:
        await limiter.set_user_limits(user, of_minute(2))
        assert [await passed(limiter, name) for name in (user, "another")] == [2, 3]
        assert [one.group for one in await limiter.usage(user)] == ["/a"]
        assert await limiter.reset(user) == 1
        assert await passed(limiter, user) == 2

    with_limiter(url, namespace, use)


# --- endpoints -------------------------------------------------------------------------------------------------------


def test_endpoints_have_counters_of_their_own_and_groups_share_one(url: str, namespace: str) -> None:
    """The first pattern that matches says which."""
    limits = RateLimits(
        FEW,
        {
            "/api/slow": of_minute(1),
            "/api/*": EndpointLimit(of_minute(4), group="api"),
            "/api/never": of_minute(9),
            "/old/*": EndpointLimit(of_minute(4), group="api"),
        },
    )

    async def use(limiter: AsyncRateLimiter) -> None:
        assert [await passed(limiter, "u", endpoint) for endpoint in ("/a", "/b", "/api/slow")] == [3, 3, 1]
        assert [await passed(limiter, "u", f"/api/{name}", calls=2) for name in ("x", "never", "y")] == [2, 2, 0]
        assert await passed(limiter, "u", "/old/x") == 0
        assert [use.group for use in await limiter.usage("u")] == ["/a", "/api/slow", "/b", "api"]
        (of_group,) = await limiter.usage("u", "/api/z")
        assert (of_group.group, of_group.minute.used, of_group.minute.limit) == ("api", 4, 4)

    with_limiter(url, namespace, use, limits)


def test_after_a_hundred_endpoints_further_ones_count_together(url: str, namespace: str) -> None:
    """So nobody fills the store by making endpoints up; the first hundred go on by themselves."""

    async def use(limiter: AsyncRateLimiter) -> None:
        for number in range(100):
            assert await passed(limiter, "u", f"/{number}", calls=1) == 1
        assert [await passed(limiter, "u", f"/{number}", calls=2) for number in (100, 101, 102)] == [2, 1, 0]
        assert await passed(limiter, "u", "/99") == 2
        found = {use.group: use.minute.used for use in await limiter.usage("u")}
        assert found == {"*": 3, "/99": 3, **{f"/{number}": 1 for number in range(99)}}
        assert await passed(limiter, "v", "/102") == 3

    with_limiter(url, namespace, use)


def test_what_counts_together_under_a_star_is_shown_and_reset_by_any_of_its_endpoints(url: str, namespace: str) -> None:
    """`usage` and `reset` of an endpoint are about what its calls are counted under."""

    async def use(limiter: AsyncRateLimiter) -> None:
        for number in range(100):
            await limiter.check_rate_limit("u", f"/{number}")
        assert await passed(limiter, "u", "/further") == 3
        (use,) = await limiter.usage("u", "/further")
        assert use.minute.used == 3
        assert await limiter.reset("u", "/further") == 1
        assert await passed(limiter, "u", "/further") == 3

    with_limiter(url, namespace, use)


# --- one call --------------------------------------------------------------------------------------------------------


def test_a_result_tells_what_is_used_and_what_is_left(url: str, namespace: str) -> None:
    """Of the tightest window if it is allowed, else of the limit that holds longest."""

    async def use(limiter: AsyncRateLimiter) -> None:
        limits = RateLimitConfig(10, 4, 20, 10)
        await limiter.set_user_limits("u", limits)
        first = await limiter.check_rate_limit("u", "/a", cost=3)
        assert (first.allowed, first.exceeded, first.reason, first.limit_type) == (True, False, None, None)
        assert (first.current_count, first.limit, first.remaining, first.window) == (3, 4, 1, "hour")
        assert (first.retry_after_seconds, first.config) == (0.0, limits)
        assert HOUR_S < first.reset_after_seconds <= HOUR_S + 60
        second = await limiter.check_rate_limit("u", "/a", cost=2)
        assert (second.allowed, second.exceeded, second.limit_type) == (False, True, "hour")
        assert (second.current_count, second.limit, second.remaining, second.window) == (3, 4, 0, "hour")
        assert second.reason is not None
        assert "4 calls are allowed in any hour, and 3 were made" in second.reason
        assert HOUR_S < second.retry_after_seconds == second.reset_after_seconds <= HOUR_S + 60
        assert second.config == limits

    with_limiter(url, namespace, use)


def test_a_peek_says_what_a_call_would_and_counts_nothing(url: str, namespace: str) -> None:
    """Any number of them."""

    async def use(limiter: AsyncRateLimiter) -> None:
        for number in range(1, 4):
            peeks = [await limiter.peek("u", "/a") for _ in range(3)]
            assert [(one.allowed, one.current_count) for one in peeks] == [(True, number)] * 3
            assert (await limiter.check_rate_limit("u", "/a")).current_count == number
        peeked = await limiter.peek("u", "/a")
        assert (peeked.allowed, peeked.limit_type, peeked.current_count) == (False, "minute", 3)
        assert (await limiter.peek("u", "/b", cost=3)).remaining == 0
        assert [use.group for use in await limiter.usage("u")] == ["/a"]

    with_limiter(url, namespace, use)


def test_usage_is_told_window_by_window(url: str, namespace: str) -> None:
    """What is used, what is left, and how long until all is; nothing of an endpoint that was not called."""

    async def use(limiter: AsyncRateLimiter) -> None:
        assert await limiter.usage("u") == []
        assert (await limiter.check_rate_limit("u", "/a", cost=2)).allowed
        (use,) = await limiter.usage("u")
        assert (use.group, use.reserved) == ("/a", 0)
        windows = [getattr(use, one) for one in LIMIT_TYPES]
        assert [(one.used, one.limit, one.remaining) for one in windows[:3]] == [(2, 3, 1), *[(2, WIDE, WIDE - 2)] * 2]
        most_s = (61.0, HOUR_S + 60, 97 * 900.0, 40.0)
        assert all(0 < one.reset_after_seconds <= most for one, most in zip(windows, most_s, strict=True))
        assert (use.burst.used, use.burst.limit) == (2, 3)
        (none,) = await limiter.usage("u", "/b")
        assert (none.group, none.minute.used, none.minute.remaining) == ("/b", 0, 3)
        assert len(await limiter.usage("u")) == 1

    with_limiter(url, namespace, use)


def test_a_reset_forgives_one_endpoint_or_all(url: str, namespace: str) -> None:
    """A refusal that is remembered is forgotten with it; limits that were set stay; others' calls, too."""

    async def use(limiter: AsyncRateLimiter) -> None:
        for endpoint in ("/a", "/b", "/c"):
            assert await passed(limiter, "u", endpoint) == 3
        assert await passed(limiter, "v") == 3
        assert [await limiter.reset("u", endpoint) for endpoint in ("/a", "/a", "/none")] == [1, 0, 0]
        assert [await passed(limiter, "u", endpoint) for endpoint in ("/a", "/b", "/c")] == [3, 0, 0]
        await limiter.set_user_limits("u", of_minute(2))
        assert await limiter.reset("u") == 3
        assert await limiter.usage("u") == []
        assert [await passed(limiter, "u", endpoint) for endpoint in ("/a", "/b", "/c")] == [2, 2, 2]
        assert await passed(limiter, "v") == 0

    with_limiter(url, namespace, use)


def test_a_cost_of_more_than_a_limit_is_refused_by_the_name_of_the_limit(url: str, namespace: str) -> None:
    """It would never be let in. Nothing is counted, and others in the same batch get theirs."""
    limits = RateLimits(
        of_minute(WIDE),
        {
            "/minute": of_minute(4),
            "/hour": RateLimitConfig(WIDE, 4, WIDE, WIDE),
            "/day": RateLimitConfig(WIDE, WIDE, 4, WIDE),
            "/burst": RateLimitConfig(WIDE, WIDE, WIDE, 4),
        },
    )

    async def use(limiter: AsyncRateLimiter) -> None:
        for name in LIMIT_TYPES:
            call = limiter.check_rate_limit
            refusal, other = await asyncio.gather(
                call("u", f"/{name}", cost=5), call("u", f"/{name}", cost=4), return_exceptions=True
            )
            assert isinstance(refusal, ValidationError)
            assert (refusal.field, name in str(refusal), " 4 " in str(refusal)) == ("cost", True, True)
            assert isinstance(other, RateLimitResult)
            assert (other.allowed, other.config == limits.default) == (True, False)
            with pytest.raises(ValidationError, match=name):
                await limiter.peek("u", f"/{name}", cost=5)

    with_limiter(url, namespace, use, limits)


@pytest.mark.parametrize(
    "cost", [0, -1, 1.5, "1", None, RATE_LIMIT_MAX + 1, [1]], ids=["0", "-1", "1.5", "text", "None", "many", "list"]
)
@pytest.mark.parametrize("method", ["check_rate_limit", "peek"])
def test_a_cost_that_is_no_number_of_calls_is_refused(namespace: str, method: str, cost: Any) -> None:
    """Before anything is sent."""

    async def use(limiter: AsyncRateLimiter) -> None:
        with pytest.raises(ValidationError, match=r"^cost: ") as refused:
            await getattr(limiter, method)("u", "/a", cost=cost)
        assert refused.value.field == "cost"
        assert await limiter.usage("u") == []

    with_limiter("memory://", namespace, use)


@pytest.mark.parametrize("cost", [True, 1.0])
def test_a_cost_is_refused_whatever_was_asked_before(namespace: str, cost: Any) -> None:
    """True and 1.0 equal 1, and are no number of calls: neither before a call that costs 1, nor after it."""

    async def use(limiter: AsyncRateLimiter) -> None:
        for _ in range(2):
            for method in (limiter.check_rate_limit, limiter.peek):
                with pytest.raises(ValidationError, match=r"^cost: "):
                    await method("u", "/a", cost=cost)
            await limiter.check_rate_limit("u", "/a", cost=1)

    with_limiter("memory://", namespace, use)


@pytest.mark.parametrize("wrong", ["", " ", "a\nb", "\ud800", "x" * (ID_CHARS_MAX + 1), None, 5, ["u"]])
def test_users_and_endpoints_that_are_no_text_are_refused(namespace: str, wrong: Any) -> None:
    """By every method, by the name of the argument, before anything is sent."""

    async def use(limiter: AsyncRateLimiter) -> None:
        calls: list[Callable[[], Coroutine[Any, Any, object]]] = [
            lambda: limiter.check_rate_limit(wrong, "/a"),
            lambda: limiter.peek(wrong, "/a"),
            lambda: limiter.set_user_limits(wrong, FEW),
            lambda: limiter.get_user_limits(wrong),
            lambda: limiter.remove_user_limits(wrong),
            lambda: limiter.reset(wrong),
            lambda: limiter.usage(wrong),
        ]
        for call in calls:
            with pytest.raises(ValidationError, match=r"^user_id: ") as refused:
                await call()
            assert refused.value.field == "user_id"
        calls = [lambda: limiter.check_rate_limit("u", wrong), lambda: limiter.peek("u", wrong)]
        if wrong is not None:
            calls += [lambda: limiter.reset("u", wrong), lambda: limiter.usage("u", wrong)]
        for call in calls:
            with pytest.raises(ValidationError, match=r"^endpoint: ") as refused:
                await call()
            assert refused.value.field == "endpoint"

    with_limiter("memory://", namespace, use)


@pytest.mark.parametrize("wrong", [None, 5, "60 1000 10000 10", {"requests_per_minute": 5}, RateLimits(FEW)])
def test_limits_of_a_user_that_are_no_config_are_refused(namespace: str, wrong: Any) -> None:
    """By the name of the argument."""

    async def use(limiter: AsyncRateLimiter) -> None:
        with pytest.raises(ValidationError, match=r"^config: ") as refused:
            await limiter.set_user_limits("u", wrong)
        assert refused.value.field == "config"

    with_limiter("memory://", namespace, use)


# --- connecting ------------------------------------------------------------------------------------------------------


def test_it_is_the_protocols_rate_limiter(url: str, namespace: str) -> None:
    """`RateLimiter` has what the contract asks for, and the contract's example works as it stands."""
    with RateLimiter.connect(url, namespace=namespace) as limiter:
        assert isinstance(limiter, RateLimiterProtocol)
        config = RateLimitConfig(requests_per_minute=30, requests_per_hour=500, requests_per_day=5000, burst_size=5)
        limiter.set_user_limits("user_123", config)
        assert limiter.get_user_limits("user_123") == config
        assert limiter.get_user_limits("another") is None
        result = limiter.check_rate_limit("user_123", "/api/analyze")
        assert (result.allowed, result.remaining) == (True, 29)


def test_without_async_it_has_every_method_of_the_async_one() -> None:
    """Names, parameters, defaults and docstrings; only closing is called otherwise."""
    async_methods, methods = (
        {name: method for name, method in vars(cls).items() if inspect.isfunction(method) and name[0] != "_"}
        for cls in (AsyncRateLimiter, RateLimiter)
    )
    assert set(async_methods) - {"aclose"} == set(methods) - {"close"}
    for name in set(methods) - {"close"}:
        theirs, ours = (list(inspect.signature(each[name]).parameters.values()) for each in (async_methods, methods))
        assert [(one.name, one.kind, one.default) for one in theirs] == [
            (one.name, one.kind, one.default) for one in ours
        ], name
        assert methods[name].__doc__ == async_methods[name].__doc__
    assert inspect.signature(AsyncRateLimiter.connect).parameters == inspect.signature(RateLimiter.connect).parameters


def test_without_async_it_does_all_the_same(url: str, namespace: str) -> None:
    """Each method once, as a plain call."""
    with RateLimiter.connect(url, namespace=namespace, limits=FEW) as limiter:
        assert [limiter.check_rate_limit("u", "/a", cost=2).allowed for _ in range(2)] == [True, False]
        assert limiter.peek("u", "/a").current_count == 3
        limiter.set_user_limits("u", of_minute(2))
        assert not limiter.peek("u", "/a").allowed
        assert limiter.remove_user_limits("u")
        assert [use.minute.used for use in limiter.usage("u")] == [2]
        assert limiter.reset("u", "/a") == 1
        assert limiter.usage("u") == []
        with pytest.raises(ValidationError, match="user_id"):
            limiter.check_rate_limit("", "/a")


def test_it_can_be_awaited_and_closed(url: str, namespace: str) -> None:
    """`await connect(...)`, for where a block does not fit; closing twice is fine."""

    async def main() -> None:
        limiter = await AsyncRateLimiter.connect(url, namespace=namespace, limits=FEW)
        try:
            assert await passed(limiter, "u") == 3
        finally:
            await limiter.aclose()
        await limiter.aclose()
        with pytest.raises(UnavailableError, match="closed"):
            await limiter.check_rate_limit("u", "/a")

    asyncio.run(main())


def test_after_its_block_it_says_so(url: str, namespace: str) -> None:
    """A call on a closed limiter is a clear error, and no thread is left."""

    async def main() -> None:
        async with AsyncRateLimiter.connect(url, namespace=namespace) as limiter:
            await limiter.check_rate_limit("u", "/a")
        calls = (limiter.check_rate_limit("u", "/a"), limiter.usage("u"), limiter.get_user_limits("u"))
        for call in calls:
            with pytest.raises(UnavailableError, match="closed"):
                await call

    asyncio.run(main())
    with RateLimiter.connect(url, namespace=namespace) as limiter:
        limiter.check_rate_limit("u", "/a")
    limiter.close()
    with pytest.raises(RuntimeError, match="closed"):
        limiter.check_rate_limit("u", "/a")
    assert "interrupts" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"namespace": "not one"}, "namespace"),
        ({"limits": 5}, "limits"),
        ({"limits": {"requests_per_minute": 5}}, "limits"),
        ({"partitions": 0}, "partitions"),
        ({"attempt_timeout_s": 0}, "attempt_timeout_s"),
        ({"call_timeout_s": True}, "call_timeout_s"),
        ({"url": "http://127.0.0.1"}, "url"),
    ],
)
def test_arguments_that_can_not_be_meant_are_refused_when_connecting(options: dict[str, Any], field: str) -> None:
    """By their name, in both ways to connect; no thread is left."""

    async def main() -> None:
        async with AsyncRateLimiter.connect(**{"url": "memory://", **options}):
            pass

    with pytest.raises(ValidationError) as refused:
        asyncio.run(main())
    assert refused.value.field == field
    with pytest.raises(ValidationError) as refused:
        RateLimiter.connect(**{"url": "memory://", **options})
    assert refused.value.field == field
    assert "interrupts" not in {thread.name for thread in threading.enumerate()}


def test_namespaces_do_not_see_each_other(url: str, namespace: str) -> None:
    """The same user has other counts and limits in another one."""
    with (
        RateLimiter.connect(url, namespace=namespace, limits=FEW) as one,
        RateLimiter.connect(url, namespace=f"{namespace}-other", limits=FEW) as other,
    ):
        assert one.check_rate_limit("u", "/a", cost=3).allowed
        one.set_user_limits("u", of_minute(1))
        assert other.get_user_limits("u") is None
        assert other.check_rate_limit("u", "/a", cost=3).allowed


def test_in_a_cluster_users_of_all_partitions_are_limited(cluster: Cluster, namespace: str) -> None:
    """At once: each exactly to the limit, on whatever node."""
    users = user_of_each_partition(namespace, 16)

    async def use(limiter: AsyncRateLimiter) -> None:
        await limiter.set_user_limits(users[0], of_minute(1))
        results = await asyncio.gather(*(limiter.check_rate_limit(user, "/a") for user in users * 5))
        allowed = Counter(user for user, result in zip(users * 5, results, strict=True) if result.allowed)
        assert allowed == {user: 1 if user == users[0] else 3 for user in users}
        assert [use.minute.used for user in users for use in await limiter.usage(user)] == [1, *[3] * 15]
        assert [await limiter.reset(user) for user in users] == [1] * 16
        assert await limiter.get_user_limits(users[0]) == of_minute(1)

    with_limiter(cluster.url, namespace, use, partitions=16)


# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_server_that_is_away_is_said_to_be_away(own_server: RedisServer, namespace: str) -> None:
    """Frozen or dead, for every method; when it is back, all goes on with what was used before."""

    async def use(limiter: AsyncRateLimiter) -> None:
        assert await passed(limiter, "u", calls=1) == 1
        for away, back in ((own_server.freeze, own_server.thaw), (own_server.kill, own_server.start)):
            away()
            calls: list[Coroutine[Any, Any, object]] = [
                limiter.check_rate_limit("v", "/a"),
                limiter.peek("v", "/a"),
                limiter.set_user_limits("v", FEW),
                limiter.get_user_limits("v"),
                limiter.remove_user_limits("v"),
                limiter.reset("v"),
                limiter.usage("v"),
            ]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(result) for result in results] == [UnavailableError] * len(calls)
            back()
        assert await passed(limiter, "u") == 2

    options: dict[str, Any] = {"attempt_timeout_s": 0.2, "call_timeout_s": 0.5}
    own_server.command("CONFIG", "SET", "appendfsync", "always")
    with_limiter(own_server.url, namespace, use, **options)


def test_where_nobody_listens_it_does_not_connect(own_server: RedisServer) -> None:
    """Neither way; no thread is left."""
    own_server.kill()

    async def main() -> None:
        async with AsyncRateLimiter.connect(own_server.url, call_timeout_s=0.2):
            pass

    with pytest.raises(UnavailableError):
        asyncio.run(main())
    with pytest.raises(UnavailableError):
        RateLimiter.connect(own_server.url, call_timeout_s=0.2)
    assert "interrupts" not in {thread.name for thread in threading.enumerate()}


def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(shared_server: RedisServer, namespace: str) -> None:
    """As after a restart."""

    async def use(limiter: AsyncRateLimiter) -> None:
        assert await passed(limiter, "u", calls=2) == 2
        shared_server.command("SCRIPT", "FLUSH")
        assert await passed(limiter, "u") == 1
        shared_server.command("SCRIPT", "FLUSH")
        assert len(await limiter.usage("u")) == 1
        shared_server.command("SCRIPT", "FLUSH")
        assert await limiter.reset("u") == 1

    with_limiter(shared_server.url, namespace, use)


DAMAGED = {
    "text": ("SET", "x"),
    "list": ("RPUSH", "x"),
    "garbage": ("HSET", "=/a", "garbage"),
    "empty": ("HSET", "=/a", ""),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_counts_that_are_damaged_fail_only_that_users_calls(
    shared_server: RedisServer, namespace: str, damage: str
) -> None:
    """Others in the same batch, before and behind it, get theirs, and what is counted is what is said to be."""
    command, *rest = DAMAGED[damage]
    shared_server.command(command, counts_key(namespace, "damaged"), *rest)

    async def use(limiter: AsyncRateLimiter) -> None:
        users = [*(f"u{number}" for number in range(20)), "damaged", *(f"v{number}" for number in range(20))]
        results = await asyncio.gather(
            *(limiter.check_rate_limit(user, "/a") for user in users), return_exceptions=True
        )
        failed = {
            user: type(result)
            for user, result in zip(users, results, strict=True)
            if type(result) is not RateLimitResult
        }
        assert failed == {"damaged": CorruptLogError}
        assert all(result.current_count == 1 for result in results if isinstance(result, RateLimitResult))
        if damage != "empty":  # which reads as nothing
            with pytest.raises((CorruptLogError, UnavailableError)):
                await limiter.usage("damaged")

    with_limiter(shared_server.url, namespace, use)


@pytest.mark.parametrize("words", ["garbage", "", "1 2 3", "0 0 0 0", "-1 5 5 5", "5 5 5 6"])
def test_own_limits_that_are_damaged_fail_only_that_users_calls(
    shared_server: RedisServer, namespace: str, words: str
) -> None:
    """They are told from a server that is away, by every method that looks at them."""
    keys = Keys(namespace, PARTITIONS_DEFAULT)
    shared_server.command("HSET", keys.limits[keys.partition_of_user("damaged")], "damaged", words)

    async def use(limiter: AsyncRateLimiter) -> None:
        users = [*(f"u{number}" for number in range(20)), "damaged", *(f"v{number}" for number in range(20))]
        results = await asyncio.gather(
            *(limiter.check_rate_limit(user, "/a") for user in users), return_exceptions=True
        )
        failed = {
            user: type(result)
            for user, result in zip(users, results, strict=True)
            if type(result) is not RateLimitResult
        }
        assert failed == {"damaged": CorruptLogError}
        with pytest.raises(CorruptLogError):
            await limiter.get_user_limits("damaged")
        if words:  # an empty text reads as nothing
            with pytest.raises(CorruptLogError):
                await limiter.usage("damaged")
        assert await limiter.remove_user_limits("damaged")
        assert await passed(limiter, "damaged") > 0

    with_limiter(shared_server.url, namespace, use)


@pytest.mark.parametrize("place", ["counts", "limits"])
def test_who_is_told_that_nothing_was_counted_was_not_counted(
    shared_server: RedisServer, namespace: str, place: str
) -> None:
    """Also where what is stored of another user in the same batch is damaged."""
    keys = Keys(namespace, 1)
    name, field = (keys.rates[0] + "damaged", "=/a") if place == "counts" else (keys.limits[0], "damaged")
    shared_server.command("HSET", name, field, "garbage")

    async def use(limiter: AsyncRateLimiter) -> None:
        users = ["u", "damaged", "v"]
        results = await asyncio.gather(
            *(limiter.check_rate_limit(user, "/a") for user in users), return_exceptions=True
        )
        for user, result in ((users[0], results[0]), (users[2], results[2])):
            counted = sum([use.minute.used for use in await limiter.usage(user)])
            assert counted == isinstance(result, RateLimitResult), f"{user}: {result}"

    with_limiter(shared_server.url, namespace, use, partitions=1)


def test_limits_of_the_wrong_type_fail_only_the_users_of_that_partition(
    shared_server: RedisServer, namespace: str
) -> None:
    """The key in which a partition's limits are set is no hash: users of others get theirs."""
    users = user_of_each_partition(namespace, 4)
    shared_server.command("SET", Keys(namespace, 4).limits[2], "x")

    async def use(limiter: AsyncRateLimiter) -> None:
        results = await asyncio.gather(
            *(limiter.check_rate_limit(user, "/a") for user in users), return_exceptions=True
        )
        assert [type(result) for result in results] == [
            RateLimitResult,
            RateLimitResult,
            CorruptLogError,
            RateLimitResult,
        ]

    with_limiter(shared_server.url, namespace, use, partitions=4)


def test_counts_expire(shared_server: RedisServer, namespace: str) -> None:
    """What nobody adds to is gone when it counts no more: after a day and two quarters of an hour at most."""

    async def use(limiter: AsyncRateLimiter) -> None:
        assert await passed(limiter, "u") == 3
        left_ms = shared_server.command("PTTL", counts_key(namespace, "u"))
        assert isinstance(left_ms, int)
        assert 97 * 900_000 - 60_000 <= left_ms <= 98 * 900_000
        await limiter.reset("u")
        left_ms = shared_server.command("PTTL", counts_key(namespace, "u"))
        assert isinstance(left_ms, int)
        assert 97 * 900_000 - 60_000 <= left_ms <= 98 * 900_000

    with_limiter(shared_server.url, namespace, use)
