"""Answering and cancelling: who may, with what, and what everybody else is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import (
    AuthorizationError,
    ConflictError,
    FlowInterrupt,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    ValidationError,
    connect,
)
from tests.conftest import whole_log

YES = InterruptResponse(approved=True)
NO = InterruptResponse(approved=False)
ZEROS = "0" * 32
IMPOSSIBLE_IDS: list[Any] = [
    *("", "x", "*", ZEROS, ZEROS[1:], ZEROS + "0", "A" * 32, "a" * 10_240, "٣" * 32, "\ud800" * 32),
    *("\0" * 32, ZEROS[1:] + "\n", ZEROS + "\n", None, 7, 0.5, ZEROS.encode(), [ZEROS]),
]


async def ask(service: InterruptService) -> FlowInterrupt:
    """A confirmation that waits."""
    return await service.create_confirmation("r", "u", "s", "Go on?")


async def assert_still_waits(service: InterruptService, interrupt: FlowInterrupt) -> None:
    """Nothing has changed, and nothing was written."""
    assert await service.get_interrupt(interrupt.id) == interrupt
    assert len(await service.history(interrupt.id)) == 1


@pytest.mark.parametrize("data", [None, {}, {"a": [1, None, {"ü": 0.5}]}], ids=str)
def test_an_answer_is_kept_as_it_was_given(url: str, namespace: str, data: dict[str, Any] | None) -> None:
    """The reply is the resolved interrupt, by whom it says, and `data` absent or empty stays so."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            response = InterruptResponse(approved=True, data=data)
            answered = await service.respond(asked.id, response, "u", actor="bot")
            assert answered is not None
            assert (answered.status, answered.response, answered.version) == (InterruptStatus.RESOLVED, response, 2)
            assert (answered.resolved_by, answered.reason) == ("bot", None)
            assert (answered.created_at, answered.expires_at) == (asked.created_at, asked.expires_at)
            assert answered.resolved_at == (await service.history(asked.id))[1].at >= asked.created_at
            assert await service.get_interrupt(asked.id) == answered

    asyncio.run(main())


@pytest.mark.parametrize("reason", [None, "", "no longer needed: ü\n"])
def test_a_cancellation_is_kept_with_its_reason(url: str, namespace: str, reason: str | None) -> None:
    """The reply is the cancelled interrupt, which is truthy, and get returns the same."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            cancelled = await service.cancel(asked.id, reason)
            assert cancelled
            assert (cancelled.status, cancelled.reason, cancelled.version) == (InterruptStatus.CANCELLED, reason, 2)
            assert (cancelled.resolved_by, cancelled.response) == ("u", None)
            assert await service.get_interrupt(asked.id) == cancelled

    asyncio.run(main())


def test_an_id_that_does_not_exist_reads_as_none(url: str, namespace: str) -> None:
    """Whatever is given as an id: None, no error, and nothing is written."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            almost = asked.id[:-1] + ("0" if asked.id[-1] != "0" else "1")
            for wrong in (*IMPOSSIBLE_IDS, almost, asked.id + "\n", f" {asked.id}", asked.id.encode()):
                assert await service.get_interrupt(wrong) is None
                assert await service.respond(wrong, YES, "u") is None
                assert await service.cancel(wrong) is None
                assert await service.history(wrong) == []
            assert len(await whole_log(service)) == 1

    asyncio.run(main())


def test_another_user_may_not_answer_or_cancel(url: str, namespace: str) -> None:
    """A user id that is not the interrupt's is refused before and after it is closed, and changes nothing."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            with pytest.raises(AuthorizationError):
                await service.respond(asked.id, YES, "somebody else")
            with pytest.raises(AuthorizationError):
                await service.cancel(asked.id, user_id="U")
            await assert_still_waits(service, asked)
            assert await service.respond(asked.id, YES, "u", command_id="c")
            with pytest.raises(AuthorizationError):
                await service.respond(asked.id, YES, "somebody else", command_id="c")

    asyncio.run(main())


def test_a_stale_version_is_refused(url: str, namespace: str) -> None:
    """`expected_version` guards what the caller has read; the refusal shows what is there."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            for stale in (0, 2):
                with pytest.raises(ConflictError) as refused:
                    await service.respond(asked.id, YES, expected_version=stale)
                assert (refused.value.code, refused.value.interrupt) == ("version", asked)
                with pytest.raises(ConflictError) as refused:
                    await service.cancel(asked.id, expected_version=stale)
                assert refused.value.code == "version"
            await assert_still_waits(service, asked)
            assert await service.respond(asked.id, YES, expected_version=1)

    asyncio.run(main())


