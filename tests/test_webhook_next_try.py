"""What follows from an answer: done, tried again after a growing pause, or given up; and how long one is left alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts.limits import HOOK_RETRIES_MAX, HOOK_RETRY_DELAY_S_MAX
from tests.endpoints import stored
from workers.webhooks.next_try import Next, after
from workers.webhooks.posting import Answer

OK = [200, 201, 202, 204, 226, 299]
FAILED = [None, 100, 199, 300, 301, 302, 304, 307, 400, 401, 403, 404, 408, 409, 411, 429, 499, 500, 502, 503, 504, 599]
ENDPOINT = stored(retries=3, delay_s=1.0, delay_max_s=60.0)
JITTER = st.floats(0, 1)


def answer(status: int | None, retry_after_s: float | None = None) -> Answer:
    """What came back; None: nothing did."""
    return Answer(status, None, None if status in OK else "it failed", retry_after_s, 5.0)


@pytest.mark.parametrize("attempt", [1, 4, 100])
@pytest.mark.parametrize("status", OK)
def test_what_has_arrived_is_done(status: int, attempt: int) -> None:
    """Every 2xx, at the first try as at the last."""
    assert after(answer(status), attempt, ENDPOINT, 0.5) == Next("ok")
    assert after(answer(status, 60.0), attempt, ENDPOINT, 0.5) == Next("ok")


@pytest.mark.parametrize("status", FAILED)
def test_all_else_is_tried_again_as_often_as_is_configured_and_then_given_up(status: int | None) -> None:
    """Redirects are failures like all others, and so is no answer. `retries` are those after the first try."""
    followed = [after(answer(status), attempt, ENDPOINT, 1.0) for attempt in range(1, 6)]
    assert followed == [Next("again", 1_000), Next("again", 2_000), Next("again", 4_000), Next("fail"), Next("fail")]
    assert after(answer(status), 1, stored(retries=0), 1.0) == Next("fail")


@pytest.mark.parametrize("attempt", [1, 3, 4, 100])
def test_an_endpoint_that_is_gone_is_switched_off_and_the_delivery_waits(attempt: int) -> None:
    """As all that waits for an endpoint that is off; also where it would be given up."""
    assert after(answer(410), attempt, ENDPOINT, 0.5) == Next("again", 0, 0.0, gone=True)
    assert after(answer(410, 60.0), attempt, ENDPOINT, 0.5) == Next("again", 0, 0.0, gone=True)


def delays() -> st.SearchStrategy[Any]:
    """Endpoints with pauses of any length, and many tries."""
    seconds = st.floats(0.001, HOOK_RETRY_DELAY_S_MAX) | st.integers(0, round(HOOK_RETRY_DELAY_S_MAX))
    return st.builds(
        lambda one, other: stored(delay_s=min(one, other), delay_max_s=max(one, other), retries=HOOK_RETRIES_MAX),
        seconds,
        seconds,
    )


@given(delays(), st.integers(1, HOOK_RETRIES_MAX), JITTER)
def test_the_pause_doubles_up_to_the_longest_and_chance_takes_up_to_half_of_it(
    endpoint: Any, attempt: int, jitter: float
) -> None:
    """Whatever is configured."""
    found = after(answer(500), attempt, endpoint, jitter)
    longest = min(endpoint.delay_s * 2 ** (attempt - 1), endpoint.delay_max_s) * 1000
    assert (found.what, found.rest_s, found.gone) == ("again", 0.0, False)
    assert longest / 2 - 1 <= found.due_ms <= longest + 1
    assert isinstance(found.due_ms, int)


@given(delays(), st.integers(1, HOOK_RETRIES_MAX - 1), JITTER, JITTER)
def test_no_pause_is_shorter_than_the_one_before(endpoint: Any, attempt: int, first: float, second: float) -> None:
    """With the same chance; and more chance is a longer pause."""
    now, then = (after(answer(None), number, endpoint, first).due_ms for number in (attempt, attempt + 1))
    assert now <= then
    low, high = (after(answer(None), attempt, endpoint, chance).due_ms for chance in sorted((first, second)))
    assert low <= high


@pytest.mark.parametrize(
    ("attempt", "jitter", "due_ms"),
    [
        (1, 0.0, 500),
        (1, 1.0, 1_000),
        (1, 0.5, 750),
        (3, 0.0, 2_000),
        (3, 1.0, 4_000),
        (7, 1.0, 60_000),
        (7, 0.0, 30_000),
        (100, 1.0, 60_000),
    ],
)
def test_pauses_by_hand(attempt: int, jitter: float, due_ms: int) -> None:
    """Of an endpoint with 1 s at first and a minute at most."""
    endpoint = stored(retries=100, delay_s=1.0, delay_max_s=60.0)
    assert after(answer(503), attempt, endpoint, jitter).due_ms == due_ms


@given(delays(), st.integers(1, HOOK_RETRIES_MAX), JITTER, st.floats(0, 3_600), st.sampled_from([429, 503, 301, 404]))
def test_who_asks_to_be_left_alone_is(
    endpoint: Any, attempt: int, jitter: float, retry_after_s: float, status: int
) -> None:
    """For as long as it says, or for the pause if that is longer; and nothing else is sent to it meanwhile."""
    found = after(answer(status, retry_after_s), attempt, endpoint, jitter)
    pause_ms = after(answer(status), attempt, endpoint, jitter).due_ms
    assert found == Next("again", max(pause_ms, round(retry_after_s * 1000)), retry_after_s)


def test_who_asks_to_be_left_alone_is_also_when_the_delivery_is_given_up() -> None:
    """Others wait for it."""
    assert after(answer(429, 60.0), 4, ENDPOINT, 0.5) == Next("fail", 0, 60.0)
