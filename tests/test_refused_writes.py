"""A server that refuses a part of a write, or refuses for a while: nothing is half written, and what passes is waited
for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interrupts import InterruptResponse, NotConfirmedError, UnavailableError, connect
from tests.servers import RedisServer

YES = InterruptResponse(approved=True)


def test_a_creation_whose_event_is_refused_leaves_nothing(own_server: RedisServer) -> None:
    """An interrupt without its event would be acknowledged to a repetition, and be in no history."""
    own_server.command("ACL", "SETUSER", "default", "-xadd")

    async def main() -> None:
        async with connect(own_server.url) as service:
            for _ in range(2):
                with pytest.raises(UnavailableError, match="Nothing was written") as refused:
                    await service.create_confirmation("r", "u", "s", "Go?", idempotency_key="k")
                assert not refused.value.may_have_happened
            own_server.command("ACL", "SETUSER", "default", "+xadd")
            created = await service.create_confirmation("r", "u", "s", "Go?", idempotency_key="k")
            assert [event.position for event in await service.history(created.id)] == [created.position]
            own_server.command("ACL", "SETUSER", "default", "-xadd")
            with pytest.raises(UnavailableError):
                await service.respond(created.id, YES)
            assert await service.get_interrupt(created.id) == created

    asyncio.run(main())


@pytest.mark.parametrize("answering", [False, True], ids=["create", "respond"])
def test_a_server_that_is_a_replica_for_a_while_is_waited_for(own_server: RedisServer, answering: bool) -> None:
    """READONLY passes by itself at a failover: the call goes on when it has."""

    async def main() -> None:
        async with connect(own_server.url) as service:
            waiting = await service.create_confirmation("r", "u", "s", "Go?")
            own_server.command("REPLICAOF", "127.0.0.1", "1")
            loop = asyncio.get_running_loop()
            loop.call_later(0.3, own_server.command, "REPLICAOF", "NO", "ONE")
            if answering:
                await service.respond(waiting.id, YES)
            else:
                await service.create_confirmation("r", "u", "s", "And now?")

    asyncio.run(main())


def test_the_ports_are_told_of_what_is_written_but_not_confirmed(own_server: RedisServer) -> None:
    """The event is in the log, and the repetition that confirms it announces nothing: so it is announced at once."""
    told: list[str] = []

    class Webhook:
        async def emit_event(self, event_type: str, data: object, request_id: str | None = None) -> int:
            told.append(event_type)
            return 1

    own_server.command("CONFIG", "SET", "appendfsync", "always")

    async def main() -> None:
        async with connect(own_server.url, durability="fsynced", webhook_service=Webhook()) as service:
            own_server.command("CONFIG", "SET", "appendfsync", "everysec")
            with pytest.raises(NotConfirmedError):
                await service.create_confirmation("r", "u", "s", "Go?", idempotency_key="k")
            own_server.command("CONFIG", "SET", "appendfsync", "always")
            created = await service.create_confirmation("r", "u", "s", "Go?", idempotency_key="k")
            await service.respond(created.id, YES)
            assert told == ["interrupt.confirmation_needed", "interrupt.resolved"]

    asyncio.run(main())


def test_a_frozen_private_server_does_not_make_the_unknown_known(tmp_path: Path) -> None:
    """What was sent to it may have happened, whatever looking after the server finds out."""
    folder = tmp_path / "own"

    async def main() -> None:
        async with connect(f"embedded://{folder}", attempt_timeout_s=0.3, call_timeout_s=1.0) as service:
            info = (await service._log.server.command(0, "INFO", "server")).decode()
            pid = int(info.partition("process_id:")[2].split()[0])
            RedisServer.signal_pid(pid, stop=True)
            try:
                with pytest.raises(UnavailableError) as away:
                    await service.create_confirmation("r", "u", "s", "Go?")
            finally:
                RedisServer.signal_pid(pid, stop=False)
            assert away.value.may_have_happened

    asyncio.run(main())
