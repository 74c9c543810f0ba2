"""The floor of webhooks.rate: a bare aiohttp client, in a process of its own as the role is, on the same event loop.

`python -m benchmarks.webhooks_client URL AT_ONCE`. On stdin a MessagePack list of bodies; each is posted once, so many
at once. On stdout one line of JSON: how many that were in a second, and the processor time of each in microseconds.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from time import process_time
from typing import Final

import aiohttp
import msgspec

from benchmarks.measuring import per_second
from benchmarks.server import end_with_us
from workers.loops import run_for_long

TIMEOUT_S: Final = 120.0
_HEADERS: Final = {"Content-Type": "application/json"}


class Posted(msgspec.Struct):
    """What it came to."""

    per_second: float
    each_us: float


async def posted(url: str, bodies: Sequence[bytes], at_once: int) -> Posted:
    """Has another process post these."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.webhooks_client", url, str(at_once)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=end_with_us,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            said, _ = await process.communicate(msgspec.msgpack.encode(bodies))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return msgspec.json.decode(said, type=Posted)


async def main(url: str, at_once: int) -> None:
    """Posts what is on stdin."""
    bodies = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[bytes])
    async with aiohttp.ClientSession() as session:

        async def post(body: bytes) -> None:
            async with session.post(url, data=body, headers=_HEADERS) as response:
                await response.read()
                assert response.status == 200

        used_s = process_time()
        rate = await per_second(post, bodies, at_once)
        each_us = (process_time() - used_s) * 1e6 / len(bodies)
    sys.stdout.buffer.write(msgspec.json.encode(Posted(rate, each_us)) + b"\n")


if __name__ == "__main__":
    run_for_long(main(sys.argv[1], int(sys.argv[2])))