@pytest.mark.parametrize("winner", [InterruptStatus.RESOLVED, InterruptStatus.CANCELLED])
def test_a_loser_is_told_who_won_how_and_when(url: str, namespace: str, winner: InterruptStatus) -> None:
    """Whoever comes second gets the closed interrupt with its conflict, and the sentence names the winner."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            if winner is InterruptStatus.RESOLVED:
                won = await service.respond(asked.id, YES, actor="quick")
            else:
                won = await service.cancel(asked.id, "why not", actor="quick")
            assert won is not None
            for _ in range(2):
                with pytest.raises(ConflictError) as lost:
                    await service.respond(asked.id, YES, "u")
                assert (lost.value.code, lost.value.interrupt) == (winner.value, won)
                assert "quick" in str(lost.value)
                with pytest.raises(ConflictError) as lost:
                    await service.cancel(asked.id)
                assert (lost.value.code, lost.value.interrupt) == (winner.value, won)
            assert len(await service.history(asked.id)) == 2

    asyncio.run(main())


def test_a_repeated_command_gives_the_same_reply(url: str, namespace: str) -> None:
    """The same command id on the same interrupt is the same deed: one event, one reply, from whatever service."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as another:
            first, second = await ask(service), await ask(service)
            with pytest.raises(ValidationError):
                await service.respond(first.id, InterruptResponse(text="not allowed"), command_id="c")
            calls = (one.respond(first.id, YES, command_id="c") for one in [service, another] * 20)
            answers = await asyncio.gather(*calls)
            assert answers[0] is not None
            assert all(answer == answers[0] for answer in answers)
            assert await another.respond(first.id, YES, command_id="c") == answers[0]
            cancelled = await service.cancel(second.id, "off", command_id="c")
            assert await another.cancel(second.id, "off", command_id="c") == cancelled
            events = [*await service.history(first.id), *await service.history(second.id)]
            assert [event.version for event in events] == [1, 2, 1, 2]
            assert [event.command_id for event in events if event.version == 2] == ["c", "c"]

    asyncio.run(main())


def test_another_body_under_a_command_id_is_refused(url: str, namespace: str) -> None:
    """A command id stands for one deed: another answer, actor, reason or sort of command under it is a conflict."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            first, second = await ask(service), await ask(service)
            answered = await service.respond(first.id, YES, command_id="c")
            cancelled = await service.cancel(second.id, "off", command_id="c")
            refusals = [
                (answered, service.respond(first.id, NO, command_id="c")),
                (answered, service.respond(first.id, YES, actor="bot", command_id="c")),
                (answered, service.cancel(first.id, command_id="c")),
                (cancelled, service.cancel(second.id, "out", command_id="c")),
                (cancelled, service.respond(second.id, YES, command_id="c")),
            ]
            for there, call in refusals:
                with pytest.raises(ConflictError) as refused:
                    await call
                assert (refused.value.code, refused.value.interrupt) == ("idempotency", there)

    asyncio.run(main())


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_kinds_are_answered_by_their_own_fields(url: str, namespace: str, kind: InterruptKind) -> None:
    """Per kind: the allowed field answers, `data` may go along; another field, or silence, is refused and it waits."""
    allowed = {"clarification": "text", "confirmation": "approved", "agent_review": "decision"}.get(kind.value)
    answers: list[dict[str, Any]] = [{"text": "t"}, {"approved": False}, {"decision": "approve"}, {}]

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            for said in [*answers, *(answer | {"data": {"more": 1}} for answer in answers)]:
                asked = await service.create_interrupt(kind, "r", "u", "s")
                answer = InterruptResponse(**said)
                if allowed is None or allowed in said:
                    answered = await service.respond(asked.id, answer)
                    assert answered is not None
                    assert answered.response == answer
                else:
                    with pytest.raises(ValidationError, match=allowed) as refused:
                        await service.respond(asked.id, answer)
                    field = next((f"response.{name}" for name in said if name != "data"), "response")
                    assert refused.value.field == field
                    await assert_still_waits(service, asked)

    asyncio.run(main())


def test_what_can_not_be_an_answer_is_refused(url: str, namespace: str) -> None:
    """A wrong argument is refused by its name, before anything is written."""
    refused_calls: list[tuple[str, Any, dict[str, Any]]] = [
        ("response", "yes", {}),
        ("response", InterruptResponse(approved=True, data={"a": "x" * 300_000}), {}),
        ("response.approved", InterruptResponse(approved="yes"), {}),  # type: ignore[arg-type]
        ("response.data", InterruptResponse(approved=True, data=[1]), {}),  # type: ignore[arg-type]
        ("response.data", InterruptResponse(approved=True, data={"a": {1, 2}}), {}),
        ("response.data", InterruptResponse(approved=True, data={"a": float("nan")}), {}),
        ("user_id", YES, {"user_id": ""}),
        ("command_id", YES, {"command_id": "c" * 513}),
        ("expected_version", YES, {"expected_version": True}),
    ]

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            for field, response, options in refused_calls:
                with pytest.raises(ValidationError) as refused:
                    await service.respond(asked.id, response, **options)
                assert refused.value.field == field
            await assert_still_waits(service, asked)

    asyncio.run(main())
