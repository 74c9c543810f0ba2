"""A process that runs the workers, for tests: `python -m tests.worker_process <url> <namespace>`.

It prints its name among the workers when it is ready, and ends when its input is closed.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from interrupts import connect
from tests.notes import ALL
from workers import running

END_TIMEOUT_S = 20.0


async def main(url: str, namespace: str) -> None:
    """From its start to the end of its input."""
    async with connect(url, namespace=namespace) as service, running(service, projections=ALL) as work:
        print(work._membership.worker, flush=True)
        await asyncio.to_thread(sys.stdin.read)


class Process:
    """Such a process, or another one that prints a line when it is ready and ends when its input is closed."""

    def __init__(self, module: str, *arguments: str) -> None:
        root = Path(__file__).parent.parent
        command = [sys.executable, "-m", module, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        self.popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
        )
        self.line = ""

    def ready(self) -> str:
        """What it prints first; "" if it ended before."""
        assert self.popen.stdout is not None
        self.line = self.line or self.popen.stdout.readline().strip()
        return self.line

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self.popen.pid, number)

    def leave(self) -> None:
        """Lets it end as it should, and waits for that."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        assert self.popen.wait(END_TIMEOUT_S) == 0

    def end(self) -> None:
        """Ends it, in whatever state it is."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait(END_TIMEOUT_S)
        for pipe in (self.popen.stdin, self.popen.stdout):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()


@contextmanager
def workers_running(url: str, namespace: str, count: int) -> Iterator[list[Process]]:
    """So many of them, ready; more can be put into the list. All are ended with the block."""
    processes = [Process(__name__, url, namespace) for _ in range(count)]
    try:
        for process in processes:
            assert process.ready()
        yield processes
    finally:
        for process in processes:
            process.end()


def names_of(processes: Sequence[Process]) -> list[str]:
    """Their names among the workers."""
    return sorted(process.ready() for process in processes)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
