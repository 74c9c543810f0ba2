"""Real servers for tests: started on free ports, frozen, killed, restarted, and always ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis

START_TIMEOUT_S = 20.0
END_TIMEOUT_S = 20.0


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Returns when the condition holds; fails with what was waited for if it does not in time."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {timeout_s:g} s in vain: {what}"
        time.sleep(0.01)


async def until(condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """`wait_until` for async code: the loop goes on meanwhile."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {timeout_s:g} s in vain: {what}"
        await asyncio.sleep(0.005)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cluster_port() -> int:
    """A free port whose bus port, 10,000 higher, is free and below those that the kernel gives to others."""
    for _ in range(1_000):
        port = random.randrange(10_000, 22_000)
        with socket.socket() as here, socket.socket() as bus, contextlib.suppress(OSError):
            here.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port
    raise AssertionError("no free port for a cluster node")


class RedisServer:
    """One `redis-server` of the tests' own, in a folder of its own, on the loopback."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder = folder
        self.options = options
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> RedisServer:
        """Starts it, again on the same port and with the same data, and waits until it answers."""
        program = shutil.which("redis-server")
        assert program, "these tests need redis-server on the PATH"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen([program, *self._arguments()], stdout=log, stderr=log)
        wait_until(self._answers, f"redis-server on port {self.port} answers")
        return self

    def _arguments(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [*where, "--save", "", *self.options]

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        with self.client() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        """A plain client; close it."""
        return redis.Redis(port=self.port, socket_timeout=5.0)

    def command(self, *command: object) -> object:
        """One command's reply, from a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)

    def freeze(self) -> None:
        """Stops it in its tracks: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on where it was."""
        self._signal(signal.SIGCONT)

    @staticmethod
    def signal_pid(pid: int, *, stop: bool) -> None:
        """Freezes or thaws a server that was started by what is tested."""
        os.kill(pid, signal.SIGSTOP if stop else signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as a crash does."""
        self._signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(END_TIMEOUT_S)

    def stop(self) -> None:
        """Ends it, in whatever state it is."""
        if self.process is not None and self.process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, number)


class Sentinel(RedisServer):
    """A sentinel that watches over one group, quick to act."""

    def __init__(self, folder: Path, group: str, primary: RedisServer) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {group} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {group} 300\n"
            f"sentinel failover-timeout {group} 2000\n"
        )

    def _arguments(self) -> list[str]:
        return [str(self.folder / "sentinel.conf"), "--sentinel"]
