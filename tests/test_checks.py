"""Bad input: refused by name, before anything is written; and what is good comes back as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings

from interrupts import InterruptKind, InterruptResponse, InterruptService, ValidationError
from interrupts.checks import check_flag, check_kind
from interrupts.contents import created_content, resolved_content
from interrupts.limits import ID_CHARS_MAX, NESTING_MAX, PAYLOAD_BYTES_MAX, TTL_S_MAX
from tests.conftest import whole_log
from tests.test_model import objects

HUGE = 10**5_000  # no float can hold it, and Python refuses to print it
FINE: dict[str, Any] = {"kind": "clarification", "request_id": "r", "user_id": "u", "session_id": "s"}
Colour = Enum("Colour", "RED")


class Unprintable:
    """Something that cannot even be shown in a refusal."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def nested(levels: int) -> Any:
    """A number inside this many dicts and lists, taking turns."""
    value: Any = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return value


def endless() -> dict[str, Any]:
    """A dict that holds itself."""
    value: dict[str, Any] = {}
    value["a"] = value
    return value


LONG = "x" * PAYLOAD_BYTES_MAX
BLANK: list[Any] = ["", " ", "\t", "\u2003 ", "\n"]
BROKEN: list[Any] = ["a\x00b", "a\nb", "a\x7f", "\x85", "a\u2028b", "\ud800", "x" * (ID_CHARS_MAX + 1), "x" * 10_240]
NO_TEXT: list[Any] = [5, True, b"a", ["a"], {"a": 1}, HUGE, Unprintable()]
BAD_IDS = BLANK + BROKEN + NO_TEXT
BAD_JSON: list[Any] = [
    *(float("nan"), float("inf"), -float("inf"), {1}, frozenset(), b"a", bytearray(b"a"), 1j, Decimal(1), timedelta(1)),
    *(datetime(2026, 1, 1, tzinfo=UTC), {1: 2}, {None: 1}, {True: 1}, {("a",): 1}, {HUGE: 1}, HUGE, object()),
    *(Unprintable(), "\ud800", {"\udfff": 1}, Colour.RED, nested(NESTING_MAX), nested(5_000), endless()),
]
PLACES: list[Callable[[Any], dict[str, Any]]] = [
    lambda value: {"a": value},
    lambda value: {"data": value},
    lambda value: {"database": [{"data.x": (1, {"y": value})}]},
]
REFUSED: dict[str, list[Any]] = {
    "request_id": [None, *BAD_IDS],
    "user_id": [None, *BAD_IDS],
    "session_id": [None, *BAD_IDS],
    "envelope_id": BAD_IDS,
    "idempotency_key": BAD_IDS,
    "kind": ["", "nonsense", "CLARIFICATION", None, 1, [], {}, HUGE, Unprintable()],
    "question": [5, b"a", ["a"], "\ud800"],
    "message": [5, b"a", ["a"], "a\udfffb"],
    "ttl": [
        *(timedelta(seconds=seconds) for seconds in (0, -1, 0.0001, TTL_S_MAX + 1)),
        *(timedelta.max, timedelta.min, 60, 60.0, "60", True, float("nan")),
    ],
    "ttl_seconds": [
        *(0, -1, 0.0001, -0.0, TTL_S_MAX + 1, 1e300, 10**400, -(10**400), HUGE, float("nan"), float("inf")),
        *(-float("inf"), True, False, "60", b"60", [60], Decimal(60), Unprintable()),
    ],
    "auto_expire": [0, 1, "yes", [], 1.0, Unprintable()],
    "allowed_responses": ["text", "", b"", ["nonsense"], [5], [None], [[]], {"text": 1}, {"text"}, 5, True, [HUGE]],
    "response_schema": [[], "{}", True, 5, {"type": "nonsense"}, {"$ref": "http://x.invalid/"}, {1: 2}, {"data": {1}}],
    "data": [
        *([], "a", 5, True, {1}, [("a", 1)], {"a": LONG}, {"a": "ü" * (PAYLOAD_BYTES_MAX // 2)}),
        *(place(value) for value in BAD_JSON for place in PLACES),
    ],
}
BAD_ANSWERS: dict[str, list[Any]] = {
    "text": [5, b"a", True, ["a"], "\ud800"],
    "approved": [0, 1, "yes", [], 1.0],
    "decision": [5, b"a", True, "a\udfff"],
    "data": [[], "a", 5, True, {1}, *(place(value) for value in BAD_JSON for place in PLACES)],
}
BAD_WORDS: dict[str, list[Any]] = {
    "user_id": BAD_IDS,
    "actor": BAD_IDS,
    "command_id": BAD_IDS,
    "expected_version": [-1, True, 1.0, "1", -HUGE, Unprintable()],
}


@asynccontextmanager
async def memory_service() -> AsyncIterator[InterruptService]:
    """A service in memory, closed at the end."""
    service = InterruptService()
    yield service
    await service.aclose()


async def not_refused(field: str, number: int, call: Awaitable[Any]) -> list[str]:
    """Empty if the call is refused by this field's name; else what came instead, for the number-th bad value."""
    try:
        came: object = await call
    except ValidationError as error:
        came = "" if error.field == field else f"a refusal of {error.field}"
    except Exception as error:  # noqa: BLE001 - whatever came instead of the refusal is what the test tells
        came = error
    return [f"value {number}: {came!r:.90}"] if came != "" else []


@pytest.mark.parametrize("field", REFUSED)
def test_a_creation_is_refused_by_name_and_nothing_is_written(field: str) -> None:
    """Whatever is wrong with this argument, it is a ValidationError that names it, and the log stays empty."""

    async def main() -> None:
        async with memory_service() as service:
            wrong: list[str] = []
            for number, value in enumerate(REFUSED[field]):
                wrong += await not_refused(field, number, service.create_interrupt(**(FINE | {field: value})))
            assert not wrong, "\n".join(wrong)
            assert await whole_log(service) == []

    asyncio.run(main())


@pytest.mark.parametrize("field", [*BAD_ANSWERS, *BAD_WORDS])
def test_answers_and_cancellations_are_refused_by_name_and_nothing_is_written(field: str) -> None:
    """So it is with each argument of respond and cancel, and each field of an answer: the interrupt still waits."""

    async def main() -> None:
        async with memory_service() as service:
            wrong: list[str] = []
            for number, value in enumerate(BAD_ANSWERS.get(field, [])):
                made = await service.create_checkpoint("r", "u", "s")
                answer = InterruptResponse(**{field: value})
                wrong += await not_refused(f"response.{field}", number, service.respond(made.id, answer))
            for number, value in enumerate(BAD_WORDS.get(field, [])):
                made = await service.create_checkpoint("r", "u", "s")
                words = {field: value}
                wrong += await not_refused(field, number, service.respond(made.id, InterruptResponse("a"), **words))
                wrong += await not_refused(field, number, service.cancel(made.id, **words))
            assert not wrong, "\n".join(wrong)
            assert {"interrupt.created"} == {event.type for event in await whole_log(service)}

    asyncio.run(main())


def test_what_is_wrong_as_a_whole_is_refused_by_name() -> None:
    """Two times to live, an answer that is none, a reason that can't be stored, and whatever is too large."""

    async def main() -> None:
        async with memory_service() as service:
            wrong = await not_refused("question", 0, service.create_clarification("r", "u", "s", LONG))
            twice: Any = {"ttl": timedelta(seconds=1), "ttl_seconds": 1}
            wrong += await not_refused("ttl", 0, service.create_interrupt(**(FINE | twice)))
            made = await service.create_checkpoint("r", "u", "s")
            answers: list[Any] = [None, "yes", {"text": "yes"}, 5, InterruptResponse, InterruptResponse(text=LONG)]
            for number, answer in enumerate(answers):
                wrong += await not_refused("response", number, service.respond(made.id, answer))
            reasons: list[Any] = [5, b"a", ["a"], "\ud800", LONG]
            for number, reason in enumerate(reasons):
                wrong += await not_refused("reason", number, service.cancel(made.id, reason))
            assert not wrong, "\n".join(wrong)
            assert made == await service.get_interrupt(made.id)

    asyncio.run(main())


@given(objects)
@settings(deadline=None)
def test_any_json_comes_back_equal_and_of_the_same_types(data: dict[str, Any]) -> None:
    """What is stored and read back prints like what was given, so 1, 1.0 and True stay apart; nothing is shared."""
    for given_back in (
        created_content(None, None, data)[1].data,
        resolved_content(InterruptResponse(data=data))[1].data,
    ):
        assert json.dumps(data) == json.dumps(given_back)
        assert given_back is not data


WORDS: dict[str, list[Any]] = {"interrupt": ["s"], "resource_exhausted": ["calls", 1.0], "timeout": ["call", 1.0]}


@pytest.mark.parametrize("creator", ["interrupt", *(kind.value for kind in InterruptKind)])
def test_an_option_that_does_not_exist_is_refused(creator: str) -> None:
    """A misspelt option is not passed over in silence, whichever creator is asked."""

    async def main() -> None:
        async with memory_service() as service:
            create = getattr(service, f"create_{creator}")
            with pytest.raises(TypeError, match="ttl_second"):
                await create("r", "u", "s", *WORDS.get(creator, ["m"]), ttl_second=60)
            assert await whole_log(service) == []

    asyncio.run(main())


def test_what_is_on_the_right_side_of_each_bound_is_fine() -> None:
    """The longest id, the deepest nesting, the shortest and the longest time to live, spaces within: all pass."""
    bounds: list[dict[str, Any]] = [
        {"request_id": "x" * ID_CHARS_MAX, "user_id": "Ada Lovelace", "session_id": "🙂"},
        {"data": {"a": nested(NESTING_MAX - 1)}, "question": "line\nline\ttab\x00"},
        {"ttl_seconds": TTL_S_MAX, "auto_expire": False, "allowed_responses": ["text", "data"]},
        {"ttl": timedelta(milliseconds=1), "allowed_responses": (), "response_schema": {}, "auto_expire": False},
    ]

    async def main() -> None:
        async with memory_service() as service:
            for given in bounds:
                made = await service.create_interrupt(**(FINE | given))
                assert made == await service.get_interrupt(made.id)

    asyncio.run(main())


def test_tuples_come_back_as_lists_and_braces_in_text_are_text() -> None:
    """A tuple is stored as JSON's array; text that looks nested is not."""
    assert created_content(None, None, {"a": (1, ("b",))})[1].data == {"a": [1, ["b"]]}
    text = "[" * 1_000 + "{" * 1_000
    assert created_content(text, None, {"a": text})[1].data == {"a": text}


@pytest.mark.parametrize("levels", range(NESTING_MAX, 1_200, 7))
def test_no_depth_of_nesting_slips_through(levels: int) -> None:
    """Between the limit and where Python itself gives up there is no depth at which another error comes."""
    with pytest.raises(ValidationError, match="data"):
        created_content(None, None, {"a": nested(levels)})


def test_kinds_and_flags_are_read_as_meant() -> None:
    """A kind, its name and its old name; True, False and nothing."""
    assert check_kind("timeout") is check_kind(InterruptKind.TIMEOUT) is InterruptKind.TIMEOUT
    assert check_kind("critic_review") is InterruptKind.AGENT_REVIEW
    assert [check_flag("auto_expire", value) for value in (True, False, None)] == [True, False, None]
