"""What a group costs that has nothing to do."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from interrupts import connect
from tests.reacting import Journal, reacting, run, until_async
from tests.servers import RedisServer, until

AT_MOST_A_SECOND = 10.0
OWN = {"cmdstat_info", "cmdstat_config|resetstat", "cmdstat_client|setinfo"}


def commands(server: RedisServer) -> dict[str, int]:
    """How often each command was called by clients; what scripts call is not counted apart."""
    stats: Any
    with server.client() as client:
        stats = client.info("commandstats")
    return {name: said["calls"] for name, said in stats.items() if name not in OWN}


@pytest.mark.parametrize("partitions", [1, 16])
def test_an_idle_group_sends_few_commands(own_server: RedisServer, namespace: str, partitions: int) -> None:
    """However many partitions it has: they are followed, and their leases renewed, together."""

    async def main() -> None:
        async with (
            connect(own_server.url, namespace=namespace, partitions=partitions) as service,
            reacting(service, Journal()),
        ):
            ready: list[dict[str, int]] = []

            def is_settled() -> bool:
                ready.append(commands(own_server))
                return ready[-1].get("cmdstat_xread", 0) > 0

            await until(is_settled, "it has begun")
            before, began = commands(own_server), time.monotonic()

            async def has_read_again() -> bool:
                await asyncio.sleep(0.1)  # its looks are commands, too
                return commands(own_server).get("cmdstat_xread", 0) > before.get("cmdstat_xread", 0) + 1

            await until_async(has_read_again, "a read has found nothing, all its time")
            took_s, after = time.monotonic() - began, commands(own_server)
            sent = {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)}
            calls = sum(sent.get(f"cmdstat_{name}", 0) for name in ("evalsha", "eval", "xread", "xrange", "hgetall"))
            print(f"\nidle, {partitions} partitions: {calls / took_s:.1f} calls a second: {sent} in {took_s:.1f} s")
            assert calls / took_s <= AT_MOST_A_SECOND

    run(main())
