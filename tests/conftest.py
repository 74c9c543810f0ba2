"""What tests share: a real server for each worker of the run, a store in memory, and services on either."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interrupts import FlowInterrupt, InterruptService, InterruptStatus, RecordedEvent
from tests.servers import Cluster, RedisServer

EXPIRY_TIMEOUT_S = 20.0
PAGE = 1_000

_namespaces = itertools.count()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real server for all tests of this worker; each test has a namespace of its own in it."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests of this worker that need one; they leave its slots where they were."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"t{next(_namespaces)}"


@pytest.fixture(params=["redis", "memory"])
def url(request: pytest.FixtureRequest) -> str:
    """The url of a store: once a real server, once this process's memory. A memory store is named: all connects of
    the test see the same one."""
    if request.param == "memory":
        return f"memory://{request.node.nodeid.replace('/', '_')}"
    server: RedisServer = request.getfixturevalue("shared_server")
    return server.url


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A real server of this test's own, to freeze and kill, with an append-only file."""
    server = RedisServer(tmp_path / "own", "--appendonly", "yes").start()
    yield server
    server.stop()


async def until_expired(service: InterruptService, interrupt_id: str) -> FlowInterrupt:
    """The interrupt once the server's clock has passed its deadline; it is only looked at, nothing is written."""
    give_up_at = time.monotonic() + EXPIRY_TIMEOUT_S
    while True:
        interrupt = await service.get_interrupt(interrupt_id)
        assert interrupt is not None
        if interrupt.status is not InterruptStatus.PENDING:
            return interrupt
        assert time.monotonic() < give_up_at, f"waited {EXPIRY_TIMEOUT_S:g} s in vain: {interrupt_id} expires"


async def whole_log(service: InterruptService) -> list[RecordedEvent]:
    """Every event of the namespace, partition by partition."""
    events: list[RecordedEvent] = []
    for partition in range(service.log.partitions):
        page = await service.log.range(partition, limit=PAGE)
        while page:
            events += page
            page = await service.log.range(partition, after=page[-1].position, limit=PAGE)
    return events


class World:
    """All four ports in one: it notes what it is told, and does on demand what ports should not do."""

    reads_log = False

    def __init__(self, harm: Callable[[str], Awaitable[None] | None] = lambda _port: None) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.harm = harm

    async def _harm(self, port: str) -> None:
        done = self.harm(port)
        if done is not None:
            await done

    async def emit_event(self, event_type: str, data: dict[str, Any], request_id: str | None = None) -> int:
        """The webhook."""
        await self._harm("webhook_service")
        self.told.append(("webhook", event_type, data, request_id))
        return 1

    def record_event(self, name: str, request_id: str, attributes: dict[str, Any] | None = None) -> None:
        """The trace."""
        self.harm("otel_adapter")
        self.told.append(("otel", name, request_id, attributes))

    def get_trace_context(self, request_id: str) -> Any:
        """The trace that everything here runs in."""
        self.harm("trace_context")
        return {"trace_id": f"trace of {request_id}", "span_id": "span"}

    async def insert(self, table: str, data: dict[str, Any]) -> str:
        """The database, for a new row."""
        await self._harm("db")
        self.told.append(("insert", table, data))
        return "1"

    async def update(self, table: str, data: dict[str, Any], where: dict[str, Any]) -> int:
        """The database, for a row's changes."""
        await self._harm("db")
        self.told.append(("update", table, data, where))
        return 1

    async def fetch_one(self, query: str, params: tuple[Any, ...] = ()) -> dict[str, Any] | None:
        """Never called."""
        raise AssertionError(query)

    async def fetch_all(self, query: str, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Never called."""
        raise AssertionError(query)

    def line(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """The logger."""
        self.lines.append((level, event, fields))
        self.harm("logger")

    def debug(self, event: str, **fields: Any) -> None:
        """A line for finding a fault."""
        self.line("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """A refusal."""
        self.line("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What an operator should know."""
        self.line("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """A fault."""
        self.line("error", event, fields)

    def ports(self) -> dict[str, Any]:
        """As `connect` takes them."""
        return {"db": self, "logger": self, "webhook_service": self, "otel_adapter": self}

    def announced(self) -> list[str]:
        """The webhook's event types."""
        return [told[1] for told in self.told if told[0] == "webhook"]
