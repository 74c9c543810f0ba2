"""The other process of the webhooks' figures: it answers each request at once, with as little work as it can.

`python -m benchmarks.webhooks_receiver`. On stdout first the port. On stdin a line with a number; when so many requests
to COUNTED have come since the reply before, one line of JSON: what has come. Requests to ASIDE are answered and not
counted, those to HANGING are never answered. Connections stay open, as clients want them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self

import msgspec

from benchmarks.server import end_with_us

COUNTED: Final = "/counted"
ASIDE: Final = "/aside"
HANGING: Final = "/hanging"
TIMEOUT_S: Final = 120.0
_CAME_BYTES_MAX: Final = 64 * 1024 * 1024
_END: Final = b"\r\n\r\n"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Came(msgspec.Struct):
    """What has come. `at`: by webhook-id (without one: by number) when, in seconds of the machine's own clock;
    `last_at`: when the last one came, on the monotonic clock, which all processes of a machine share."""

    at: dict[str, float] = {}
    requests: int = 0
    body_bytes: int = 0
    aside: int = 0
    hanging: int = 0
    last_at: float = 0.0


class Receiver:
    """The receiver, as whoever started it sees it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        self._port = port

    @classmethod
    async def of(cls, process: asyncio.subprocess.Process) -> Self:
        """Returns when it listens."""
        assert process.stdout is not None
        said = await process.stdout.readline()
        assert said.strip().isdigit(), f"the receiver did not start: {said!r}"
        return cls(process, int(said))

    def url(self, path: str) -> str:
        """A path's url; what follows the first word is up to the caller."""
        return f"http://127.0.0.1:{self._port}{path}"

    async def came(self, count: int) -> Came:
        """What has come, once so many have, or at least so many."""
        async with asyncio.timeout(TIMEOUT_S):
            self._stdin.write(b"%d\n" % count)
            return msgspec.json.decode(await self._stdout.readline(), type=Came)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver in a process of its own, for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.webhooks_receiver"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_CAME_BYTES_MAX,
        preexec_fn=end_with_us,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            receiver = await Receiver.of(process)
        yield receiver
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Request(NamedTuple):
    """What matters of a request. `end`: where the next one begins."""

    path: str
    message_id: str
    body_bytes: int
    end: int


def parsed(data: bytes) -> Request | None:
    """The first request in these bytes; None if not all of it is there yet."""
    head_end = data.find(_END)
    if head_end < 0:
        return None
    head = data[: head_end + 2]
    lower = head.lower()
    length = int(_value(head, lower, b"\r\ncontent-length:") or b"0")
    end = head_end + len(_END) + length
    if len(data) < end:
        return None
    _, path, _ = head.split(b" ", 2)
    return Request(path.decode(), _value(head, lower, b"\r\nwebhook-id:").decode(), length, end)


def _value(head: bytes, lower: bytes, name: bytes) -> bytes:
    """A header's value; nothing if it is not there."""
    at = lower.find(name)
    return head[at + len(name) : head.find(b"\r\n", at + 2)].strip() if at >= 0 else b""


class _Book:
    """What has come so far, and how much is asked for."""

    def __init__(self) -> None:
        self.came = Came({})
        self._wanted: int | None = None

    def want(self, count: int) -> None:
        """Told as soon as so many have come."""
        self._wanted = count
        self.look()

    def look(self) -> None:
        """Tells what has come, if that was asked for and is there."""
        if self._wanted is not None and self.came.requests >= self._wanted:
            self._wanted, came, self.came = None, self.came, Came({})
            sys.stdout.buffer.write(msgspec.json.encode(came) + b"\n")
            sys.stdout.buffer.flush()


class _Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self, book: _Book) -> None:
        self._book = book
        self._unread = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._unread + data if self._unread else data
        while (request := parsed(data)) is not None:
            self._take(request)
            data = data[request.end :]
        self._unread = data

    def _take(self, request: Request) -> None:
        came = self._book.came
        if request.path.startswith(COUNTED):
            came.at[request.message_id or str(came.requests)] = time.time()
            came.requests += 1
            came.body_bytes += request.body_bytes
            came.last_at = time.monotonic()
        elif request.path.startswith(ASIDE):
            came.aside += 1
        else:
            came.hanging += 1
            return
        self._transport.write(_ANSWER)
        self._book.look()


async def main() -> None:
    """Receives until stdin ends."""
    loop, book, lines = asyncio.get_running_loop(), _Book(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    server = await loop.create_server(lambda: _Talk(book), "127.0.0.1", 0, backlog=1_000)
    sys.stdout.buffer.write(b"%d\n" % server.sockets[0].getsockname()[1])
    sys.stdout.buffer.flush()
    while line := await lines.readline():
        book.want(int(line))
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
