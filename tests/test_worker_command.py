"""`interrupts worker`, or `python -m workers run`: the process that keeps the lists, from its start to its end."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from interrupts import InterruptService, ViewBehindError, connect
from interrupts.keys import workers_key
from interrupts.store.lookup import ROLE
from tests.present import present
from tests.servers import RedisServer, wait_until

TIMEOUT_S = 30.0


class Worker:
    """The process, and what it says, line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        self.said: list[str] = []

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)

    def until(self, words: str) -> None:
        """Returns when it has said this."""
        while not any(words in line for line in self.said):
            self.said.append(self._lines.get(timeout=TIMEOUT_S))

    def ended(self) -> int:
        """Its exit code, when it is gone and all it has said was read."""
        code = self.process.wait(TIMEOUT_S)
        self._reading.join(TIMEOUT_S)
        while not self._lines.empty():
            self.said.append(self._lines.get())
        return code


@contextmanager
def worker(server: RedisServer, namespace: str, *command: str) -> Iterator[Worker]:
    """It runs, and others know of it; at the end of the block it is gone, whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", *(command or ("run",)), "--url", server.url, "--namespace", namespace],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    found = Worker(process)
    try:
        found.until("workers.running")
        wait_until(lambda: server.command("ZCARD", workers_key(namespace, ROLE)) == 1, "it is among the workers")
        yield found
    finally:
        process.kill()
        found.ended()
        assert process.stderr is not None
        process.stderr.close()


async def registered(service: InterruptService) -> list[str]:
    """The workers that are there."""
    return await present(service)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_lists_work_while_it_runs_and_it_leaves_politely(
    shared_server: RedisServer, namespace: str, number: signal.Signals
) -> None:
    """Lists of another process show what that has just written; asked to end, it goes with code 0, and is known to be
    gone at once."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, view_wait_s=TIMEOUT_S) as service:
            before = await service.create_checkpoint("r", "u", "s")
            with worker(shared_server, namespace, "worker", "projections") as running:
                assert len(await registered(service)) == 1
                made = [before, *[await service.create_checkpoint("r", "u", "s") for _ in range(20)]]
                assert await service.list_pending() == made
                await service.cancel(before.id)
                assert await service.list_closed("s") != []
                running.process.send_signal(number)
                assert await asyncio.to_thread(running.ended) == 0
                ending, done, ended = running.said[-3:]
                assert "workers.ending" in ending
                assert "'folded': 22" in done
                assert "in_time=True" in ended
                assert "Traceback" not in "".join(running.said)
            assert await registered(service) == []
        async with connect(shared_server.url, namespace=namespace, view_wait_s=0.01) as service:
            await service.create_checkpoint("r", "u", "s")
            with pytest.raises(ViewBehindError) as refused:
                await service.list_pending()
            assert refused.value.worker_running is False

    asyncio.run(main())


def test_asked_a_second_time_it_ends_at_once(own_server: RedisServer, namespace: str) -> None:
    """Though the server does not answer, and what is in hand can't be finished."""
    with worker(own_server, namespace) as running:
        own_server.freeze()
        running.process.send_signal(signal.SIGTERM)
        running.until("workers.ending")
        running.process.send_signal(signal.SIGTERM)
        assert running.ended() == -signal.SIGTERM
        assert "workers.ended" not in "".join(running.said)


def test_a_server_that_never_answers_does_not_keep_it(own_server: RedisServer, namespace: str) -> None:
    """Asked once, it goes by itself all the same, and says why not everything was finished."""
    with worker(own_server, namespace) as running:
        own_server.kill()
        running.process.send_signal(signal.SIGTERM)
        assert running.ended() == 0
        assert "left_in_a_hurry" in "".join(running.said)
        assert "Traceback" not in "".join(running.said)
