"""What a load costs in processor time: it moves less than a rate does when other programs want the machine, too."""

from __future__ import annotations

from collections.abc import Awaitable
from statistics import median
from time import process_time

from benchmarks.server import BenchServer


class Costs:
    """The costs of one piece of work, over several runs: in this process, and in the server's scripts."""

    def __init__(self, server: BenchServer, count: int) -> None:
        self._server = server
        self._count = count
        self._here: list[float] = []
        self._there: list[float] = []

    async def of(self, run: Awaitable[float]) -> float:
        """Runs it, and returns what it returns."""
        self._server.forget_times()
        began = process_time()
        result = await run
        self._here.append((process_time() - began) * 1e6 / self._count)
        self._there.append(self._server.script_us()[1] / self._count)
        return result

    @property
    def client_us(self) -> float:
        """Microseconds in this process, the median."""
        return median(self._here)

    @property
    def server_us(self) -> float:
        """Microseconds in the server's scripts, the median."""
        return median(self._there)


def told(ours: Costs, floor: Costs) -> tuple[dict[str, float], str]:
    """Details and a note for a figure."""
    details = {"client_us": ours.client_us, "server_us": ours.server_us, "server_us_floor": floor.server_us}
    return details, (
        f"each takes {ours.client_us:.1f} µs of this process and {ours.server_us:.1f} µs of the server's scripts; "
        f"the floor's, {floor.server_us:.1f} µs"
    )
