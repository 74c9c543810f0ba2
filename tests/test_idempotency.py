"""Idempotency keys: the same request again, however often and however worded, is the same interrupt and one event."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interrupts import (
    ConflictError,
    FlowInterrupt,
    InterruptConfig,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    connect,
)
from tests.conftest import until_expired, whole_log

ASKED: dict[str, Any] = {
    "kind": InterruptKind.AGENT_REVIEW,
    "request_id": "r",
    "user_id": "u",
    "session_id": "s",
    "envelope_id": "e",
    "question": "q",
    "message": "m",
    "data": {"a": {"x": 1, "y": [2, {"p": None, "q": "ü"}]}, "b": 2},
    "ttl": timedelta(seconds=90),
    "auto_expire": True,
    "allowed_responses": ["decision", "text"],
    "response_schema": {"type": "object", "required": ["text"]},
    "idempotency_key": "k",
}
SAID_DIFFERENTLY: list[dict[str, Any]] = [
    {},
    {"data": {"b": 2, "a": {"y": [2, {"q": "ü", "p": None}], "x": 1}}},
    {"response_schema": {"required": ["text"], "type": "object"}},
    {"ttl": None, "ttl_seconds": 90},
    {"ttl": None, "ttl_seconds": 90.0},
    {"ttl": timedelta(minutes=1.5)},
    {"kind": "agent_review"},
    {"kind": "critic_review"},
    {"allowed_responses": ("decision", "text")},
]
OTHER_BODIES: list[dict[str, Any]] = [
    {"kind": InterruptKind.CHECKPOINT},
    {"request_id": "r2"},
    {"user_id": "u2"},
    {"envelope_id": None},
    {"question": None},
    {"message": "M"},
    {"data": {}},
    {"data": {"a": {"x": 1, "y": [2, {"p": None, "q": "ü"}]}, "b": 3}},
    {"ttl": timedelta(seconds=91)},
    {"ttl": None},
    {"auto_expire": False},
    {"auto_expire": None},
    {"allowed_responses": ["decision"]},
    {"response_schema": {}},
    {"response_schema": None},
]


async def ask(service: InterruptService, **otherwise: Any) -> FlowInterrupt:
    """The one request of these tests, or another wording of it."""
    return await service.create_interrupt(**(ASKED | otherwise))


@pytest.mark.parametrize("wording", SAID_DIFFERENTLY, ids=str)
def test_the_same_request_again_is_the_same_interrupt(url: str, namespace: str, wording: dict[str, Any]) -> None:
    """However a caller words it, the same request under the same key is one event and one interrupt."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as another:
            first = await ask(service)
            assert await ask(service, **wording) == first
            assert await ask(another, **wording) == first
            assert [event.interrupt_id for event in await whole_log(service)] == [first.id]

    asyncio.run(main())


@pytest.mark.parametrize("body", OTHER_BODIES, ids=str)
def test_another_body_under_the_same_key_is_refused(url: str, namespace: str, body: dict[str, Any]) -> None:
    """A key stands for one request: another is a conflict that shows what the key belongs to, and writes nothing."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            first = await ask(service)
            with pytest.raises(ConflictError) as refused:
                await ask(service, **body)
            assert (refused.value.code, refused.value.interrupt) == ("idempotency", first)
            assert len(await whole_log(service)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("end", list(InterruptStatus))
def test_a_retry_gives_the_interrupt_as_it_now_is(url: str, namespace: str, end: InterruptStatus) -> None:
    """A retry after it was closed gives the closed interrupt; it neither opens it again nor makes another."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            ttl = timedelta(milliseconds=1 if end is InterruptStatus.EXPIRED else 3_600_000)
            first = await ask(service, ttl=ttl, response_schema=None)
            if end is InterruptStatus.RESOLVED:
                await service.respond(first.id, InterruptResponse(text="yes"))
            elif end is InterruptStatus.CANCELLED:
                await service.cancel(first.id, "why")
            elif end is InterruptStatus.EXPIRED:
                await until_expired(service, first.id)
            again = await ask(service, ttl=ttl, response_schema=None)
            assert again == await service.get_interrupt(first.id)
            assert again.status is end
            assert len([event for event in await whole_log(service) if event.version == 1]) == 1

    asyncio.run(main())


