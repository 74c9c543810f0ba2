"""Durability: what a write waits for before it counts as done, and what is said when that does not come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from interrupts import (
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    NotConfirmedError,
    UnsuitableServerError,
    ValidationError,
    connect,
)
from interrupts.store.server import Durability
from tests.conftest import World, whole_log
from tests.servers import RedisServer, wait_until

YES = InterruptResponse(approved=True)
TIMEOUT_S = 0.2


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("requirements", "server"):
        monkeypatch.setattr(f"interrupts.store.{module}.DURABILITY_TIMEOUT_S", TIMEOUT_S)


@pytest.fixture
def replica(own_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A replica of the test's own server, in step with it."""
    own_server.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    server = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {own_server.port}").start()
    until_in_step(own_server)
    yield server
    server.stop()


def until_in_step(primary: RedisServer, replicas: int = 1) -> None:
    """Waits until the primary has heard of everything it wrote from so many replicas."""

    def acknowledged() -> bool:
        with primary.client() as client:
            client.set("in step", 1)
            return int(client.wait(replicas, 100)) >= replicas

    wait_until(acknowledged, "the replicas are in step")


def test_a_replicated_write_is_confirmed(own_server: RedisServer, replica: RedisServer) -> None:
    """With its replica there, every command succeeds, and the replica has it when the call returns."""

    async def main() -> None:
        async with connect(own_server.url, durability="replicated") as service:
            asked = await service.create_confirmation("r", "u", "s", "?")
            key = service._log.keys.interrupt(asked.id)
            assert replica.command("GET", key) == own_server.command("GET", key)
            answered = await service.respond(asked.id, YES)
            assert replica.command("GET", key) == own_server.command("GET", key)
            assert await service.get_interrupt(asked.id) == answered
            assert await service.expire_pending() == 0

    asyncio.run(main())


def test_an_unconfirmed_create_is_neither_success_nor_failure(own_server: RedisServer, replica: RedisServer) -> None:
    """Replica frozen: NotConfirmedError with the interrupt. Replica back: the same key is confirmed, one event."""
    world = World()

    async def main() -> None:
        async with connect(own_server.url, durability="replicated", **world.ports()) as service:
            replica.freeze()
            with pytest.raises(NotConfirmedError) as unsure:
                await service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
            assert unsure.value.may_have_happened
            assert unsure.value.interrupt is not None
            assert await service.get_interrupt(unsure.value.interrupt.id) == unsure.value.interrupt
            replica.thaw()
            until_in_step(own_server)
            again = await service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
            assert again == unsure.value.interrupt
            assert len(await whole_log(service)) == 1

    asyncio.run(main())
    assert [line[1] for line in world.lines if line[0] == "error"] == ["interrupt.failed"]


def test_an_unconfirmed_end_is_neither_success_nor_failure(own_server: RedisServer, replica: RedisServer) -> None:
    """As above for an answer and a cancellation with a command id, and with a replica that was killed."""

    async def main() -> None:
        async with connect(own_server.url, durability="replicated") as service:
            first = await service.create_confirmation("r", "u", "s", "?")
            second = await service.create_confirmation("r", "u", "s", "?")
            replica.kill()
            for _ in range(2):
                with pytest.raises(NotConfirmedError) as unsure:
                    await service.respond(first.id, YES, command_id="c")
                assert unsure.value.may_have_happened
                assert unsure.value.interrupt is not None
                assert unsure.value.interrupt.status is InterruptStatus.RESOLVED
                with pytest.raises(NotConfirmedError):
                    await service.cancel(second.id, command_id="c")
            replica.start()
            until_in_step(own_server)
            answered = await service.respond(first.id, YES, command_id="c")
            cancelled = await service.cancel(second.id, command_id="c")
            assert answered == await service.get_interrupt(first.id)
            assert cancelled == await service.get_interrupt(second.id)
            assert len(await whole_log(service)) == 4

    asyncio.run(main())


def test_a_retry_on_another_connection_is_not_confirmed_by_its_silence(
    own_server: RedisServer, replica: RedisServer
) -> None:
    """WAIT speaks of what its own connection wrote: a retry that finds its work done elsewhere still has to wait."""

    async def retry(service: InterruptService, interrupt_id: str) -> None:
        with pytest.raises(NotConfirmedError):
            await service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
        with pytest.raises(NotConfirmedError):
            await service.respond(interrupt_id, YES, command_id="c")

    async def main() -> None:
        async with (
            connect(own_server.url, durability="replicated") as service,
            connect(own_server.url, durability="replicated") as another,
        ):
            asked = await service.create_confirmation("r", "u", "s2", "?")
            await another.get_interrupt(asked.id)
            replica.freeze()
            for one in (service, another, another):
                await retry(one, asked.id)
            with pytest.raises(NotConfirmedError):
                async with connect(own_server.url, durability="replicated"):
                    pass
            replica.thaw()
            until_in_step(own_server)
            assert await another.create_confirmation("r", "u", "s", "?", idempotency_key="k")
            assert await another.respond(asked.id, YES, command_id="c")
            assert len(await whole_log(another)) == 3

    asyncio.run(main())


def test_more_replicas_than_there_are_confirm_nothing(own_server: RedisServer, replica: RedisServer) -> None:
    """`replicas=2` with one replica: said when connecting, before anything is entrusted to it."""

    async def main() -> None:
        with pytest.raises(NotConfirmedError, match="replicas"):
            async with connect(own_server.url, durability="replicated", replicas=2):
                pass

    asyncio.run(main())


def test_fsynced_needs_a_server_that_can_say_so(own_server: RedisServer) -> None:
    """Before Redis 7.2 it needs appendfsync always: without it a sentence, with it every write is on the disk."""

    async def main() -> None:
        with own_server.client() as client:
            version = client.info("server")["redis_version"]
        if version.startswith("7.0."):
            with pytest.raises(UnsuitableServerError, match=r"appendfsync always.*CONFIG SET"):
                async with connect(own_server.url, durability="fsynced"):
                    pass
            own_server.command("CONFIG", "SET", "appendfsync", "always")
        async with connect(own_server.url, durability="fsynced") as service:
            asked = await service.create_confirmation("r", "u", "s", "?")
            answered = await service.respond(asked.id, YES)
            own_server.kill()
            own_server.start()
            assert await service.get_interrupt(asked.id) == answered

    asyncio.run(main())


@pytest.mark.parametrize("durability", ["replicated", "fsynced"])
def test_memory_can_not_promise_durability(durability: Durability) -> None:
    """Nothing but `memory` is promised by memory://, and asking for more is refused."""

    async def main() -> None:
        with pytest.raises(ValidationError) as refused:
            async with connect("memory://", durability=durability):
                pass
        assert refused.value.field == "durability"

    asyncio.run(main())
