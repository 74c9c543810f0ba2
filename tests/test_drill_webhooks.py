"""A drill: three who send, one of them killed every second, and ten endpoints, some of which fail now and then.

The endpoints are in a process of their own (`python -m tests.test_drill_webhooks <folder>`) that writes down what came.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest

from interrupts import connect
from tests.conftest import whole_log
from tests.receiver import Receiver
from tests.servers import END_TIMEOUT_S, RedisServer, wait_until
from tests.waiting import run
from tests.webhook_process import process, quick
from tests.webhook_watch import Endpoints, Watching, happen
from tests.worker_process import Process
from workers.webhooks.telling import delivery_id

pytestmark = pytest.mark.drill

EVENTS = 20_000
AT_ONCE = 50
SENDERS = 3
SOUND = [f"/ok/{number}" for number in range(6)]
FAILING = [f"/flaky/{number}" for number in range(4)]
FAILS = ("/status/500", "/status/503", "/drop", "/half-head", "/sleep/1")
"""How one in ten of the requests to those that fail is answered."""
KILL_EVERY_S = 1.0
BOUND_S = 1_200.0
_POSITION = re.compile(rb'"position":"([^"]+)"')


class Failing(Receiver):
    """It writes down each request: its path, its webhook-id, and the position of its event."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = (folder / "came").open("a", buffering=1)

    async def _answer(self, how: str, *streams: Any) -> bool:
        request = self.requests.pop()
        found = _POSITION.search(request.body)
        print(request.path, request.id, found[1].decode() if found else "", file=self._file)
        if how.startswith("/flaky") and random.random() < 0.1:
            how = random.choice(FAILS)
        return await super()._answer(how, *streams)


async def main(folder: Path) -> None:
    """Listens until the input is closed."""
    async with Failing(folder) as receiver:
        (folder / "port.new").write_text(str(receiver.port))
        (folder / "port.new").rename(folder / "port")
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def listening(folder: Path) -> Iterator[int]:
    """Such a process, and its port."""
    popen = subprocess.Popen(
        [sys.executable, "-m", __name__, str(folder)], stdin=subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    try:
        wait_until(lambda: (folder / "port").exists() or popen.poll() is not None, "the receiver listens")
        yield int((folder / "port").read_text())
    finally:
        popen.kill()
        popen.wait(END_TIMEOUT_S)
        assert popen.stdin is not None
        popen.stdin.close()


class Killing:
    """Each second one of those that are ready is killed, and another one started, as long as the block lasts."""

    def __init__(self, url: str, namespace: str) -> None:
        self._url, self._namespace = url, namespace
        self._senders = [self._start() for _ in range(SENDERS)]
        self.killed = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._kill_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for one in self._senders:
            await asyncio.to_thread(one.end)

    def _start(self) -> Process:
        return process(self._url, self._namespace, bounds=quick(1.0))

    async def _kill_on(self) -> None:
        while True:
            await asyncio.sleep(KILL_EVERY_S)
            number = random.randrange(SENDERS)
            await asyncio.to_thread(self._senders[number].ready)
            await asyncio.to_thread(self._senders[number].end)
            self._senders[number] = self._start()
            self.killed += 1


def test_whoever_is_killed_everything_arrives_under_one_id(
    own_server: RedisServer, namespace: str, tmp_path: Path
) -> None:
    """Twenty thousand events, to ten endpoints each."""

    async def drill(port: int) -> None:
        async with connect(own_server.url, namespace=namespace) as service:
            endpoints = Endpoints(service, Watching(port))  # only its urls are used
            for path in SOUND + FAILING:
                await endpoints.add(path, timeout_seconds=2.0, concurrency=16)
            begun = time.monotonic()
            async with Killing(own_server.url, namespace) as killing:
                for first in range(0, EVENTS // 3 + 1, AT_ONCE):
                    await happen(service, first, AT_ONCE)
                await endpoints.until_done(BOUND_S)
                took_s = time.monotonic() - begun
            log = await whole_log(service)
            assert len(log) >= EVENTS
            came = [line.split() for line in (tmp_path / "came").read_text().splitlines()]
            found: dict[str, set[str]] = {path: set() for path in SOUND + FAILING}
            for path, one, position in came:
                assert one == delivery_id(position, endpoints.ids[path])
                found[path].add(one)
            for path, ids in found.items():
                assert ids == {delivery_id(event.position, endpoints.ids[path]) for event in log}
                stats = await endpoints.webhooks.stats(endpoints.ids[path])
                assert (stats.waiting, stats.failed, stats.left_out, stats.delivered) == (0, 0, 0, len(log))
            wanted = len(log) * len(found)
            assert killing.killed
            print(
                f"\nkill -9: {killing.killed} times; {len(log)} events, {wanted} deliveries: all there, noted once, "
                f"in {took_s:.0f} s; {len(came) - wanted} requests more, which failed or were sent again"
            )

    with listening(tmp_path) as port:
        run(drill(port), BOUND_S)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