def test_the_refusal_shows_the_interrupt_as_it_now_is(url: str, namespace: str) -> None:
    """Another body under the key of an overdue interrupt: the conflict shows it as expired, as get does."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            late = await until_expired(service, (await ask(service, ttl=timedelta(milliseconds=1))).id)
            with pytest.raises(ConflictError) as refused:
                await ask(service)
            assert (refused.value.code, refused.value.interrupt) == ("idempotency", late)
            assert late.status is InterruptStatus.EXPIRED

    asyncio.run(main())


def test_a_key_belongs_to_its_session(url: str, namespace: str) -> None:
    """The same key in another session is another interrupt, whatever the body."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            first, second, third = [await ask(service, session_id=session) for session in ("s", "s2", "s3")]
            assert len({first.id, second.id, third.id}) == 3
            assert await ask(service, session_id="s2") == second
            assert len(await whole_log(service)) == 3

    asyncio.run(main())


def test_without_a_key_every_request_is_a_new_interrupt(url: str, namespace: str) -> None:
    """Equal requests without a key are different pauses."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            created = [await ask(service, idempotency_key=None) for _ in range(3)]
            assert len({interrupt.id for interrupt in created}) == len(await whole_log(service)) == 3

    asyncio.run(main())


def test_two_hundred_concurrent_creates_with_one_key_are_one(url: str, namespace: str) -> None:
    """Concurrent retries from several services meet in one event, and all get the same interrupt."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            created = await asyncio.gather(*(ask(service) for service in [one, two] * 100))
            assert all(interrupt == created[0] for interrupt in created)
            assert [event.interrupt_id for event in await whole_log(one)] == [created[0].id]

    asyncio.run(main())


def test_concurrent_creates_with_one_key_and_two_bodies_have_one_winner(url: str, namespace: str) -> None:
    """Of two bodies under one key one wins, and everybody with the other body is told so."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            calls = (ask(service, message=f"m{number % 2}") for number in range(100))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            (won,) = {outcome.message for outcome in outcomes if isinstance(outcome, FlowInterrupt)}
            lost = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
            assert len(lost) == 50
            assert all(loser.interrupt is not None and loser.interrupt.message == won for loser in lost)
            assert len(await whole_log(service)) == 1

    asyncio.run(main())


def test_a_changed_configuration_does_not_make_another_request(url: str, namespace: str) -> None:
    """A retry after a deployment with other defaults is still the same request; the first terms stand."""

    async def main() -> None:
        asked = {"ttl": None, "auto_expire": None, "allowed_responses": None, "response_schema": None}
        async with connect(url, namespace=namespace) as service:
            first = await ask(service, **asked)
        configs = {InterruptKind.AGENT_REVIEW: InterruptConfig(timedelta(days=9), allowed_responses=["text"])}
        async with connect(url, namespace=namespace, configs=configs) as service:
            again = await ask(service, **asked)
            assert again == first
            assert again.allowed_responses == ["decision"]

    asyncio.run(main())


def test_another_trace_does_not_make_another_request(url: str, namespace: str) -> None:
    """A retry runs in a trace of its own, and is still the same request; the first trace stands."""

    class Tracing:
        """A new trace each time it is asked."""

        traces = 0

        def record_event(self, name: str, request_id: str, attributes: dict[str, Any] | None = None) -> None:
            """Nothing."""

        def get_trace_context(self, request_id: str) -> dict[str, str]:
            """Another one than before."""
            self.traces += 1
            return {"trace_id": f"trace-{self.traces}", "span_id": f"span-{self.traces}"}

    async def main() -> None:
        async with connect(url, namespace=namespace, otel_adapter=Tracing()) as service:
            first = await ask(service)
            assert (first.trace_id, first.span_id) == ("trace-1", "span-1")
            assert await ask(service) == first

    asyncio.run(main())
