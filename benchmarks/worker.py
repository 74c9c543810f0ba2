"""A projection worker in a process of its own: the command that people run, ended at the end whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import IO, Final, Self

from redis import Redis

from benchmarks.server import START_TIMEOUT_S, BenchServer, end, end_with_us
from benchmarks.stored import KEYS
from interrupts.views import CLOSED, COUNTS, PENDING

_VIEWS: Final = (PENDING, CLOSED, COUNTS)
_WORDS_MAX: Final = 4_000


class BenchWorker:
    """`with BenchWorker(server):` For as long as the block lasts its views are folded."""

    def __init__(self, server: BenchServer) -> None:
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] = tempfile.TemporaryFile(prefix="interrupts-bench-")  # noqa: SIM115 - _end closes it

    def __enter__(self) -> Self:
        where = ["--url", self._server.url, "--namespace", KEYS.namespace]
        command = [sys.executable, "-m", "workers", "run", "projections", *where]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                preexec_fn=end_with_us,  # noqa: PLW1509 - it makes one system call, and no other thread runs here
            )
            give_up_at = time.monotonic() + START_TIMEOUT_S
            while not self._folds():
                if self._process.poll() is not None or time.monotonic() > give_up_at:
                    raise RuntimeError(f"the worker did not start: {self._words()}")
                time.sleep(0.01)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _folds(self) -> bool:
        """Whether its views are there in all partitions: what is written from now on is in their first generation."""
        cards = [KEYS.card(partition, view.name) for view in _VIEWS for partition in range(KEYS.partitions)]
        with Redis(port=self._server.port) as client:
            return all(client.hexists(card, "live") for card in cards)

    def _words(self) -> str:
        """What it has said so far; read without moving the place where it writes, which is shared with it."""
        return os.pread(self._said.fileno(), _WORDS_MAX, 0).decode(errors="replace")

    def _end(self) -> None:
        if self._process is not None:
            end(self._process)
        self._said.close()
