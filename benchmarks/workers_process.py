"""A role of the workers in a process of its own: the command that people run, ended at the end whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from benchmarks.server import START_TIMEOUT_S, BenchServer, end, end_with_us
from benchmarks.stored import KEYS

_RUNNING: Final = "workers.running"
"""What it says when it has its connection, and its roles begin."""
_WORDS_MAX: Final = 4_000


class BenchRole:
    """`with BenchRole(server, "expiry"):` For as long as the block lasts another process has this role.

    What else is given are variables of its environment.
    """

    def __init__(self, server: BenchServer, role: str, **settings: str) -> None:
        self._server = server
        self._role = role
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile(prefix="interrupts-bench-")  # noqa: SIM115 - _end closes it

    def __enter__(self) -> Self:
        where = ["--url", self._server.url, "--namespace", KEYS.namespace]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers", "run", self._role, *where],
                env={**os.environ, **self._settings},
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                preexec_fn=end_with_us,  # noqa: PLW1509 - it makes one system call, and no other thread runs here
            )
            give_up_at = time.monotonic() + START_TIMEOUT_S
            while _RUNNING not in self.words():
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"the worker did not start: {self.words()}")
                time.sleep(0.01)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def words(self) -> str:
        """What it has said so far; read without moving the place where it writes, which is shared with it."""
        return os.pread(self._said.fileno(), _WORDS_MAX, 0).decode(errors="replace")

    def used_s(self) -> float:
        """The processor time that it has used so far, in seconds; nothing where that can't be read."""
        assert self._process is not None
        try:
            about = Path("/proc", str(self._process.pid), "stat").read_text()
        except OSError:
            return 0.0
        user, system = about.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _end(self) -> None:
        if self._process is not None:
            end(self._process)
        self._said.close()
