"""What tests share: a real server for each worker of the run, a store in memory, and services on either."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import RedisServer

_namespaces = itertools.count()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real server for all tests of this worker; each test has a namespace of its own in it."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


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
