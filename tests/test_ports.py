"""The ports: webhook, trace, database and logger are told exactly what the contract says, and can't do harm."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from interrupts import (
    ConflictError,
    DatabaseProtocol,
    FlowInterrupt,
    InterruptConfig,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    LoggerProtocol,
    OTelAdapterProtocol,
    UnavailableError,
    WebhookServiceProtocol,
    connect,
)
from tests.conftest import World, until_expired
from tests.servers import RedisServer

YES = InterruptResponse(approved=True)
FAILED = "interrupts.port_failed"
CREATED = {
    InterruptKind.CLARIFICATION: "interrupt.clarification_needed",
    InterruptKind.CONFIRMATION: "interrupt.confirmation_needed",
    InterruptKind.AGENT_REVIEW: "interrupt.agent_review",
    InterruptKind.CHECKPOINT: "interrupt.checkpoint",
    InterruptKind.RESOURCE_EXHAUSTED: "interrupt.resource_exhausted",
    InterruptKind.TIMEOUT: "interrupt.timeout",
    InterruptKind.SYSTEM_ERROR: "interrupt.system_error",
}


async def close(service: InterruptService, interrupt: FlowInterrupt, how: InterruptStatus) -> FlowInterrupt:
    """The interrupt, ended in this way."""
    if how is InterruptStatus.RESOLVED:
        await service.respond(interrupt.id, InterruptResponse(text="t", data={"a": 1}))
    elif how is InterruptStatus.CANCELLED:
        await service.cancel(interrupt.id, "why")
    else:
        await until_expired(service, interrupt.id)
        assert await service.expire_pending() == 1
    closed = await service.get_interrupt(interrupt.id)
    assert closed is not None
    return closed


@pytest.mark.parametrize("kind", list(InterruptKind))
def test_a_creation_is_announced_under_its_kinds_name(kind: InterruptKind, url: str, namespace: str) -> None:
    """Database, trace and webhook are told once each, with the contract's names and the whole interrupt."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, **world.ports()) as service:
            created = await service.create_interrupt(kind, "r", "u", "s", message="m", data={"a": [1]})
            assert (created.trace_id, created.span_id) == ("trace of r", "span")
            attributes = {"interrupt_id": created.id, "kind": kind.value, "status": "pending", "session_id": "s"}
            noted = ("otel", "interrupt.created", "r", attributes | {"user_id": "u", "version": 1})
            announced = ("webhook", CREATED[kind], created.to_dict(), "r")
            assert world.told == [("insert", "flow_interrupts", created.to_db_row()), noted, announced]
            assert FlowInterrupt.from_db_row(world.told[0][2]) == created
            assert [line[:2] for line in world.lines] == [("debug", "interrupt.created")]

    asyncio.run(main())


@pytest.mark.parametrize("how", [InterruptStatus.RESOLVED, InterruptStatus.CANCELLED, InterruptStatus.EXPIRED])
def test_an_end_is_announced_under_its_own_name(how: InterruptStatus, url: str, namespace: str) -> None:
    """Every sort of end: one update of the row, one event in the trace, one webhook; then the row is the interrupt."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, **world.ports()) as service:
            ttl = timedelta(milliseconds=1 if how is InterruptStatus.EXPIRED else 3_600_000)
            created = await service.create_clarification("r", "u", "s", "?", ttl=ttl)
            row = world.told[0][2]
            world.told.clear()
            closed = await close(service, created, how)
            assert closed.status is how
            updated, noted, announced = world.told
            assert (*updated[:2], updated[3]) == ("update", "flow_interrupts", {"id": created.id})
            assert FlowInterrupt.from_db_row(row | updated[2]) == closed
            assert noted[:3] == ("otel", f"interrupt.{how.value}", "r")
            assert announced == ("webhook", f"interrupt.{how.value}", closed.to_dict(), "r")

    asyncio.run(main())


@pytest.mark.parametrize("late_command", ["respond", "cancel"])
def test_an_expiry_found_by_a_late_command_is_announced_once(url: str, namespace: str, late_command: str) -> None:
    """Whoever writes the expiry down announces it, also somebody who came too late; nobody else does."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, **world.ports()) as service:
            created = await service.create_confirmation("r", "u", "s", "?", ttl=timedelta(milliseconds=1))
            await until_expired(service, created.id)
            for _ in range(2):
                late = service.respond(created.id, YES) if late_command == "respond" else service.cancel(created.id)
                with pytest.raises(ConflictError):
                    await late
            assert await service.expire_pending() == 0
            assert world.announced() == ["interrupt.confirmation_needed", "interrupt.expired"]

    asyncio.run(main())


