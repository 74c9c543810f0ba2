"""A real HTTP receiver on the loopback, with every way to answer that there is, also the bad ones.

    async with Receiver() as receiver:
        receiver.script("/hook", "/status/500", "/ok")  # in turn; the last one stays
        await poster.post(receiver.url("/hook"), …)
        await receiver.got(2)
        receiver.requests[0].body

How it answers is said by the path's first word, or by a script for a path, whose steps are written as such paths:

    /ok               200, as every path does that is none of these
    /status/503       this status; what is in the query are its headers, and `body`: /status/429?Retry-After=5&body=slow
    /sleep/0.5        200, after so many seconds
    /hang             nothing, until `receiver.release()` or the caller has gone; then 200
    /drop             the connection is closed when the request is read; /drop-unread: before its body is read
    /garbage          something that is not HTTP
    /half-head, /half the connection is closed in the middle of the answer's headers, or of its body
    /huge/100000      200 with a body of so many bytes
    /drip/0.1         200 with a body that has no end, a byte at a time, with so many seconds between

As a process of its own, for crashes and benchmarks: `python -m tests.receiver PORT_FILE [IDS_FILE]`, or `process()`. It
writes its port into one file, and the webhook-id of each request as a line into the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, Self
from urllib.parse import parse_qsl

from tests.servers import END_TIMEOUT_S, until, wait_until

GOT_TIMEOUT_S = 30.0
HEAD_BYTES_MAX = 64 * 1024


class Request(NamedTuple):
    """One request as it came; the names of its headers are in lower case, and `at` is monotonic."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        """The delivery's id."""
        return self.headers.get("webhook-id", "")


class Receiver:
    """It listens while its block lasts, on a port that is free unless one is given. `keep=False` records nothing."""

    def __init__(
        self, *, port: int = 0, tls: ssl.SSLContext | None = None, keep: bool = True, ids: FileIO | None = None
    ) -> None:
        self.port = port
        self.requests: list[Request] = []
        self.at_once: Counter[str] = Counter()
        """how many of a path are being answered now"""
        self.most_at_once: Counter[str] = Counter()
        """how many of a path were at most"""
        self.connections = 0
        """how many were opened so far"""
        self._tls, self._keep, self._ids = tls, keep, ids
        self._scripts: dict[str, list[str]] = {}
        self._released = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._talk, "127.0.0.1", self.port, ssl=self._tls, limit=HEAD_BYTES_MAX, backlog=1_000
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """A path's url."""
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}{path}"

    def script(self, path: str, *steps: str) -> None:
        """From now on the path is answered by these steps in turn, and by the last one for ever."""
        self._scripts[path] = list(steps)

    def release(self) -> None:
        """What hangs is answered, and nothing hangs any more."""
        self._released.set()

    def of(self, path: str) -> list[Request]:
        """The requests of a path."""
        return [request for request in self.requests if request.path == path]

    async def got(self, count: int, path: str | None = None) -> list[Request]:
        """The requests, or those of a path, once there are so many."""

        def there() -> list[Request]:
            return self.requests if path is None else self.of(path)

        await until(lambda: len(there()) >= count, f"{count} requests have come to {path or 'it'}", GOT_TIMEOUT_S)
        return there()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, EOFError):  # the caller has gone
                while await self._one(reader, writer):
                    pass
        except asyncio.CancelledError:
            pass  # the receiver is closed; a task of a stream that ends so would be told to the loop as a fault
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Reads and answers one request; whether there may be another one."""
        first, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1").split("\r\n")
        path = first.split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        steps = self._scripts.get(path.partition("?")[0], [path])
        how = steps.pop(0) if len(steps) > 1 else steps[0]
        body = b""
        if how != "/drop-unread":
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.at_once[path] += 1
        self.most_at_once[path] = max(self.most_at_once[path], self.at_once[path])
        try:
            if self._keep:
                self.requests.append(Request(path, headers, body, time.monotonic()))
            if self._ids is not None:
                self._ids.write(headers.get("webhook-id", "").encode() + b"\n")
            return await self._answer(how, reader, writer)
        finally:
            self.at_once[path] -= 1

    async def _answer(self, how: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        path, _, query = how.partition("?")
        _, word, number, *_ = f"{path}//".split("/")
        answer = _head(200, 2) + b"ok"
        match word:
            case "status":
                said = dict(parse_qsl(query))
                text = said.pop("body", "").encode()
                answer = _head(int(number), len(text), said) + text
            case "drop" | "drop-unread":
                return False
            case "garbage":
                answer = b"220 mail.example ESMTP ready\r\n"
            case "half":
                answer = _head(200, 1_000) + b"x" * 500
            case "half-head":
                answer = _head(200, 1_000)[:30]
            case "huge":
                answer = _head(200, int(number)) + b"x" * int(number)
            case "drip":
                answer = _head(200, 1_000_000_000)
            case "hang":
                await self._hang(reader)
            case "sleep":
                await asyncio.sleep(float(number))
        writer.write(answer)
        await writer.drain()
        while word == "drip":
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(float(number))
        return word not in ("garbage", "half", "half-head", "hang")

    async def _hang(self, reader: asyncio.StreamReader) -> None:
        """A byte of the next request may be lost with the read, so there is none on this connection."""
        waits = [asyncio.ensure_future(self._released.wait()), asyncio.ensure_future(reader.read(1))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _head(status: int, length: int, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Status"
    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {phrase}\r\n{said}Content-Length: {length}\r\n\r\n".encode()


class ReceiverProcess(NamedTuple):
    """A receiver in another process, and what came to it."""

    port: int
    ids_file: Path
    popen: subprocess.Popen[bytes]

    def url(self, path: str) -> str:
        """A path's url."""
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self) -> list[str]:
        """The webhook-id of each request so far."""
        return self.ids_file.read_text().splitlines()


@contextlib.contextmanager
def process(folder: Path) -> Iterator[ReceiverProcess]:
    """Such a process while the block lasts, with its files in this folder."""
    port_file, ids_file = folder / "receiver.port", folder / "receiver.ids"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-W", "error", "-m", __name__, str(port_file), str(ids_file)]
    popen = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parent.parent)
    try:
        wait_until(lambda: port_file.exists() or popen.poll() is not None, "the receiver listens")
        yield ReceiverProcess(int(port_file.read_text()), ids_file, popen)
    finally:
        popen.kill()
        popen.wait(END_TIMEOUT_S)
        if popen.stdin is not None:
            popen.stdin.close()


async def main(port_file: str, ids_file: str | None = None) -> None:
    """Listens until the input is closed, so that it does not outlive who started it."""
    ids = None if ids_file is None else FileIO(ids_file, "a")
    async with Receiver(keep=False, ids=ids) as receiver:
        written = Path(f"{port_file}.new")
        written.write_text(str(receiver.port))
        written.rename(port_file)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
