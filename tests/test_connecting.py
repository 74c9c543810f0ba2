"""Connecting: what a url may say, what is chosen without one, and which servers are refused."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
import uvloop

from interrupts import UnsuitableServerError, ValidationError, connect
from interrupts.store.requirements import check_server
from interrupts.store.server import Durability
from interrupts.store.urls import parse
from tests.conftest import World, whole_log
from tests.servers import RedisServer, free_port

SECRET = "s3cr3t"
REDIS = {"redis_version": "7.0.0", "maxmemory_policy": "noeviction", "role": "master"}


@pytest.mark.parametrize(
    ("url", "sort", "kind", "expected"),
    [
        ("redis://h", "fixed", "tcp", {"host": "h"}),
        ("redis://u:p%2Fw@h:7000/3", "fixed", "tcp", {"username": "u", "password": "p/w", "port": 7000, "db": 3}),
        ("redis://[::1]:7000", "fixed", "tcp", {"host": "::1", "port": 7000}),
        ("redis://h?password=p&db=2", "fixed", "tcp", {"password": "p", "db": 2}),
        ("rediss://h:7000?ssl_cert_reqs=none", "fixed", "tls", {"ssl_cert_reqs": "none"}),
        ("unix:///a/redis.sock", "fixed", "unix", {"path": "/a/redis.sock"}),
        ("unix://u:p@/a/redis.sock?db=4", "fixed", "unix", {"path": "/a/redis.sock", "password": "p", "db": 4}),
        ("redis+cluster://a,[::1]:7001", "cluster", "tcp", {"addresses": (("a", 6379), ("::1", 7001))}),
        ("rediss+cluster://u:p@a:7000/0", "cluster", "tls", {"username": "u", "password": "p"}),
        ("redis+sentinel://:p@a,b:7001/group/5", "sentinel", "tcp", {"password": "p", "db": 5, "name": "group"}),
        ("rediss+sentinel://a,b:1/group", "sentinel", "tls", {"addresses": (("a", 26379), ("b", 1)), "name": "group"}),
        ("embedded://./some%20folder", "embedded", "unix", {"name": "some folder"}),
        ("memory://", "memory", "tcp", {"name": ""}),
        ("memory://name", "memory", "tcp", {"name": "name"}),
    ],
)
def test_urls_of_all_sorts_are_read(url: str, sort: str, kind: str, expected: dict[str, Any]) -> None:
    """Each sort of url gives its target, its sort of connection, its options, addresses and name."""
    target = parse(url)
    assert (target.sort, target.kind) == (sort, kind)
    seen = target.options | {"addresses": target.addresses, "name": target.name}
    assert {name: seen.get(name) for name in expected} == expected
    if sort in ("cluster", "sentinel"):
        assert not {"host", "port"} & target.options.keys()


@pytest.mark.parametrize(
    "url",
    [
        *("", "redis", "localhost:6379", "http://h", f"redis:{SECRET}@h", "embedded://", f"{SECRET}"),
        *(f"redis://:{SECRET}@h:port", f"redis://h?password=a@{SECRET}&db=x", f"redis://:{SECRET}/x@h:1"),
        *("redis+cluster://", "redis+cluster://h:0", "redis+cluster://h:65536", "redis+cluster://h:1,"),
        *(f"redis+cluster://:{SECRET}@h:1/7", f"redis+cluster://:{SECRET}/x@h:1", f"redis+cluster://:{SECRET}#x@h:1"),
        *(f"redis+cluster://u:{SECRET}[x@h:1", f"redis+cluster://:{SECRET}@h:99999", f"redis+cluster://h/{SECRET}@"),
        *("redis+sentinel://h", f"redis+sentinel://:{SECRET}?x@h/group", f"redis+sentinel://h?password={SECRET}"),
        *(f"redis+sentinel://:{SECRET}@h:1/group/x", f"rediss+sentinel://[{SECRET}/group", "redis://h/x"),
        *(None, 7, b"redis://h"),
    ],
    ids=repr,
)
def test_a_url_that_can_not_be_read_is_refused_without_its_secrets(url: Any) -> None:
    """The refusal names the sorts of url there are; of the url it shows nothing that could be a password."""
    with pytest.raises(ValidationError, match="memory://") as refused:
        parse(url)
    assert refused.value.field == "url"
    assert SECRET not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_an_option_that_no_connection_has_is_refused(shared_server: RedisServer) -> None:
    """A misspelt option of a url is an error about the url, not one from the depths."""

    async def main() -> None:
        with pytest.raises(ValidationError) as refused:
            async with connect(f"{shared_server.url}?pasword={SECRET}"):
                pass
        assert refused.value.field == "url"
        assert SECRET not in str(refused.value)

    asyncio.run(main())


def test_the_default_url_is_the_environments(monkeypatch: pytest.MonkeyPatch, shared_server: RedisServer) -> None:
    """INTERRUPTS_REDIS_URL comes first, and is said to nobody."""
    monkeypatch.setenv("INTERRUPTS_REDIS_URL", f"{shared_server.url}/1")
    world = World()

    async def main() -> None:
        async with connect(logger=world, namespace="by-environment") as service:
            await service.create_checkpoint("r", "u", "s")
        async with connect(f"{shared_server.url}/1", namespace="by-environment") as service:
            assert len(await whole_log(service)) == 1

    asyncio.run(main())
    assert [line for line in world.lines if line[0] != "debug"] == []


def test_without_a_url_and_without_a_server_it_is_memory_and_said_aloud(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No variable, no redis-server on the PATH: this process's memory, with a warning that says so and why."""
    monkeypatch.delenv("INTERRUPTS_REDIS_URL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert shutil.which("redis-server") is None
    world = World()

    async def main() -> None:
        async with connect(logger=world) as service:
            assert await service.create_checkpoint("r", "u", "s")

    asyncio.run(main())
    (line,) = [line for line in world.lines if line[0] != "debug"]
    assert line[:2] == ("warning", "interrupts.in_memory")
    assert "INTERRUPTS_REDIS_URL" in line[2]["because"]
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_partitions_is_the_namespaces(url: str, namespace: str) -> None:
    """It is settled once; None and the same number take what is there, another is refused with a sentence."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=5) as service:
            assert service.log.partitions == 5
        for right in (None, 5):
            async with connect(url, namespace=namespace, partitions=right) as service:
                assert service.log.partitions == 5
        with pytest.raises(ValidationError, match=r"was made with 5, not 16, .* Leave partitions out") as refused:
            async with connect(url, namespace=namespace, partitions=16):
                pass
        assert refused.value.field == "partitions"
        async with connect(url, namespace=f"{namespace}-another") as service:
            assert service.log.partitions == 16

    asyncio.run(main())


@pytest.mark.parametrize(
    ("field", "options"),
    [
        *(("namespace", {"namespace": wrong}) for wrong in ("", "a b", "{a}", "-a", "a" * 200, None, "ü")),
        *(("partitions", {"partitions": wrong}) for wrong in (0, -1, 1025, 1.0, True, "4")),
        *(("attempt_timeout_s", {"attempt_timeout_s": wrong}) for wrong in (0, -1, float("nan"), "1")),
        *((name, {name: 0}) for name in ("replicas", "durability", "call_timeout_s", "payload_bytes_max")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_arguments_that_can_not_be_meant_are_refused(field: str, options: dict[str, Any]) -> None:
    """Refused before anything is connected, by a sentence that begins with the argument."""

    async def main() -> None:
        with pytest.raises(ValidationError, match=f"^{field}: "):
            async with connect(f"redis://127.0.0.1:{free_port()}", **options):
                pass

    asyncio.run(main())


def test_namespaces_do_not_see_each_other(url: str, namespace: str) -> None:
    """The same session in two namespaces of one server: two logs, and no id leads from one to the other."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=f"{namespace}.b") as two:
            first = await one.create_checkpoint("r", "u", "s", idempotency_key="k")
            assert await two.get_interrupt(first.id) is None
            second = await two.create_checkpoint("r2", "u", "s", idempotency_key="k")
            assert second.request_id == "r2"
            assert (len(await whole_log(one)), len(await whole_log(two))) == (1, 1)

    asyncio.run(main())


def test_a_store_in_memory_is_private_unless_it_has_a_name() -> None:
    """`memory://` is the connection's own; `memory://name` is shared by all connects of the process."""

    async def main() -> None:
        for url, shared in (("memory://", False), ("memory://test_connecting", True)):
            async with connect(url) as one, connect(url) as two:
                created = await one.create_checkpoint("r", "u", "s")
                assert (await two.get_interrupt(created.id) == created) is shared

    asyncio.run(main())


@pytest.mark.parametrize(
    ("info", "fit"),
    [
        ({}, True),
        ({"redis_version": "7.4.1"}, True),
        ({"redis_version": "10.0.0"}, True),
        ({"redis_version": "6.2.14"}, False),
        ({"redis_version": ""}, False),
        ({"server_name": "valkey", "valkey_version": "7.2.5", "redis_version": "7.2.4"}, True),
        ({"server_name": "valkey", "valkey_version": "9.0.0", "redis_version": "7.2.4"}, True),
        ({"server_name": "valkey", "valkey_version": "7.1.9", "redis_version": "7.2.4"}, False),
        *(({"maxmemory_policy": policy}, False) for policy in ("allkeys-lru", "volatile-ttl")),
        ({"role": "slave"}, False),
    ],
    ids=str,
)
def test_a_server_is_looked_at_before_it_is_trusted(info: dict[str, str], fit: bool) -> None:
    """Versions of Redis and Valkey, an evicting policy, a replica: refused with the address and what to do."""
    if fit:
        check_server(REDIS | info, "host:1")
        return
    with pytest.raises(UnsuitableServerError, match=r"The server at host:1 .*\. (Upgrade|Set|Give)"):
        check_server(REDIS | info, "host:1")


def test_unfit_servers_are_refused_when_connecting(own_server: RedisServer) -> None:
    """An evicting server, one without an append-only file for `fsynced`, a replica: each when the block begins."""
    cases: list[tuple[str, Durability, str]] = [
        ("CONFIG SET appendonly no", "fsynced", "append-only"),
        ("CONFIG SET maxmemory-policy allkeys-lru", "memory", "noeviction"),
        ("CONFIG SET maxmemory-policy noeviction", "fsynced", "append-only"),
        (f"REPLICAOF 127.0.0.1 {free_port()}", "memory", "primary"),
    ]

    async def main() -> None:
        for change, durability, said in cases:
            own_server.command(*change.split())
            with pytest.raises(UnsuitableServerError, match=said) as refused:
                async with connect(own_server.url, durability=durability):
                    pass
            assert f"127.0.0.1:{own_server.port}" in str(refused.value)

    asyncio.run(main())


def test_it_works_through_a_unix_socket_and_under_uvloop(tmp_path: Path, url: str, namespace: str) -> None:
    """Another sort of socket and another event loop make no difference."""
    server = RedisServer(tmp_path / "unix", "--unixsocket", f"{tmp_path}/s").start()

    async def main() -> None:
        for where in (url, f"unix://{tmp_path}/s"):
            async with connect(where, namespace=namespace) as service:
                created = await service.create_checkpoint("r", "u", "s")
                assert await service.get_interrupt(created.id) == created

    try:
        asyncio.run(main())
        uvloop.run(main())
    finally:
        server.stop()
