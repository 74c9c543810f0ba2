"""Real servers for tests: started on free ports, frozen, killed, restarted, and always ended."""

from __future__ import annotations

import contextlib
import os
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


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen([program, *settings, *self.options], stdout=log, stderr=log)
        wait_until(self._answers, f"redis-server on port {self.port} answers")
        return self

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
