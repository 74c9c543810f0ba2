"""The headers and bodies of rate limits without a server: exact values; limiters that know less or talk nonsense."""

from __future__ import annotations

import asyncio
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from interrupts import RateLimitConfig, RateLimitResult
from interrupts.rate_headers import LIMITER_UNAVAILABLE, RATE_LIMITED, rate_headers, refusal, telling

NOW = 1_700_000_000.25
CONFIG = RateLimitConfig(requests_per_minute=45)
POLICIES = '"minute";q=45;w=60, "hour";q=1000;w=3600, "day";q=10000;w=86400, "burst";q=10;w=14'
ALLOWED = RateLimitResult(True, False, None, None, 12, 60, 0.0, 48, "minute", 60.3, CONFIG)
HTTP = {"type": "http", "method": "GET"}


def told(result: Any) -> dict[str, str]:
    """The headers as texts; none comes twice."""
    headers = rate_headers(result, NOW)
    assert len(dict(headers)) == len(headers)
    return {name.decode(): value.decode() for name, value in headers}


def body_of(result: Any) -> Any:
    """The body of a refusal, as strict parsers read it."""

    def no_number(text: str) -> None:
        pytest.fail(f"{text} is not JSON")

    _, body = refusal(HTTP, result, NOW)
    return json.loads(body["body"].decode("utf-8", "strict"), parse_constant=no_number)


def contract(allowed: bool, **fields: Any) -> Any:
    """A result that has the contract's fields and no others."""
    defaults = {"exceeded": not allowed, "reason": None, "limit_type": None, "current_count": 0}
    return SimpleNamespace(
        allowed=allowed, **defaults | {"limit": 0, "retry_after_seconds": 0.0, "remaining": 0} | fields
    )


def test_an_allowed_call() -> None:
    """All is there but Retry-After; times are rounded up."""
    assert told(ALLOWED) == {
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": "48",
        "x-ratelimit-reset": "1700000061",  # 60.55 after it
        "ratelimit-policy": POLICIES,
        "ratelimit": '"minute";r=48;t=61',
    }


def test_a_refused_call() -> None:
    """The limit that was exceeded, with nothing left; no header says an earlier time than another."""
    assert told(RateLimitResult.exceeded_limit("hour", 1_000, 1_000, 59.01, CONFIG)) == {
        "x-ratelimit-limit": "1000",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1700000060",
        "ratelimit-policy": POLICIES,
        "ratelimit": '"hour";r=0;t=60',
        "retry-after": "60",
    }


@pytest.mark.parametrize(
    ("seconds", "whole"), [(0.0, "1"), (0.001, "1"), (1.0, "1"), (1.000_001, "2"), (59.999, "60"), (60, "60")]
)
def test_retry_after_is_rounded_up_and_at_least_one(seconds: float, whole: str) -> None:
    """Who comes back at the time that was said is never too early."""
    headers = told(RateLimitResult.exceeded_limit("burst", 10, 10, seconds))
    assert headers["retry-after"] == whole
    assert headers["ratelimit"] == f'"burst";r=0;t={whole}'


def test_a_result_with_the_fields_of_the_contract() -> None:
    """What is not known is left out, not made up."""
    assert told(contract(True, limit=60, remaining=55, current_count=5)) == {
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": "55",
        "x-ratelimit-reset": "1700000001",
        "ratelimit-policy": '"default";q=60',
        "ratelimit": '"default";r=55',
    }
    assert told(RateLimitResult.ok(remaining=3)) == {
        "x-ratelimit-remaining": "3",
        "x-ratelimit-reset": "1700000001",
        "ratelimit": '"default";r=3',
    }
    assert told(contract(False, limit_type="minute", limit=60, remaining=2, retry_after_seconds=30.5)) == {
        "x-ratelimit-limit": "60",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1700000031",
        "ratelimit-policy": '"minute";q=60;w=60',
        "ratelimit": '"minute";r=0;t=31',
        "retry-after": "31",
    }


def test_an_own_configuration_with_some_of_the_limits() -> None:
    """A configuration of somebody else's is told as far as it goes."""
    config = SimpleNamespace(requests_per_minute=7, requests_per_day=70, requests_per_hour="many")
    assert told(contract(True, limit=7, config=config))["ratelimit-policy"] == ('"minute";q=7;w=60, "day";q=70;w=86400')


