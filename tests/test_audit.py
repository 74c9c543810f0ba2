"""The audit of an earlier attempt found thirteen faults. Each test here is named after one, and shows it absent.

Two of them wait for the work they belong to:

- 7, a new service for every request: in `connect` any number of services share one store, as shown here; that the HTTP
  gateway makes one for its life can be shown when there is a gateway.
- 11, names of stages in what resumes a pipeline: nothing here resumes anything, it only tells. It can be shown of the
  handlers that will.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from interrupts import (
    DEFAULT_INTERRUPT_CONFIGS,
    ConflictError,
    FlowInterrupt,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    connect,
    connect_blocking,
)
from interrupts.config import WEBHOOK_EVENT_OF_KIND
from tests.conftest import World, until_expired
from tests.servers import RedisServer

ROOT = Path(__file__).parent.parent
SOURCES = [path for folder in ("interrupts", "projections", "workers") for path in (ROOT / folder).rglob("*.py")]
DROPPED = re.compile("pending_(confirmations|clarifications)")
YES = InterruptResponse(approved=True, data={"more": {"a": [1, None, "ü"]}})


async def every_end(service: InterruptService) -> dict[InterruptStatus, FlowInterrupt]:
    """An interrupt in each status, with every field set that a caller can set, as the service returns it."""
    ended: dict[InterruptStatus, FlowInterrupt] = {}
    for status in InterruptStatus:
        asked = await service.create_interrupt(
            InterruptKind.CONFIRMATION,
            "r",
            "u",
            "s",
            envelope_id="e",
            question="q",
            message="m",
            data={"active_stages": {"a": True}, "completed": ["b"], "failed": {}, "dag_mode": True},
            ttl=timedelta(milliseconds=1) if status is InterruptStatus.EXPIRED else None,
            response_schema={"type": "object"},
        )
        if status is InterruptStatus.RESOLVED:
            await service.respond(asked.id, YES, actor="bot")
        elif status is InterruptStatus.CANCELLED:
            await service.cancel(asked.id, "why")
        elif status is InterruptStatus.EXPIRED:
            await until_expired(service, asked.id)
            await service.expire_pending()
        now = await service.get_interrupt(asked.id)
        assert now is not None
        assert now.status is status
        ended[status] = now
    return ended


def test_01_no_kind_is_missing_or_stored_as_another(url: str, namespace: str) -> None:
    """All seven kinds of the contract, and the old name of one, are stored and read as themselves."""
    names = "clarification confirmation agent_review checkpoint resource_exhausted timeout system_error critic_review"

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            for name in names.split():
                created = await service.create_interrupt(name, "r", "u", "s")
                kind = "agent_review" if name == "critic_review" else name
                read = await service.get_interrupt(created.id)
                assert read is not None
                assert (created.kind.value, read.kind.value) == (kind, kind)
                (event,) = await service.history(created.id)
                assert event.to_dict()["kind"] == kind

    asyncio.run(main())


def test_02_no_field_is_lost_on_the_way_to_another_language(url: str, namespace: str) -> None:
    """The dict that goes out as JSON has every field of the contract, and comes back as the same interrupt."""
    contract = "id kind request_id user_id session_id envelope_id question message data response status created_at"
    contract += " expires_at resolved_at trace_id span_id"

    async def main() -> None:
        async with connect(url, namespace=namespace, otel_adapter=World()) as service:
            for interrupt in (await every_end(service)).values():
                sent = json.loads(json.dumps(interrupt.to_dict()))
                assert sent.keys() >= set(contract.split())
                assert FlowInterrupt.from_dict(sent) == interrupt
                assert interrupt.trace_id == "trace of r"

    asyncio.run(main())


def test_03_nothing_is_stored_that_nobody_reads(shared_server: RedisServer, namespace: str) -> None:
    """After a full life the server holds the keys of the design and no other, and deadlines only of what waits."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace) as service:
            ended = await every_end(service)
            with shared_server.client() as client:
                keys = {key.decode() for key in client.scan_iter(match=f"{{{namespace}*", count=1_000)}
            names = service._log.keys
            partition = service.log.partition_of("s")
            interrupts = {names.interrupt(interrupt.id) for interrupt in ended.values()}
            assert keys == {f"{{{namespace}}}:meta", names.logs[partition], names.deadlines[partition], *interrupts}
            waits = shared_server.command("ZRANGE", names.deadlines[partition], 0, -1)
            assert waits == [ended[InterruptStatus.PENDING].id.encode()]

    asyncio.run(main())


def test_04_no_method_of_the_service_is_untested() -> None:
    """Every public method is called by some test of this folder."""
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    methods = [name for name, _ in inspect.getmembers(InterruptService, inspect.isfunction) if name[0] != "_"]
    methods.remove("aclose")  # called by every block of `connect`
    assert [name for name in methods if f".{name}(" not in tests] == []


