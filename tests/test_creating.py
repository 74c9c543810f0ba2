"""Creating: every kind, its defaults, and what a caller may say instead."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interrupts import (
    DEFAULT_INTERRUPT_CONFIGS,
    FlowInterrupt,
    InterruptConfig,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    Position,
    ValidationError,
    connect,
)
from tests.conftest import until_expired, whole_log

CONTRACT: dict[InterruptKind, tuple[timedelta | None, bool, bool, list[str], str]] = {
    InterruptKind.CLARIFICATION: (timedelta(hours=24), True, True, ["text"], "interrupt.clarification_needed"),
    InterruptKind.CONFIRMATION: (timedelta(hours=1), True, True, ["approved"], "interrupt.confirmation_needed"),
    InterruptKind.AGENT_REVIEW: (timedelta(minutes=30), True, True, ["decision"], "interrupt.agent_review"),
    InterruptKind.CHECKPOINT: (None, False, False, [], "interrupt.checkpoint"),
    InterruptKind.RESOURCE_EXHAUSTED: (timedelta(minutes=5), True, False, [], "interrupt.resource_exhausted"),
    InterruptKind.TIMEOUT: (timedelta(minutes=5), True, False, [], "interrupt.timeout"),
    InterruptKind.SYSTEM_ERROR: (timedelta(hours=1), True, False, [], "interrupt.system_error"),
}
"""Per kind: default_ttl, auto_expire, require_response, allowed_responses, webhook_event."""
SCHEMA = {"required": ["size"], "properties": {"size": {"type": "integer", "minimum": 1}}}


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_every_kind_is_created_and_read_back(kind: InterruptKind, url: str, namespace: str) -> None:
    """What create returns is what get returns, for each kind."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            created = await service.create_interrupt(kind, "r", "u", "s", message="m", data={"a": [1, None, "ü"]})
            assert await service.get_interrupt(created.id) == created
            assert (created.kind, created.status, created.version) == (kind, InterruptStatus.PENDING, 1)

    asyncio.run(main())


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_defaults_are_those_of_the_contract(kind: InterruptKind, url: str, namespace: str) -> None:
    """Time to live, enforcement, required and allowed answers of each kind are as the contract lists them."""
    ttl, auto_expire, required, allowed, webhook_event = CONTRACT[kind]
    assert DEFAULT_INTERRUPT_CONFIGS[kind] == InterruptConfig(ttl, auto_expire, required, webhook_event, allowed)
    assert InterruptConfig() == InterruptConfig(None, True, True, "interrupt.created", [])

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            created = await service.create_interrupt(kind, "r", "u", "s")
            assert created.expires_at == (None if ttl is None else created.created_at + ttl)
            assert created.allowed_responses == allowed
            (event,) = await service.history(created.id)
            assert event.terms.get("auto_expire", True) == auto_expire
            assert event.terms.get("require_response", True) == required

    asyncio.run(main())


def test_the_time_of_creation_is_that_of_the_stream_id(url: str, namespace: str) -> None:
    """`created_at` is the server's: the milliseconds of the entry in the log, to which `position` points."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            created = await service.create_checkpoint("r", "u", "s")
            assert created.position is not None
            position = Position.parse(created.position)
            assert created.created_at == datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=position.ms)
            assert position == await service.log.last(service.log.partition_of("s"))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("said", "ttl"),
    [
        ({"ttl": timedelta(days=2)}, timedelta(days=2)),
        ({"ttl_seconds": 300}, timedelta(minutes=5)),
        ({"ttl_seconds": 0.25}, timedelta(milliseconds=250)),
        ({"ttl_seconds": None, "ttl": None}, timedelta(hours=1)),
    ],
    ids=str,
)
def test_a_caller_sets_the_time_to_live(url: str, namespace: str, said: dict[str, Any], ttl: timedelta) -> None:
    """`ttl` or `ttl_seconds` stand instead of the kind's; the deadline is the creation's time plus that."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            created = await service.create_interrupt(InterruptKind.SYSTEM_ERROR, "r", "u", "s", **said)
            assert created.expires_at == created.created_at + ttl

    asyncio.run(main())


