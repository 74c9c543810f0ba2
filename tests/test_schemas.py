"""Response schemas: an answer that does not fit is refused before anything is written; the interrupt still waits."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from interrupts import InterruptResponse, InterruptService, UnavailableError, ValidationError, schemas
from interrupts.limits import NESTING_MAX, SCHEMAS_CACHED_MAX
from interrupts.schemas import check_schema, fits_schema
from tests.conftest import whole_log

AMOUNT: dict[str, Any] = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "integer", "minimum": 1}, "to": {"type": "object", "required": ["iban"]}},
    "additionalProperties": False,
}
SHORT_TEXT: dict[str, Any] = {"required": ["text"], "properties": {"text": {"maxLength": 5}}}
DECISION: dict[str, Any] = {"properties": {"decision": {"enum": ["approve", "reject"]}, "data": {"const": 1}}}
YES: dict[str, Any] = {"required": ["approved"], "properties": {"approved": {"const": True}}}

FITTING: list[tuple[dict[str, Any], InterruptResponse]] = [
    ({}, InterruptResponse(data={"anything": [None]})),
    (AMOUNT, InterruptResponse(data={"amount": 1})),
    (AMOUNT, InterruptResponse(text="a text that the schema does not name", data={"amount": 1, "to": {"iban": "x"}})),
    (SHORT_TEXT, InterruptResponse(text="short")),
    (SHORT_TEXT, InterruptResponse(text="short", data={"a": 1})),
    (DECISION, InterruptResponse(decision="reject")),
    (DECISION, InterruptResponse(text="anything")),
    (YES, InterruptResponse(approved=True)),
    ({"required": ["text"]}, InterruptResponse(data={"text": "in data"})),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"required": ["b"]}}}, InterruptResponse(data={"b": 1})),
]
# schema, answer, the field that is named
UNFITTING: list[tuple[dict[str, Any], InterruptResponse, str]] = [
    (AMOUNT, InterruptResponse(data={"amount": 0}), "response.data.amount"),
    (AMOUNT, InterruptResponse(data={"amount": "1"}), "response.data.amount"),
    (AMOUNT, InterruptResponse(data={"amount": 1, "to": {}}), "response.data.to"),
    (AMOUNT, InterruptResponse(data={"amount": 1, "more": 2}), "response.data"),
    (AMOUNT, InterruptResponse(data={}), "response.data"),
    (AMOUNT, InterruptResponse(text="yes"), "response.data"),
    (SHORT_TEXT, InterruptResponse(text="too long"), "response.text"),
    (SHORT_TEXT, InterruptResponse(data={"text": "too long"}), "response.data.text"),
    (SHORT_TEXT, InterruptResponse(decision="none"), "response.data"),
    (DECISION, InterruptResponse(decision="modify"), "response.decision"),
    (YES, InterruptResponse(approved=False), "response.approved"),
    ({"properties": {"a": {"items": {"type": "null"}}}}, InterruptResponse(data={"a": [None, 1]}), "response.data.a.1"),
]
UNUSABLE: list[Any] = [
    *([], "{}", True, 5, {"type": "nonsense"}, {"minimum": "5"}, {"properties": []}, {"required": "a"}),
    *({"pattern": "("}, {"pattern": r"(a)\1"}, {"pattern": "(?=a)b"}, {"pattern": "a{1000000000}"}),
    *({"$ref": "#/$defs/missing"}, {"$ref": "http://127.0.0.1/a.json"}, {"$ref": "https://x.invalid/a.json"}),
    *({"$ref": "file:///etc/passwd"}, {"$schema": "http://x.invalid/meta"}, {"allOf": [{"$ref": "//x.invalid/a"}]}),
    *({1: 2}, {"const": {1}}, {"const": float("nan")}, {"const": "\ud800"}, {"const": b"a"}),
]


def deep(levels: int) -> dict[str, Any]:
    """A schema of this many levels."""
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


def refused_field(schema: Any, response: InterruptResponse) -> str | None:
    """The field by which the answer is refused."""
    with pytest.raises(ValidationError) as refusal:
        fits_schema(schema, response)
    return refusal.value.field


@pytest.mark.parametrize(("schema", "response"), FITTING)
def test_an_answer_that_fits_is_taken(schema: dict[str, Any], response: InterruptResponse) -> None:
    """It resolves the interrupt, and reads back as given."""

    async def main() -> None:
        service = InterruptService()
        made = await service.create_checkpoint("r", "u", "s", response_schema=schema)
        assert schema == made.response_schema
        resolved = await service.respond(made.id, response)
        assert resolved is not None
        assert response == resolved.response
        await service.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(("schema", "response", "field"), UNFITTING)
def test_an_answer_that_does_not_fit_is_refused_before_anything_is_written(
    schema: dict[str, Any], response: InterruptResponse, field: str
) -> None:
    """The refusal names the part that does not fit; the interrupt is as it was and takes another answer."""

    async def main() -> None:
        service = InterruptService()
        made = await service.create_checkpoint("r", "u", "s", response_schema=schema)
        with pytest.raises(ValidationError, match="still waits") as refusal:
            await service.respond(made.id, response)
        assert field == refusal.value.field
        assert made == await service.get_interrupt(made.id)
        assert [event.version for event in await whole_log(service)] == [1]
        assert await service.cancel(made.id) is not None
        await service.aclose()

    asyncio.run(main())


def test_data_alone_is_an_answer_where_a_schema_asks_for_it() -> None:
    """A kind that is answered by text takes an answer of data alone, if the schema is about data."""

    async def main() -> None:
        service = InterruptService()
        made = await service.create_clarification("r", "u", "s", "how much?", response_schema=AMOUNT)
        resolved = await service.respond(made.id, InterruptResponse(data={"amount": 3}))
        assert resolved is not None
        assert resolved.response == InterruptResponse(data={"amount": 3})
        await service.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("schema", [*UNUSABLE, deep(NESTING_MAX + 1), deep(5_000)])
def test_what_is_no_schema_is_refused_when_the_interrupt_is_made(schema: Any) -> None:
    """Wrong types, keywords and patterns, references to nowhere and to elsewhere, too deep: refused by name."""
    with pytest.raises(ValidationError) as refusal:
        check_schema(schema)
    assert refusal.value.field == "response_schema"


def test_nothing_is_ever_fetched() -> None:
    """A schema that refers to an address is refused without a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/schema.json"
        for schema in ({"$ref": address}, {"$schema": address}, {"$id": address, "items": {"$ref": "other.json"}}):
            with pytest.raises(ValidationError):
                check_schema(schema)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody has called
            listener.accept()