def test_05_no_source_names_a_table_that_is_gone() -> None:
    """The only table that is written to is flow_interrupts, and no source speaks of the dropped ones."""
    assert [path.name for path in SOURCES if DROPPED.search(path.read_text())] == []
    named = {name for path in SOURCES for name in re.findall(r"TABLE\b.*= \"(\w+)\"", path.read_text())}
    assert named == {"flow_interrupts"}


def test_06_no_table_by_kind_is_incomplete() -> None:
    """Whatever is looked up by kind has all kinds: configurations, webhook names, creators."""
    kinds = set(InterruptKind)
    assert kinds == DEFAULT_INTERRUPT_CONFIGS.keys() == WEBHOOK_EVENT_OF_KIND.keys()
    assert len(set(WEBHOOK_EVENT_OF_KIND.values())) == len(kinds)
    assert all(hasattr(InterruptService, f"create_{kind.value}") for kind in kinds)


def test_07_services_made_anew_share_their_store(url: str, namespace: str) -> None:
    """A service made for each call sees what another one stored, also in memory."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await service.create_confirmation("r", "u", "s", "?")
        async with connect(url, namespace=namespace) as service:
            answered = await service.respond(asked.id, YES)
        async with connect(url, namespace=namespace) as service:
            assert await service.get_interrupt(asked.id) == answered

    asyncio.run(main())


def test_08_the_store_in_memory_is_safe_between_threads_and_tasks(namespace: str) -> None:
    """Threads and tasks that create and answer at once: nothing is lost, and each interrupt has one end."""

    def work(thread: int) -> int:
        won = 0
        for number in range(25):
            asked = service.create_confirmation("r", "u", f"s{number}", "?", idempotency_key="one for all threads")
            with suppress(ConflictError):
                won += service.respond(asked.id, YES, actor=f"t{thread}") is not None
        return won

    with connect_blocking(f"memory://{namespace}-threads") as service, ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 25
        logged = [event for partition in range(service.log.partitions) for event in service.log.range(partition)]
        assert len(logged) == 50


def test_09_no_test_is_left_of_something_that_is_gone() -> None:
    """Everything that the tests import from our packages exists."""
    packages = {"interrupts", "projections", "workers", "benchmarks", "tests"}
    for path in (ROOT / "tests").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] in packages:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    found = hasattr(module, alias.name) or importlib.import_module(f"{node.module}.{alias.name}")
                    assert found, f"{path.name}: {node.module}.{alias.name}"


def test_10_the_database_is_spoken_to_through_its_protocol_only(url: str, namespace: str) -> None:
    """A whole life with expiry: rows are inserted and updated by name, and no query is ever written."""
    world = World()  # its fetch_one and fetch_all fail the test

    async def main() -> None:
        async with connect(url, namespace=namespace, db=world) as service:
            await every_end(service)
            inserts_and_updates = ["insert", *["insert", "update"] * 3]
            assert [told[0] for told in world.told] == inserts_and_updates
            assert {told[1] for told in world.told} == {"flow_interrupts"}

    asyncio.run(main())


def test_12_what_is_written_out_is_read_back_whole(url: str, namespace: str) -> None:
    """Dicts and rows are exact inverses, in every status, with everything that a pipeline left in `data`."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            for interrupt in (await every_end(service)).values():
                assert FlowInterrupt.from_db_row(interrupt.to_db_row()) == interrupt
                assert FlowInterrupt.from_dict(interrupt.to_dict()) == interrupt
                if interrupt.response is not None:
                    assert InterruptResponse.from_dict(interrupt.response.to_dict()) == interrupt.response == YES

    asyncio.run(main())


@pytest.mark.parametrize("end", [status for status in InterruptStatus if status is not InterruptStatus.PENDING])
def test_13_no_transition_leads_out_of_an_end(url: str, namespace: str, end: InterruptStatus) -> None:
    """Whatever has ended stays as it ended: by command, and for an append that says otherwise to the log itself."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            ended = (await every_end(service))[end]
            calls: list[Any] = [service.respond(ended.id, YES), service.cancel(ended.id)]
            for call in calls:
                with pytest.raises(ConflictError) as refused:
                    await call
                assert (refused.value.code, refused.value.interrupt) == (end.value, ended)
            assert await service.expire_pending() == 0
            guards = [f"{version} {guard} r" for version in (0, 1, 3) for guard in ("open", "due", "any")]
            for terms in ("new", *guards, "2 due e"):
                refusal = await service._log.append(ended.id, b"[]", terms)
                assert (refusal.sequence, refusal.stream_id) == (0, "")
            assert await service.get_interrupt(ended.id) == ended

    asyncio.run(main())
