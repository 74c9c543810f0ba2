"""Users of a folder in processes of their own, and what can be seen of the folder from outside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from redis.asyncio import Redis

from interrupts.store import guardian
from interrupts.store.embedded import EmbeddedServer

DEADLINE_S = 30.0
LOOK_EVERY_S = 0.01
ROOT = Path(__file__).parents[2]

USER = """
import asyncio, os, signal, sys
from redis.asyncio import Redis
from interrupts.store.embedded import EmbeddedServer

async def main():
    server = EmbeddedServer(sys.argv[1])
    await server.attach()
    redis = Redis(unix_socket_path=server.socket, decode_responses=True)
    print((await redis.info("server"))["run_id"], flush=True)
    for line in sys.stdin:
        match line.split():
            case ["detach"]:
                await redis.aclose()
                await server.detach()
                print("left", flush=True)
            case ["fork"]:
                child = os.fork()
                if not child:
                    signal.pause()
                print(child, flush=True)
            case words:
                print(await redis.execute_command(*words), flush=True)

asyncio.run(main())
"""


class User:
    """Another process that is attached to the folder and does what it is told."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._run_id = ""

    @property
    def run_id(self) -> str:
        """The server's; the first to ask waits until the process is attached."""
        self._run_id = self._run_id or self._line()
        return self._run_id

    def do(self, line: str) -> str:
        assert self.run_id
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        assert line, "the other process failed, its traceback is in the captured output"
        return line


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition; fails if it does not come true in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(LOOK_EVERY_S)


def is_free(path: Path | int) -> bool:
    """Whether nobody holds the lock, of a lock file or of an open one. No pid says so: it may be that of a zombie."""
    lock = path if isinstance(path, int) else guardian.open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        fcntl.flock(lock, fcntl.LOCK_UN)
        return True
    finally:
        if lock != path:
            os.close(lock)


def nothing_left(folder: Path) -> bool:
    """No guardian and no server."""
    return not folder.exists() or all(is_free(folder / name) for name in (guardian.GUARDIAN_LOCK, guardian.SERVER_LOCK))


def guardian_pid(folder: Path) -> int:
    return int((folder / guardian.GUARDIAN_LOCK).read_text())


@contextlib.asynccontextmanager
async def attached(folder: Path) -> AsyncIterator[tuple[EmbeddedServer, Redis]]:
    """This process as a user, with a client."""
    server = EmbeddedServer(folder)
    await server.attach()
    try:
        async with Redis(unix_socket_path=server.socket, decode_responses=True) as redis:
            yield server, redis
    finally:
        await server.detach()


async def pid_of(redis: Redis) -> int:
    return int((await redis.info("server"))["process_id"])