def test_no_schema_is_fine_and_a_schema_is_given_back() -> None:
    """None stays None; a schema is given back as it will be stored, and shares nothing with the caller's."""
    assert check_schema(None) is None
    assert check_schema(AMOUNT) == AMOUNT
    assert check_schema(AMOUNT) is not AMOUNT


def test_a_catastrophic_pattern_is_harmless() -> None:
    """A pattern that takes a backtracking engine longer than the universe has lasted runs in linear time here."""
    schema = {"properties": {"text": {"pattern": "^(a+)+$"}}}
    fits_schema(schema, InterruptResponse(text="a" * 50_000))
    assert refused_field(schema, InterruptResponse(text="a" * 50_000 + "!")) == "response.text"


def test_a_refusal_is_short_however_much_is_wrong() -> None:
    """Thousands of problems with long values make a message of bounded length."""
    schema = {"additionalProperties": {"type": "integer"}}
    with pytest.raises(ValidationError) as refusal:
        fits_schema(schema, InterruptResponse(data={f"{number}": "x" * 1_000 for number in range(1_000)}))
    assert len(str(refusal.value)) < 2_000


def test_compiled_schemas_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same schema is compiled once; the least recently used gives way beyond the bound."""
    monkeypatch.setattr(schemas, "_compiled", type(schemas._compiled)())
    check_schema({"minProperties": 0})
    (first,) = schemas._compiled.values()
    for number in range(1, SCHEMAS_CACHED_MAX):
        check_schema({"minProperties": number})
    fits_schema({"minProperties": 0}, InterruptResponse(data={}))
    assert len(schemas._compiled) == SCHEMAS_CACHED_MAX
    for number in range(SCHEMAS_CACHED_MAX, SCHEMAS_CACHED_MAX + 10):
        check_schema({"minProperties": number})
    assert len(schemas._compiled) == SCHEMAS_CACHED_MAX
    assert first in schemas._compiled.values()
    assert refused_field({"minProperties": 1}, InterruptResponse(data={})) == "response.data"  # compiled anew


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is missing, a creation is refused; an answer can't be checked, which is the process's fault."""

    async def main() -> None:
        service = InterruptService()
        made = await service.create_checkpoint("r", "u", "s", response_schema=AMOUNT)
        monkeypatch.setattr(schemas, "jsonschema_rs", None)
        with pytest.raises(ValidationError, match=r"interrupts\[schema\]") as refusal:
            await service.create_checkpoint("r", "u", "s", response_schema=AMOUNT)
        assert refusal.value.field == "response_schema"
        with pytest.raises(UnavailableError, match=r"interrupts\[schema\]"):
            await service.respond(made.id, InterruptResponse(data={"amount": 1}))
        assert made == await service.get_interrupt(made.id)
        assert await service.create_checkpoint("r", "u", "s") is not None
        await service.aclose()

    asyncio.run(main())