def test_nothing_breaks_out_of_a_header() -> None:
    """Names are quoted and printable, numbers fit into structured fields, and what is no number counts as none."""
    headers = told(contract(False, limit_type='a"b\\c\r\nx: ü', limit=10**30, retry_after_seconds=math.inf))
    assert headers["ratelimit"] == '"a\\"b\\\\c??x: ?";r=0;t=999999999999999'
    assert headers["ratelimit-policy"] == '"a\\"b\\\\c??x: ?";q=999999999999999'
    assert headers["x-ratelimit-limit"] == "999999999999999"
    headers = told(contract(False, limit=-1, remaining="?", retry_after_seconds=math.nan))
    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"], headers["retry-after"]) == ("0", "0", "1")


def test_the_body_of_a_refusal() -> None:
    """Problem details, with what a program needs beside what a person reads."""
    result = RateLimitResult.exceeded_limit("minute", 60, 60, 30.5)
    assert body_of(result) == {
        "type": RATE_LIMITED,
        "title": "Too many calls",
        "status": 429,
        "detail": result.reason,
        "limit_type": "minute",
        "limit": 60,
        "retry_after_seconds": 30.5,
    }


@pytest.mark.parametrize("reason", ['"quoted" \\ and\n\x00\x1f', "lone \ud800 surrogate", "ü 漢 🙂", 7, "x" * 100_000])
def test_a_body_is_json_whatever_the_reason(reason: Any) -> None:
    """Control characters, quotes, broken text, no text."""
    assert body_of(contract(False, reason=reason))["detail"] == str(reason).replace("\ud800", "?")


def test_a_refusal_of_which_nothing_is_known() -> None:
    """The body says what it can."""
    body = body_of(contract(False, retry_after_seconds=math.nan))
    assert body["detail"] == "Try again in 1 seconds."
    assert (body["limit_type"], body["limit"], body["retry_after_seconds"]) == (None, 0, 0.0)


def test_the_messages_of_a_refusal() -> None:
    """HEAD gets the length and no body; a handshake gets an answer if the server can send one, else it is closed."""
    result = RateLimitResult.exceeded_limit("minute", 60, 60, 30.5)
    start, body = refusal(HTTP, result, NOW)
    assert (start["type"], start["status"], body["type"]) == ("http.response.start", 429, "http.response.body")
    headers = dict(start["headers"])
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == str(len(body["body"])).encode()
    assert dict(refusal({"type": "http", "method": "HEAD"}, result, NOW)[0]["headers"]) == headers
    assert refusal({"type": "http", "method": "HEAD"}, result, NOW)[1]["body"] == b""
    socket = {"type": "websocket", "extensions": {"websocket.http.response": {}}}
    assert [message["type"] for message in refusal(socket, result, NOW)] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    for plain in ({"type": "websocket"}, {"type": "websocket", "extensions": None}):
        assert refusal(plain, result, NOW) == [{"type": "websocket.close", "code": 1008}]
        assert refusal(plain, None, NOW) == [{"type": "websocket.close", "code": 1013}]


def test_the_messages_without_a_result() -> None:
    """A 503 has no headers of limits, and no Retry-After, as nobody knows when."""
    start, body = refusal(HTTP, None, NOW)
    assert (start["status"], json.loads(body["body"])["type"]) == (503, LIMITER_UNAVAILABLE)
    assert [name for name, _ in start["headers"]] == [b"content-type", b"content-length"]


def test_headers_are_added_to_the_message_that_starts_the_answer_only() -> None:
    """What the app has set is left alone, however it writes the name; its own message is not changed."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        telling_send = telling(send, [(b"x-ratelimit-limit", b"60"), (b"ratelimit", b'"minute";r=1')])
        for message in messages:
            await telling_send(message)

    start = {
        "type": "http.response.start",
        "status": 200,
        "headers": iter([(b"X-RateLimit-Limit", b"own"), (b"a", b"b")]),
    }
    messages: list[Any] = [start, {"type": "http.response.body", "body": b"x"}, {"type": "websocket.accept"}]
    asyncio.run(main())
    assert sent[0]["headers"] == [(b"X-RateLimit-Limit", b"own"), (b"a", b"b"), (b"ratelimit", b'"minute";r=1')]
    assert sent[1] is messages[1]
    assert len(sent[2]["headers"]) == 2
    assert "headers" not in messages[2]