def test_a_repetition_announces_nothing(url: str, namespace: str) -> None:
    """The same key or command id again, also at once, is no news; nor is a refusal, or an unknown id."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, **world.ports()) as service:
            for _ in range(3):
                created = await service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
                await asyncio.gather(*(service.respond(created.id, YES, command_id="c") for _ in range(5)))
                with pytest.raises(ConflictError):
                    await service.cancel(created.id)
                assert await service.cancel("0" * 32) is None
            assert world.announced() == ["interrupt.confirmation_needed", "interrupt.resolved"]
            assert len(world.told) == 6
            levels = [level for level, *_ in world.lines]
            assert (levels.count("debug"), levels.count("info"), len(levels)) == (2, 3, 5)

    asyncio.run(main())


def test_a_configured_name_is_announced_instead(url: str, namespace: str) -> None:
    """`webhook_event` of a kind's configuration stands instead of the kind's name, unless left at its default."""
    world = World()
    ours = InterruptConfig(webhook_event="ours.timeout")
    configs = {InterruptKind.TIMEOUT: ours, InterruptKind.CHECKPOINT: InterruptConfig()}

    async def main() -> None:
        async with connect(url, namespace=namespace, configs=configs, **world.ports()) as service:
            await service.create_interrupt(InterruptKind.TIMEOUT, "r", "u", "s")
            await service.create_interrupt(InterruptKind.CHECKPOINT, "r", "u", "s")
            assert world.announced() == ["ours.timeout", "interrupt.checkpoint"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("port", "harm"),
    [
        *((port, harm) for port in ("webhook_service", "db") for harm in ("raises", "hangs")),
        *((port, "raises") for port in ("otel_adapter", "trace_context", "logger")),
        ("webhook_service", "is no coroutine and raises"),
    ],
)
def test_a_harmful_port_fails_no_call(
    url: str, namespace: str, port: str, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that raises or hangs: the call succeeds, the other ports are told, and the logger hears of it."""
    monkeypatch.setattr("interrupts.ports.PORT_TIMEOUT_S", 0.02)

    def do_harm(to: str) -> Any:
        if to == port and harm == "hangs":
            return asyncio.Event().wait()
        if to == port:
            raise RuntimeError("harm")
        return None

    world = World(do_harm)
    if "no coroutine" in harm:
        monkeypatch.setattr(world, "emit_event", lambda event_type, data: None)

    async def main() -> None:
        async with connect(url, namespace=namespace, **world.ports()) as service:
            created = await service.create_confirmation("r", "u", "s", "?")
            answered = await service.respond(created.id, YES)
            assert answered == await service.get_interrupt(created.id) != created
            told = {"webhook_service": "webhook", "db": "insert", "otel_adapter": "otel"}
            assert {kind for kind, *_ in world.told} >= {"webhook", "insert", "otel"} - {told.get(port)}
            failed = [fields for level, event, fields in world.lines if (level, event) == ("error", FAILED)]
            assert {fields["port"] for fields in failed} == {"otel_adapter" if port == "trace_context" else port}
            assert all(fields["request_id"] == "r" and fields["error"] for fields in failed)

    asyncio.run(main())


def test_a_port_that_reads_the_log_is_not_called() -> None:
    """With `reads_log = True` a port learns from the log, and would otherwise hear everything twice."""
    world = World()
    world.reads_log = True

    async def main() -> None:
        service = InterruptService(**world.ports())
        await service.cancel((await service.create_checkpoint("r", "u", "s")).id)
        assert world.told == []

    asyncio.run(main())


def test_nothing_is_printed_unless_asked_for(
    url: str, namespace: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """At the default level no outcome and no refusal prints a line; at DEBUG each has one, refusals at INFO."""

    async def pause(service: InterruptService) -> None:
        created = await service.create_confirmation("r", "u", "s", "?")
        await service.respond(created.id, YES)
        with pytest.raises(ConflictError):
            await service.respond(created.id, YES)
        await service.get_interrupt(created.id)

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            await pause(service)
            assert caplog.records == []
            caplog.set_level(logging.DEBUG, "interrupts")
            await pause(service)
            lines = [(record.levelname, record.getMessage().partition(" ")[0]) for record in caplog.records]
            outcomes = [("DEBUG", "event='interrupt.created'"), ("DEBUG", "event='interrupt.resolved'")]
            assert lines == [*outcomes, ("INFO", "event='interrupt.refused'")]

    asyncio.run(main())
    assert capfd.readouterr() == ("", "")


def test_a_fault_is_an_error_in_the_log(own_server: RedisServer) -> None:
    """A server that is away is not a refusal: the line is an error, and names the command."""
    world = World()

    async def main() -> None:
        async with connect(own_server.url, logger=world, call_timeout_s=0.1) as service:
            own_server.kill()
            with pytest.raises(UnavailableError):
                await service.create_confirmation("r", "u", "s", "?")

    asyncio.run(main())
    (line,) = world.lines
    assert line[:2] == ("error", "interrupt.failed")
    assert (line[2]["command"], line[2]["error"]) == ("create", "UnavailableError")


def test_the_ports_are_told_apart_at_run_time() -> None:
    """isinstance works with the protocols, for what fits and for what does not."""
    for protocol in (WebhookServiceProtocol, OTelAdapterProtocol, DatabaseProtocol, LoggerProtocol):
        assert isinstance(World(), protocol)
        assert not isinstance(object(), protocol)
