"""What the benchmarks create and answer: a clarification with 250 bytes of content, ids of usual lengths."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec

from interrupts import FlowInterrupt, InterruptService

CONTENT_BYTES: Final = 250
QUESTION: Final = "Three ways of signing in are in use in this service. Which shall I analyze first?"
CONTEXT: Final[dict[str, Any]] = {
    "options": ["OAuth 2.0", "JWT", "Session cookie"],
    "found_in": ["services/auth.py", "services/session.py"],
    "step": "read sources",
    "default": "OAuth 2.0",
}
ANSWER: Final = "OAuth 2.0 first, then the session cookies. JWT can wait until next week."
TTL_MS: Final = 24 * 3600 * 1000
"""A clarification's own."""

Ask = tuple[str, str, str]
"""request, user and session id"""


def asks(count: int, seed: int = 0) -> Iterator[Ask]:
    """That many callers: a request each, of a thousand users in a hundred thousand sessions, in no order."""
    dice = random.Random(seed)
    for number in range(count):
        yield f"req-{number:06}", f"user-{dice.randrange(1_000):03}", f"sess-{dice.randrange(100_000):05}"


def creating(service: InterruptService) -> Callable[[Ask], Awaitable[FlowInterrupt]]:
    """What a caller does: the whole call, from plain arguments to a FlowInterrupt."""

    def create(ask: Ask) -> Awaitable[FlowInterrupt]:
        request_id, user_id, session_id = ask
        return service.create_clarification(request_id, user_id, session_id, QUESTION, context=CONTEXT)

    return create


def content() -> bytes:
    """The content as it is stored."""
    return msgspec.json.encode({"question": QUESTION, "data": CONTEXT})


def described() -> str:
    """The shape in a sentence."""
    request, user, session = (f"{text} ({len(text)} characters)" for text in next(asks(1)))
    return f"a clarification with {CONTENT_BYTES} bytes of content; ids like {request}, {user}, {session}"
