"""The other process of workers.resume_ms: it answers what it is told to, and remembers when it began to.

`python -m benchmarks.workers_answerer URL`. On stdin a line for each: an interrupt's id and its user's; at once it is
answered. Now and then the floor: an XADD to a stream that nobody else knows. On stdout, when stdin ends, one line of
JSON: by id when `respond` was called, and by stream id when XADD was, on the monotonic clock, which all processes of a
machine share.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from benchmarks.shape import ANSWER
from interrupts import InterruptResponse, connect

FLOOR_STREAM: Final = "bench:floor"
FLOOR_EVERY: Final = 5
READY: Final = b"ready\n"
CONNECTIONS_MAX: Final = 5_000
"""More than are ever needed: a machine that stands still for a moment must not end the load."""


class Told(msgspec.Struct):
    """When what began, in seconds of the monotonic clock."""

    answers: dict[str, float] = {}
    floors: dict[str, float] = {}


async def main(url: str) -> None:
    """Answers until stdin ends."""
    lines, told = asyncio.StreamReader(), Told({}, {})
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    adding = Redis.from_url(url, max_connections=CONNECTIONS_MAX)
    async with connect(url) as service, adding as client, asyncio.TaskGroup() as group:

        async def answer(interrupt_id: str, user_id: str) -> None:
            told.answers[interrupt_id] = time.monotonic()
            answered = await service.respond(interrupt_id, InterruptResponse(text=ANSWER), user_id=user_id)
            assert answered is not None

        async def add() -> None:
            began = time.monotonic()
            stream_id: Any = await client.xadd(FLOOR_STREAM, {"e": ANSWER})
            told.floors[stream_id.decode()] = began

        await client.ping()
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        number = 0
        while line := await lines.readline():
            interrupt_id, _, user_id = line.decode().strip().partition(" ")
            group.create_task(answer(interrupt_id, user_id))
            number += 1
            if number % FLOOR_EVERY == 0:
                group.create_task(add())
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
