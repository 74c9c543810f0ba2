"""Sentinels: the primary is found by its group's name, and found again after a failover, without anybody's help."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from interrupts import InterruptResponse, InterruptStatus, UnavailableError, UnsuitableServerError, connect
from tests.conftest import whole_log
from tests.servers import RedisServer, Sentinel, free_port, wait_until
from tests.test_durability import until_in_step

GROUP = "pauses"
YES = InterruptResponse(approved=True)


@pytest.fixture
def replica(own_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """The replica that will take over."""
    own_server.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    server = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {own_server.port}").start()
    until_in_step(own_server)
    yield server
    server.stop()


@pytest.fixture
def sentinel(own_server: RedisServer, replica: RedisServer, tmp_path: Path) -> Iterator[Sentinel]:
    """A sentinel that knows the primary and its replica."""
    server = Sentinel(tmp_path / "sentinel", GROUP, own_server)
    try:
        server.start()
        wait_until(lambda: bool(server.command("SENTINEL", "REPLICAS", GROUP)), "the sentinel knows the replica")
        yield server
    finally:
        server.stop()


def test_a_service_goes_on_by_itself_after_a_failover(
    own_server: RedisServer, replica: RedisServer, sentinel: Sentinel
) -> None:
    """Primary killed: calls wait for the failover and succeed on the new one, which has all that it was sent."""

    async def main() -> None:
        nobody = free_port()
        url = f"redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{sentinel.port}/{GROUP}"
        async with connect(url, attempt_timeout_s=0.5, call_timeout_s=60) as service:
            before = [await service.create_confirmation("r", "u", f"s{n}", "?") for n in range(50)]
            until_in_step(own_server)
            own_server.kill()
            calls = [service.create_confirmation("r", "u", f"s{n}", "?", idempotency_key="k") for n in range(50)]
            after = await asyncio.gather(*calls)
            answered = await asyncio.gather(*(service.respond(one.id, YES, command_id="c") for one in before))
            assert all(one is not None and one.status is InterruptStatus.RESOLVED for one in answered)
            assert [await service.get_interrupt(one.id) for one in before] == answered
            assert [await service.get_interrupt(one.id) for one in after] == after
            events = await whole_log(service)
            assert len(events) == 150
            for partition in range(service.log.partitions):
                numbers = [event.sequence for event in await service.log.range(partition)]
                assert numbers == list(range(1, len(numbers) + 1))
        info = replica.command("ROLE")
        assert isinstance(info, list)
        assert info[0] == b"master"

    asyncio.run(main())


def test_a_group_that_is_not_known_is_away(sentinel: Sentinel) -> None:
    """A misspelt group: unavailable, nothing written, and the sentence does not blame the network."""

    async def main() -> None:
        with pytest.raises(UnavailableError, match="not known") as away:
            async with connect(f"redis+sentinel://127.0.0.1:{sentinel.port}/another", call_timeout_s=0.2):
                pass
        assert not away.value.may_have_happened

    asyncio.run(main())


def test_a_replica_alone_is_refused_and_sentinels_are_named(replica: RedisServer) -> None:
    """The url of a replica: refused, with the way to find its primary."""

    async def main() -> None:
        with pytest.raises(UnsuitableServerError, match=r"redis\+sentinel://"):
            async with connect(replica.url):
                pass

    asyncio.run(main())
