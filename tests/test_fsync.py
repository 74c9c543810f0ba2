"""`fsynced` on a server without WAITAOF: its setting is asked for behind each write, not only once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interrupts import NotConfirmedError, connect
from tests.servers import RedisServer


def test_a_setting_that_was_changed_meanwhile_confirms_nothing(own_server: RedisServer) -> None:
    """What was written while the server no longer syncs each write is told apart from success, and can be repeated."""
    own_server.command("CONFIG", "SET", "appendfsync", "always")

    async def main() -> None:
        async with connect(own_server.url, durability="fsynced") as service:
            await service.create_checkpoint("r", "u", "s")
            own_server.command("CONFIG", "SET", "appendfsync", "everysec")
            with pytest.raises(NotConfirmedError) as unsure:
                await service.create_checkpoint("r", "u", "s", idempotency_key="k")
            assert unsure.value.interrupt is not None
            own_server.command("CONFIG", "SET", "appendfsync", "always")
            again = await service.create_checkpoint("r", "u", "s", idempotency_key="k")
            assert again == unsure.value.interrupt

    asyncio.run(main())


def test_a_private_server_is_set_to_what_was_asked_for(tmp_path: Path) -> None:
    """`embedded://` with `fsynced` works as it stands, since the server is ours to set."""

    async def main() -> None:
        async with connect(f"embedded://{tmp_path / 'own'}", durability="fsynced") as service:
            created = await service.create_checkpoint("r", "u", "s")
            assert await service.get_interrupt(created.id) == created

    asyncio.run(main())
