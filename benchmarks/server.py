"""A redis-server of a benchmark's own: on a free port, without persistence, ended at the end whatever happens."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import redis

START_TIMEOUT_S: Final = 20.0
END_TIMEOUT_S: Final = 20.0
SETTLE_TIMEOUT_S: Final = 30.0
STARTS_MAX: Final = 3
"""Somebody else may take the free port before the server does."""
_LOOK_EVERY_S: Final = 0.05
_SETTLED_LOOKS: Final = 5
_SETTLED_BYTES: Final = 4096
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None


class BenchServer:
    """`with BenchServer() as server:` It is there for as long as the block lasts."""

    def __init__(self) -> None:
        self.port = 0
        self._folder = tempfile.TemporaryDirectory(prefix="interrupts-bench-")
        self._process: subprocess.Popen[bytes] | None = None
        self._client: redis.Redis | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            for _ in range(STARTS_MAX):
                if self._start():
                    return self
                self._end_process()
            raise RuntimeError(f"redis-server did not start: {self._log().read_text(errors='replace')[-2000:]}")
        except BaseException:
            self._end()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def command(self, *command: str | bytes | float) -> Any:
        """One command's reply."""
        assert self._client is not None
        return self._client.execute_command(*command)  # type: ignore[no-untyped-call]

    def commands(self, commands: list[tuple[str | bytes | float, ...]]) -> list[Any]:
        """The replies of many commands, sent together."""
        assert self._client is not None
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipeline.execute()

    def flush(self) -> None:
        """Removes all data, and keeps the scripts."""
        self.command("FLUSHALL", "SYNC")

    def used_memory(self) -> int:
        """The bytes that the server's data and its own book-keeping take, once they have stopped changing."""
        give_up_at = time.monotonic() + SETTLE_TIMEOUT_S
        looks = [self._used()]
        while len(looks) < _SETTLED_LOOKS or max(looks) - min(looks) > _SETTLED_BYTES:
            assert time.monotonic() < give_up_at, f"the server's memory does not settle: {looks}"
            time.sleep(_LOOK_EVERY_S)
            looks = [*looks[1 - _SETTLED_LOOKS :], self._used()]
        return looks[-1]

    def forget_times(self) -> None:
        """Begins to count the server's own time anew."""
        self.command("CONFIG", "RESETSTAT")

    def script_us(self) -> tuple[int, int]:
        """How many scripts ran since `forget_times`, and the microseconds that the server spent in them."""
        stats = self.command("INFO", "commandstats")
        ran = [stats[f"cmdstat_{name}"] for name in ("evalsha", "eval") if f"cmdstat_{name}" in stats]
        return sum(stat["calls"] for stat in ran), sum(stat["usec"] for stat in ran)

    def _used(self) -> int:
        return int(self.command("INFO", "memory")["used_memory"])

    def _log(self) -> Path:
        return Path(self._folder.name, "server.log")

    def _start(self) -> bool:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder.name]
        with self._log().open("wb") as log:
            self._process = subprocess.Popen(
                ["redis-server", *options, "--save", "", "--appendonly", "no"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_us,  # noqa: PLW1509 - it makes one system call, and no other thread runs here
            )
        self._client = redis.Redis(port=self.port, socket_timeout=60.0)
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up_at and self._process.poll() is None:
            with contextlib.suppress(redis.RedisError):
                # Whoever answers on the port must be the one that was started.
                return bool(self.command("INFO", "server")["process_id"] == self._process.pid)
            time.sleep(0.01)
        return False

    def _end(self) -> None:
        self._end_process()
        self._folder.cleanup()

    def _end_process(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is not None:
            end(self._process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process, politely first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_with_us() -> None:
    """In the child, before it starts: the kernel ends it if this process is killed, where it can (Linux)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