def test_a_caller_sets_allowed_answers_enforcement_and_schema(url: str, namespace: str) -> None:
    """Each option stands instead of the kind's, for this interrupt only, in every process that answers."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as another:
            soon: dict[str, Any] = {"ttl_seconds": 0.001, "response_schema": SCHEMA}
            created = await service.create_confirmation(
                "r", "u", "s", "How many?", auto_expire=False, allowed_responses=["text", "data"], **soon
            )
            assert (created.allowed_responses, created.response_schema) == (["text", "data"], SCHEMA)
            enforced = await service.create_checkpoint("r", "u", "s", ttl_seconds=0.001, auto_expire=True)
            assert (await until_expired(service, enforced.id)).status is InterruptStatus.EXPIRED
            wrong = [InterruptResponse(approved=True), *(InterruptResponse(data=data) for data in ({}, {"size": 0}))]
            for response in wrong:
                with pytest.raises(ValidationError) as refused:
                    await another.respond(created.id, response)
                assert str(refused.value.field).startswith(("response.approved", "response.data"))
            assert await another.get_interrupt(created.id) == created
            assert await another.respond(created.id, InterruptResponse(data={"size": 1}))

    asyncio.run(main())


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("ttl", {"ttl": timedelta(hours=1), "ttl_seconds": 3600}),
        ("ttl", {"ttl": 60}),
        ("ttl", {"ttl": timedelta(0)}),
        ("ttl", {"ttl": timedelta(microseconds=400)}),
        ("ttl", {"ttl": timedelta(days=-1)}),
        ("ttl", {"ttl": timedelta.max}),
        ("ttl_seconds", {"ttl_seconds": 0}),
        ("ttl_seconds", {"ttl_seconds": -1}),
        ("ttl_seconds", {"ttl_seconds": float("inf")}),
        ("ttl_seconds", {"ttl_seconds": float("nan")}),
        ("ttl_seconds", {"ttl_seconds": True}),
        ("ttl_seconds", {"ttl_seconds": 10**400}),
        ("auto_expire", {"auto_expire": "yes"}),
        ("allowed_responses", {"allowed_responses": ["word"]}),
        ("allowed_responses", {"allowed_responses": "text"}),
        ("response_schema", {"response_schema": {"type": "no such type"}}),
        ("idempotency_key", {"idempotency_key": ""}),
        ("kind", {"kind": "no such kind"}),
        ("session_id", {"session_id": ""}),
        ("session_id", {"session_id": "\ud800"}),
        ("request_id", {"request_id": None}),
        ("user_id", {"user_id": "u" * 513}),
        ("envelope_id", {"envelope_id": "a\nb"}),
        ("question", {"question": 5}),
        ("message", {"message": "\ud800"}),
        ("data", {"data": [1]}),
        ("data", {"data": {"a": {1}}}),
        ("data", {"data": {"a": "x" * 300_000}}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_can_not_be_created_is_refused_by_name(url: str, namespace: str, field: str, said: dict[str, Any]) -> None:
    """A wrong argument is refused, with its name, before anything is written."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = {"kind": InterruptKind.TIMEOUT, "request_id": "r", "user_id": "u", "session_id": "s"}
            with pytest.raises(ValidationError) as refused:
                await service.create_interrupt(**(asked | said))
            assert refused.value.field == field
            assert await whole_log(service) == []

    asyncio.run(main())


def test_the_configurations_of_a_service_stand_instead_of_the_defaults(url: str, namespace: str) -> None:
    """`configs` replaces the kinds it names and leaves the others."""
    configs = {InterruptKind.CLARIFICATION: InterruptConfig(default_ttl=timedelta(hours=48))}

    async def main() -> None:
        async with connect(url, namespace=namespace, configs=configs) as service:
            own = await service.create_clarification("r", "u", "s", "?")
            assert own.expires_at == own.created_at + timedelta(hours=48)
            assert own.allowed_responses == []
            other = await service.create_confirmation("r", "u", "s", "!")
            assert other.expires_at == other.created_at + timedelta(hours=1)

    asyncio.run(main())


def test_each_creator_puts_its_words_where_they_belong(url: str, namespace: str) -> None:
    """The seven convenience creators: kind, question or message, and data."""
    extra = {"x": 1}

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            who = ("r", "u", "s")
            seen = [
                await service.create_clarification(*who, question="q", envelope_id="e", context=extra),
                await service.create_confirmation(*who, message="m", envelope_id="e", action_data=extra),
                await service.create_agent_review(*who, message="m", envelope_id="e", review_data=extra),
                await service.create_checkpoint(*who, message="m", envelope_id="e", state=extra),
                await service.create_system_error(*who, message="m", envelope_id="e", error_data=extra),
                await service.create_resource_exhausted(*who, "max_llm_calls", 60.0, "e"),
                await service.create_timeout(*who, "fetch", 2.5, "e"),
            ]
            assert {interrupt.kind for interrupt in seen} == set(InterruptKind)
            assert all((one.request_id, one.user_id, one.session_id, one.envelope_id) == (*who, "e") for one in seen)
            assert [(one.question, one.message) for one in seen[:5]] == [("q", None)] + [(None, "m")] * 4
            assert all(one.data == extra for one in seen[:5])
            assert seen[5].data == {"resource_type": "max_llm_calls", "retry_after_seconds": 60.0}
            assert seen[6].data == {"operation": "fetch", "timeout_seconds": 2.5}
            assert all(one.message and one.question is None for one in seen[5:])
            assert [await service.get_interrupt(one.id) for one in seen] == seen

    asyncio.run(main())


def test_a_service_made_directly_works_without_anything() -> None:
    """The contract's usage example: `InterruptService()` keeps everything in memory, and needs no closing."""

    async def main() -> None:
        service = InterruptService(configs={InterruptKind.CLARIFICATION: InterruptConfig(timedelta(hours=48))})
        asked = await service.create_clarification(
            request_id="req-123", user_id="user-1", session_id="sess-1", question="Which module first?"
        )
        resolved = await service.respond(
            interrupt_id=asked.id, response=InterruptResponse(text="Start with the auth module")
        )
        assert isinstance(resolved, FlowInterrupt)
        assert resolved.response is not None
        assert resolved.response.text == "Start with the auth module"
        assert await service.expire_pending() == 0
        assert await InterruptService().get_interrupt(asked.id) is None

    asyncio.run(main())
