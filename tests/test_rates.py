"""Rate limits and results as callers see them: what can be meant, and what is said."""

from __future__ import annotations

import pickle
import re
from dataclasses import MISSING, fields
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts import RateLimitConfig, RateLimitedError, RateLimitResult, ValidationError
from interrupts.limits import RATE_LIMIT_MAX
from interrupts.rates import LIMIT_TYPES, WINDOWS, in_words
from tests import contract_rates

FIELDS = ("requests_per_minute", "requests_per_hour", "requests_per_day", "burst_size")
COUNTS = st.integers(1, RATE_LIMIT_MAX)
CONFIGS = st.builds(
    lambda minute, hour, day, burst: RateLimitConfig(minute, hour, day, min(minute, burst)), *[COUNTS] * 4
)
UNITS = {"seconds": 1, "minutes": 60, "hours": 3_600}


@pytest.mark.parametrize("name", ["RateLimitConfig", "RateLimitResult"])
def test_what_the_contract_has_is_there_in_its_order_and_with_its_defaults(name: str) -> None:
    """Fields may follow those of the contract; none stands between them."""
    ours_type: Any = {"RateLimitConfig": RateLimitConfig, "RateLimitResult": RateLimitResult}[name]
    theirs = {one.name: one.default for one in fields(getattr(contract_rates, name))}
    ours = {
        one.name: MISSING if one.default is msgspec.NODEFAULT else one.default
        for one in msgspec.structs.fields(ours_type)
    }
    assert list(theirs.items()) == list(ours.items())[: len(theirs)]


def test_the_defaults_are_the_contracts() -> None:
    """60 in a minute, 1,000 in an hour, 10,000 in a day, 10 at once."""
    assert RateLimitConfig() == RateLimitConfig(60, 1_000, 10_000, 10)
    assert [getattr(RateLimitConfig(), field) for field in FIELDS] == [60, 1_000, 10_000, 10]


@pytest.mark.parametrize(("minute", "burst"), [(1, 1), (5, 5), (9, 9), (10, 10), (11, 10), (1_000, 10)])
def test_a_burst_that_nobody_gave_is_never_more_than_the_minute(minute: int, burst: int) -> None:
    """It is a plain number afterwards, as if it had been given."""
    config = RateLimitConfig(requests_per_minute=minute)
    assert config.burst_size == burst
    assert type(config.burst_size) is int
    assert config == RateLimitConfig(minute, burst_size=burst)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(
    "value", [0, -1, True, False, 1.5, 1.0, "5", b"50", None, [], RATE_LIMIT_MAX + 1, 2**64, float("nan"), float("inf")]
)
def test_what_is_no_number_of_calls_is_refused_by_its_field(field: str, value: Any) -> None:
    """Zero, negative, broken, text, nothing, too many."""
    with pytest.raises(ValidationError, match=rf"^{field}: .*1,000,000,000") as refused:
        RateLimitConfig(**{field: value})
    assert refused.value.field == field


@pytest.mark.parametrize(("minute", "burst"), [(5, 6), (1, 2), (60, 61), (60, RATE_LIMIT_MAX)])
def test_a_burst_of_more_than_the_minute_is_refused(minute: int, burst: int) -> None:
    """So many calls at once would never be allowed."""
    with pytest.raises(ValidationError, match=f"^burst_size: {burst} is more than requests_per_minute, {minute}") as no:
        RateLimitConfig(minute, burst_size=burst)
    assert no.value.field == "burst_size"


def test_a_burst_of_ten_that_was_given_is_refused_where_the_minute_allows_fewer() -> None:
    """Only the default gives way; what somebody says is meant."""
    with pytest.raises(ValidationError, match="burst_size"):
        RateLimitConfig(requests_per_minute=5, burst_size=10)


def test_a_wider_window_may_allow_less_than_a_narrower_one() -> None:
    """Then it is the one that counts."""
    config = RateLimitConfig(60, 30, 10, 60)
    assert [config.limit(limit) for limit in LIMIT_TYPES] == [60, 30, 10, 60]


