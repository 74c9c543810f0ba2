"""The page on how to write a projection of one's own is true: what it shows runs, and does what it says."""

from __future__ import annotations

import asyncio
import textwrap
from typing import Any

import projections
from interrupts import connect
from interrupts.views import View
from projections import PROJECTIONS
from projections.lag import lags
from workers import running


def shown() -> dict[str, Any]:
    """What the example on the page defines."""
    assert projections.__doc__ is not None
    blocks = projections.__doc__.split("\n\n")
    code = "\n\n".join(block for block in blocks if block.startswith("    "))
    found: dict[str, Any] = {}
    exec(textwrap.dedent(code), found)
    return found


def test_the_example_counts_what_it_says(url: str, namespace: str) -> None:
    """Run as the page says, it keeps the number of questions that each user was asked, over all partitions."""

    async def main() -> None:
        asked = shown()["Asked"]()
        async with (
            connect(url, namespace=namespace) as service,
            running(service, projections=[*PROJECTIONS, asked]),
        ):
            for number in range(9):
                await service.create_clarification("r", "ada" if number % 3 else "grace", f"s{number}", "q")
            async with asyncio.timeout(20):
                while any(lag.events for lag in await lags(service, projections=[asked])):  # noqa: ASYNC110 - it asks
                    await asyncio.sleep(0.01)
            keys, server = service.store.keys, service.store.server
            sums = {"ada": 0, "grace": 0}
            for user in sums:
                for partition in range(keys.partitions):
                    key = keys.generation(partition, "asked", 1) + "users"
                    sums[user] += int(await server.command(keys.slots[partition], "HGET", key, user) or 0)
            assert sums == {"ada": 6, "grace": 3}
            assert asked.view == View("asked", 1)

    asyncio.run(main())
