"""What callers hold: interrupts and answers are made, compared and printed like the contract's dataclasses, and every
way of writing them down has an exact inverse."""

from __future__ import annotations

import json
from dataclasses import make_dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interrupts import FlowInterrupt, InterruptKind, InterruptResponse, InterruptStatus, ValidationError

AT = datetime(2026, 11, 20, 13, 0, tzinfo=UTC)
REQUIRED: dict[str, Any] = {"id": "i", "kind": "timeout", "request_id": "r", "user_id": "u", "session_id": "s"}
SECOND = timedelta(seconds=1)
BERLIN = ZoneInfo("Europe/Berlin")
AMBIGUOUS = datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN)
IMAGINARY = datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN)

ANSWER_FIELDS = ["text", "approved", "decision", "data"]
ContractResponse = make_dataclass("InterruptResponse", [(name, Any, None) for name in ANSWER_FIELDS])

# Whole seconds: Python itself does not read an offset below one second back from ISO 8601.
fixed_offsets = st.integers(1 - 24 * 3600, 24 * 3600 - 1).map(lambda seconds: timezone(timedelta(seconds=seconds)))
zones: st.SearchStrategy[tzinfo | None] = st.none() | fixed_offsets | st.timezones()
changes = st.sampled_from([AMBIGUOUS, AMBIGUOUS.replace(fold=1), IMAGINARY, IMAGINARY.replace(fold=1)])
times = st.datetimes(timezones=zones) | changes
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
objects = st.dictionaries(st.text(), values, max_size=4)
texts = st.none() | st.text()
responses = st.builds(
    InterruptResponse, text=texts, approved=st.none() | st.booleans(), decision=texts, data=st.none() | objects
)
interrupts = st.builds(
    FlowInterrupt,
    id=st.text(),
    kind=st.sampled_from(InterruptKind),
    request_id=st.text(),
    user_id=st.text(),
    session_id=st.text(),
    envelope_id=texts,
    question=texts,
    message=texts,
    data=objects,
    response=st.none() | responses,
    status=st.sampled_from(InterruptStatus),
    created_at=times,
    expires_at=st.none() | times,
    resolved_at=st.none() | times,
    trace_id=texts,
    span_id=texts,
    version=st.integers(0, 1_000),
    position=texts,
    resolved_by=texts,
    reason=texts,
    allowed_responses=st.lists(st.text()),
    response_schema=st.none() | objects,
)
patiently = settings(deadline=None)


def containers(value: object) -> set[int]:
    """The identities of everything in here that could be changed in place."""
    match value:
        case dict():
            return {id(value)}.union(*map(containers, value.values()))
        case list():
            return {id(value)}.union(*map(containers, value))
        case FlowInterrupt() | InterruptResponse():
            return {id(value)}.union(*(containers(getattr(value, name)) for name in value.__struct_fields__))
    return set()


def test_arguments_stand_in_the_order_of_the_contract() -> None:
    """Positional arguments mean what the protocols' file says, field by field."""
    expected: dict[str, Any] = {"id": "i", "kind": InterruptKind.TIMEOUT}
    expected |= {"request_id": "r", "user_id": "u", "session_id": "s", "envelope_id": "e"}
    expected |= {"question": "q", "message": "m", "data": {"d": 1}}
    expected |= {"response": InterruptResponse("yes"), "status": InterruptStatus.RESOLVED}
    expected |= {"created_at": AT, "expires_at": AT + SECOND, "resolved_at": AT + 2 * SECOND}
    expected |= {"trace_id": "t", "span_id": "sp"}
    made = FlowInterrupt(*expected.values())
    assert expected == {name: getattr(made, name) for name in expected}
    assert made == FlowInterrupt(**expected)
    answer = {"text": "t", "approved": True, "decision": "approve", "data": {"a": 1}}
    assert answer == InterruptResponse(*answer.values()).to_dict()  # type: ignore[arg-type]


def test_what_is_not_said_has_the_contracts_default() -> None:
    """An interrupt of five words is pending, made now in UTC, and empty otherwise; each has a `data` of its own."""
    before = datetime.now(UTC)
    made, other = (FlowInterrupt("i", InterruptKind.TIMEOUT, "r", "u", "s") for _ in range(2))
    assert before <= made.created_at <= datetime.now(UTC)
    assert made.created_at.tzinfo is UTC
    assert made.status is InterruptStatus.PENDING
    nones = ["envelope_id", "question", "message", "response", "expires_at", "resolved_at", "trace_id", "span_id"]
    assert dict.fromkeys(nones) == {name: getattr(made, name) for name in nones}
    made.data["a"] = 1
    assert other.data == {}
    assert repr(ContractResponse()) == repr(InterruptResponse())


@given(text=texts, approved=st.none() | st.booleans(), decision=texts, data=st.none() | objects)
@patiently
def test_answers_are_printed_like_dataclasses(**fields: Any) -> None:
    """The repr is the one that the contract's dataclass has."""
    assert repr(ContractResponse(**fields)) == repr(InterruptResponse(**fields))


def test_interrupts_are_printed_by_field() -> None:
    """The repr names the fields in order, as a dataclass's does."""
    printed = repr(FlowInterrupt("i", InterruptKind.TIMEOUT, "r", "u", "s", created_at=AT))
    start = (
        "FlowInterrupt(id='i', kind=<InterruptKind.TIMEOUT: 'timeout'>, request_id='r', user_id='u', session_id='s', "
    )
    assert start == printed[: len(start)]
    assert f", status={InterruptStatus.PENDING!r}, created_at={AT!r}, expires_at=None, " in printed


