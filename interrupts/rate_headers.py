"""What a rate limit looks like on the wire: the headers of an answer, and the bodies of refusals.

Two families of headers say the same: `X-RateLimit-*`, which most clients know and nobody has ever specified, and
`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10 (the same in -11), which can tell several
limits. The draft's are structured fields (RFC 9651), whose numbers have at most 15 digits and whose texts are printable
ASCII: what comes from a limiter of somebody else's is made to fit, never passed on as it is. Such a limiter may know
less than ours: what its results do not say (a limit of 0 on a call that was allowed, a reset in no time) is left out,
but for `X-RateLimit-Remaining` and `X-RateLimit-Reset`, which are always there.

Bodies are problem details (RFC 9457). Pure: the time is an argument.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from interrupts.rates import BURST, LIMIT_TYPES, WINDOW_S, WINDOWS, in_words

Headers = list[tuple[bytes, bytes]]
"""As ASGI has them: lower-case names and values, in bytes."""

RATE_LIMITED: Final = "urn:interrupts:problem:rate-limited"
"""The problem type of a call that is one too many: 429."""
LIMITER_UNAVAILABLE: Final = "urn:interrupts:problem:rate-limiter-unavailable"
"""The problem type of a call that could not be counted, where nothing may pass uncounted: 503."""
_ANSWERS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
_DENIAL: Final = "websocket.http.response"
_CLOSE_CODES: Final = {429: 1008, 503: 1013}
_NUMBER_MAX: Final = 10**15 - 1
_NAMELESS: Final = "default"
_WINDOW_S: Final = dict(zip(WINDOWS, WINDOW_S, strict=True))
_FIELDS: Final = (*(f"requests_per_{window}" for window in WINDOWS), "burst_size")


def rate_headers(result: Any, now_s: float) -> Headers:
    """The headers that tell a caller of this result, at this unix time. `Retry-After` only if it is a refusal.

    `result` is a `RateLimitResult`, or anything with the attributes that the contract gives it.
    """
    refused = not result.allowed
    limit = _number(_get(result, "limit"))
    left = 0 if refused else _number(_get(result, "remaining"))
    retry_after = _seconds(_get(result, "retry_after_seconds"))
    reset_after = _seconds(_get(result, "reset_after_seconds")) or retry_after
    name = _get(result, "limit_type") or _get(result, "window") or _NAMELESS
    known = refused or limit > 0
    told = {
        b"x-ratelimit-limit": f"{limit}" if known else "",
        b"x-ratelimit-remaining": f"{left}",
        b"x-ratelimit-reset": f"{math.ceil(now_s + reset_after)}",
        b"ratelimit-policy": _policies(_get(result, "config")) or (_policy(name, limit) if known else ""),
        b"ratelimit": f"{_text(name)};r={left}" + (f";t={_whole(reset_after)}" if refused or reset_after else ""),
        b"retry-after": f"{_whole(retry_after)}" if refused else "",
    }
    return [(header, value.encode()) for header, value in told.items() if value]


def telling(send: Callable[[Any], Awaitable[None]], headers: Headers) -> Callable[[Any], Awaitable[None]]:
    """The same ASGI `send`, which adds headers to the message that starts the answer, but none that is there already.
    All other messages are passed on untouched."""

    async def send_telling(message: Any) -> None:
        if message["type"] in _ANSWERS:
            there = list(message.get("headers") or ())
            names = {name.lower() for name, _ in there}
            message = {**message, "headers": there + [header for header in headers if header[0] not in names]}
        await send(message)

    return send_telling


def refusal(scope: Any, result: Any, now_s: float) -> list[dict[str, Any]]:
    """The ASGI messages that refuse a request, or the handshake of a websocket: 429, or 503 if there is no result.
    Where the server can't send an answer to a handshake, it is closed."""
    answer, status = "http.response", 503 if result is None else 429
    if scope["type"] == "websocket":
        answer = _DENIAL
        if _DENIAL not in (scope.get("extensions") or {}):
            return [{"type": "websocket.close", "code": _CLOSE_CODES[status]}]
    body = _unavailable() if result is None else _too_many(result)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
    return [
        {
            "type": f"{answer}.start",
            "status": status,
            "headers": headers if result is None else headers + rate_headers(result, now_s),
        },
        {"type": f"{answer}.body", "body": b"" if scope.get("method") == "HEAD" else body},
    ]


def _too_many(result: Any) -> bytes:
    """The body of a 429."""
    retry_after = _seconds(_get(result, "retry_after_seconds"))
    limit_type = _get(result, "limit_type")
    return msgspec.json.encode(
        {
            "type": RATE_LIMITED,
            "title": "Too many calls",
            "status": 429,
            "detail": _said(_get(result, "reason") or f"Try again in {in_words(max(1.0, retry_after))}."),
            "limit_type": None if limit_type is None else _said(limit_type),
            "limit": _number(_get(result, "limit")),
            "retry_after_seconds": retry_after,
        }
    )


def _unavailable() -> bytes:
    """The body of a 503."""
    return msgspec.json.encode(
        {
            "type": LIMITER_UNAVAILABLE,
            "title": "Calls can't be counted",
            "status": 503,
            "detail": "The rate limiter is away, and nothing passes uncounted. Try again later.",
        }
    )


def _policies(config: Any) -> str:
    """All limits of a configuration."""
    limits = ((name, _number(_get(config, field))) for name, field in zip(LIMIT_TYPES, _FIELDS, strict=True))
    per_minute = _number(_get(config, _FIELDS[0]))
    return ", ".join(_policy(name, limit, per_minute) for name, limit in limits if limit)


def _policy(name: object, limit: int, per_minute: int = 0) -> str:
    """One limit. The window of the burst is the time in which all of it comes again."""
    window_s = _WINDOW_S.get(str(name), 0)
    if name == BURST and per_minute:
        window_s = -(-60 * limit // per_minute)
    return f"{_text(name)};q={limit}" + (f";w={window_s}" if window_s else "")


def _text(value: object) -> str:
    """A text as structured fields have it."""
    printable = "".join(character if " " <= character <= "~" else "?" for character in str(value))
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _said(value: object) -> str:
    """A text that UTF-8 can hold."""
    return str(value).encode("utf-8", "replace").decode()


def _get(thing: Any, name: str) -> Any:
    return getattr(thing, name, None)


def _number(value: object) -> int:
    """A count; 0 for what is none."""
    return min(math.floor(_seconds(value)), _NUMBER_MAX)


def _seconds(value: object) -> float:
    """A stretch of time; 0 for what is none."""
    if not isinstance(value, int | float) or not value >= 0:  # nor is NaN
        return 0.0
    return float(min(value, _NUMBER_MAX))


def _whole(seconds: float) -> int:
    """Whole seconds, never too few and at least one."""
    return max(1, math.ceil(seconds))
