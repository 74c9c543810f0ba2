"""The floor of a create: what the server can do with one bare script per create, and no Python in the way.

`redis-benchmark`, the load generator in C that ships with Redis, sends `floor.lua` on one connection, 32 calls in a
pipeline. The event it sends is one that the service has stored, so the bytes are the same.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from benchmarks.server import BenchServer
from benchmarks.shape import TTL_MS
from benchmarks.stored import Stored

FLOOR: Final = Path(__file__).with_name("floor.lua").read_text(encoding="utf-8")
PIPELINED: Final = 32
TAG: Final = "{interrupts:00}"
KEYS: Final = (f"{TAG}:log", f"{TAG}:deadlines", f"{TAG}:sequence")
_RANDOM: Final = "__rand_int__"  # redis-benchmark puts twelve digits in its place, as long as it is itself
_RANDOM_MAX: Final = 2_000_000_000
_LOST_MAX: Final = 0.001
"""The share of calls that may meet a random id for the second time, and so create nothing."""


def load_floor(server: BenchServer) -> str:
    """Puts the script into the server's cache, and returns its digest."""
    sha: bytes = server.command("SCRIPT", "LOAD", FLOOR)
    return sha.decode()


def interrupt_key(interrupt_id: str) -> str:
    """Where the floor keeps an interrupt."""
    return f"{TAG}:i:{interrupt_id}"


async def floor_per_second(server: BenchServer, stored: Stored, count: int) -> float:
    """Creates in a second, on an empty server, of the event that was stored."""
    random_id = f"{stored.interrupt_id[:4]}{_RANDOM}{stored.interrupt_id[16:]}"
    script = ["EVALSHA", load_floor(server), str(len(KEYS) + 1), *KEYS, interrupt_key(random_id), str(TTL_MS)]
    load = ["-p", str(server.port), "-c", "1", "-P", str(PIPELINED), "-n", str(count), "-r", str(_RANDOM_MAX), "--csv"]
    process = await asyncio.create_subprocess_exec(
        "redis-benchmark",
        *load,
        *script,
        stored.as_if(random_id).decode(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said = (await process.communicate())[0].decode(errors="replace")
    finally:
        if process.returncode is None:
            process.kill()
    created = server.command("XLEN", KEYS[0])
    assert created >= count * (1 - _LOST_MAX) - 1, f"redis-benchmark created {created} of {count}: {said[-2000:]}"
    # The last line is "<command>","<calls per second>" and six latencies; the command has commas and quotes in it.
    return float(said.strip().rsplit(",", 7)[1].strip('"'))