@given(interrupts)
@patiently
def test_interrupts_are_equal_by_value_mutable_and_not_hashable(interrupt: FlowInterrupt) -> None:
    """Like an unfrozen dataclass: equal while all fields are, changed in place, no key of a dict."""
    twin = FlowInterrupt(**{name: getattr(interrupt, name) for name in interrupt.__struct_fields__})
    assert interrupt == twin
    twin.id += "x"
    assert interrupt != twin
    for unhashable in (interrupt, InterruptResponse()):
        with pytest.raises(TypeError, match="unhashable"):
            hash(unhashable)


@given(interrupts)
@patiently
def test_to_dict_and_from_dict_are_exact_inverses(interrupt: FlowInterrupt) -> None:
    """Every field comes back equal, also through JSON text, and nothing is shared on the way."""
    written = interrupt.to_dict()
    read = FlowInterrupt.from_dict(written)
    assert interrupt == read
    assert interrupt == FlowInterrupt.from_dict(json.loads(json.dumps(written)))
    assert written == read.to_dict()
    assert list(interrupt.__struct_fields__) == list(written)
    assert set() == containers(interrupt) & containers(written)
    assert set() == containers(written) & containers(read)


@given(interrupts)
@patiently
def test_to_db_row_and_from_db_row_are_exact_inverses(interrupt: FlowInterrupt) -> None:
    """Every column comes back equal, whether the driver gives JSON and times as text or reads them itself."""
    row = interrupt.to_db_row()
    assert interrupt == FlowInterrupt.from_db_row(row)
    assert set() == containers(interrupt) & containers(row)
    assert {str, int, datetime, type(None)} >= {type(value) for value in row.values()}
    read_by_driver = row | {
        name: json.loads(row[name])
        for name in ("data", "response", "allowed_responses", "response_schema")
        if row[name] is not None
    }
    read = FlowInterrupt.from_db_row(read_by_driver)
    assert interrupt == read
    assert set() == containers(read_by_driver) & containers(read)
    as_text = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
    assert interrupt == FlowInterrupt.from_db_row(as_text)


@given(responses)
@patiently
def test_answers_and_their_dicts_are_exact_inverses(response: InterruptResponse) -> None:
    """What was set comes back, and only that: absent `data` and empty `data` stay apart."""
    written = response.to_dict()
    assert response == InterruptResponse.from_dict(json.loads(json.dumps(written)))
    assert {n for n in response.__struct_fields__ if getattr(response, n) is not None} == set(written)
    assert set() == containers(response) & containers(written)
    assert set() == containers(written) & containers(InterruptResponse.from_dict(written))


@given(times)
@patiently
def test_times_keep_their_moment_and_offset(time: datetime) -> None:
    """A named zone is kept as the offset that it had, on either side of a clock change; no zone stays no zone."""
    made = FlowInterrupt("i", InterruptKind.TIMEOUT, "r", "u", "s", created_at=time)
    kept = FlowInterrupt.from_dict(made.to_dict()).created_at
    assert time.replace(tzinfo=None, fold=0) == kept.replace(tzinfo=None, fold=0)
    assert time.utcoffset() == kept.utcoffset()


@pytest.mark.parametrize("read", [FlowInterrupt.from_dict, FlowInterrupt.from_db_row])
def test_the_old_name_of_agent_review_is_read_and_never_written(read: Any) -> None:
    """`critic_review` comes in as `agent_review`, and goes out as it."""
    interrupt = read(REQUIRED | {"kind": "critic_review", "created_at": AT})
    assert InterruptKind.AGENT_REVIEW is interrupt.kind is InterruptKind("critic_review")
    assert {"agent_review"} == {interrupt.to_dict()["kind"], interrupt.to_db_row()["kind"]}
    assert "critic_review" not in {kind.value for kind in InterruptKind}


WRONG: dict[str, Any] = {
    "id": 5,
    "kind": "nonsense",
    "status": "open",
    "user_id": None,
    "data": [],
    "response.text": 5,
    "response.data": {1: 2},
    "created_at": "yesterday",
    "expires_at": 1_700_000_000,
    "version": "1",
    "response_schema": {1: 2},
}


@pytest.mark.parametrize("field", WRONG)
@pytest.mark.parametrize("read", [FlowInterrupt.from_dict, FlowInterrupt.from_db_row])
def test_wrong_fields_are_refused_by_name(read: Any, field: str) -> None:
    """The error's `field` is the one that can't be read."""
    outer, _, inner = field.partition(".")
    value = {inner: WRONG[field]} if inner else WRONG[field]
    with pytest.raises(ValidationError) as refusal:
        read(REQUIRED | {outer: value})
    assert field == refusal.value.field


@pytest.mark.parametrize("field", REQUIRED)
def test_missing_fields_are_refused_by_name(field: str) -> None:
    """Each of the five required fields is named when it is not there; unknown ones do not matter."""
    with pytest.raises(ValidationError) as refusal:
        FlowInterrupt.from_dict({name: value for name, value in REQUIRED.items() if name != field} | {"new": 1})
    assert field == refusal.value.field


@pytest.mark.parametrize(("field", "value"), [("text", 5), ("approved", "yes"), ("decision", []), ("data", [])])
def test_wrong_answers_are_refused_by_name(field: str, value: object) -> None:
    """As with interrupts, so with answers."""
    with pytest.raises(ValidationError) as refusal:
        InterruptResponse.from_dict({field: value})
    assert field == refusal.value.field