@given(CONFIGS)
def test_a_config_is_the_same_after_being_written(config: RateLimitConfig) -> None:
    """As words for the scripts, and however else."""
    assert RateLimitConfig.of_words(config.words().encode()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert msgspec.json.decode(msgspec.json.encode(config), type=RateLimitConfig) == config
    assert hash(RateLimitConfig(*(getattr(config, field) for field in FIELDS))) == hash(config)


@pytest.mark.parametrize(
    "words", [b"", b"1 1 1", b"1 1 1 1 1", b"1 1 1 x", b"1 1 1 0", b"1 1 1 2", b"-1 1 1 1", b"1.0 1 1 1", b"\xff"]
)
def test_what_is_no_config_in_words_is_refused(words: bytes) -> None:
    """Too few, too many, no numbers, and numbers that can't be meant."""
    with pytest.raises((ValueError, ValidationError)):
        RateLimitConfig.of_words(words)


def test_a_config_can_not_be_changed() -> None:
    """It is looked at by many at once."""
    with pytest.raises(AttributeError):
        RateLimitConfig().requests_per_minute = 5  # type: ignore[misc]


def test_an_allowed_result_is_the_contracts() -> None:
    """`ok`, with and without a number."""
    plain, left = RateLimitResult.ok(), RateLimitResult.ok(remaining=55)
    assert (plain.allowed, plain.exceeded, plain.reason, plain.limit_type) == (True, False, None, None)
    assert (plain.current_count, plain.limit, plain.retry_after_seconds, plain.remaining) == (0, 0, 0.0, 0)
    assert left == RateLimitResult(True, remaining=55) == RateLimitResult.ok(55)


def test_an_exceeded_result_is_the_contracts() -> None:
    """`exceeded_limit`, by name and by place: the example of the contract."""
    result = RateLimitResult.exceeded_limit(limit_type="minute", current=61, limit=60, retry_after=30.0)
    assert result == RateLimitResult.exceeded_limit("minute", 61, 60, 30.0)
    assert (result.allowed, result.exceeded, result.limit_type) == (False, True, "minute")
    assert (result.current_count, result.limit, result.retry_after_seconds, result.remaining) == (61, 60, 30.0, 0)
    assert result.reason == (
        "Too many calls: 60 calls are allowed in any minute, and 61 were made. Try again in 30 seconds."
    )
    assert (result.window, result.reset_after_seconds, result.config) == ("minute", 30.0, None)


@pytest.mark.parametrize(
    ("limit_type", "limit", "said"),
    [
        ("minute", 1, "1 call is allowed in any minute"),
        ("hour", 2, "2 calls are allowed in any hour"),
        ("day", 2, "2 calls are allowed in any 24 hours"),
        ("burst", 2, "2 calls are allowed at once"),
        ("fortnight", 2, "2 calls are allowed per fortnight"),
    ],
)
def test_the_reason_names_the_limit_in_words(limit_type: str, limit: int, said: str) -> None:
    """Each of ours, and others' too."""
    assert f": {said}, and 7 were made." in str(RateLimitResult.exceeded_limit(limit_type, 7, limit, 1.0).reason)


def test_a_result_reads_as_one_says_it() -> None:
    """Frozen, compared by what is in it."""
    with pytest.raises(AttributeError):
        RateLimitResult.ok().allowed = False  # type: ignore[misc]
    assert RateLimitResult.ok(1) != RateLimitResult.ok(2)
    assert set(WINDOWS) < set(LIMIT_TYPES)


def test_the_error_for_a_refusal_says_when_to_try_again() -> None:
    """429, with the result that it is about."""
    result = RateLimitResult.exceeded_limit("minute", 61, 60, 30.5)
    error = RateLimitedError("Too many.", result=result)
    assert (error.http_status, error.retry_after_seconds, error.result) == (429, 30.5, result)
    assert RateLimitedError("Too many.").retry_after_seconds == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.001, "0.001 seconds"),
        (0.0001, "0.001 seconds"),
        (1.001, "1.001 seconds"),
        (30, "30 seconds"),
        (119.999, "119.999 seconds"),
        (120.0, "120 seconds"),
        (120.001, "2.1 minutes"),
        (7_200.0, "120 minutes"),
        (7_200.001, "2.1 hours"),
        (87_300.0, "24.3 hours"),
    ],
)
def test_a_stretch_of_time_in_words(seconds: float, words: str) -> None:
    """Short, in the unit that fits."""
    assert in_words(seconds) == words


def told_ms(ms: int) -> float:
    """What the words for a stretch of time say."""
    words = in_words(ms / 1000)
    match = re.fullmatch(r"(\d+(?:\.\d+)?) (\w+)", words)
    assert match, words
    return float(match[1]) * UNITS[match[2]] * 1000


@given(st.integers(1, 366 * 86_400_000))
def test_a_stretch_of_time_in_words_is_never_too_small(ms: int) -> None:
    """Whoever waits for as long as it says has waited long enough, and not much too long."""
    assert ms - 1e-3 <= told_ms(ms) <= ms * 1.051 + 1.001


@pytest.mark.parametrize("ms", [606_384_000_001, 3_599_997_840_001, 60_000 * RATE_LIMIT_MAX])
def test_a_very_long_time_in_words_is_not_too_small_either(ms: int) -> None:
    """As there is where limits of a thousand million were lowered to one call in a minute."""
    assert ms - 1e-3 <= told_ms(ms) <= ms * 1.051
