"""A worker process, real, on a real Redis: what it says, how it ends, and that it does so in time."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interrupts import connect
from tests.present import present
from tests.servers import RedisServer, free_port
from workers.serve import WATCHDOG_S

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 30.0
END_TIMEOUT_S = 1.0
PASSWORD = "hunter2"

PLAIN = """
import asyncio, logging, sys
from functools import partial
from workers import serve as serving
from workers.settings import settings_from_environment
original = serving.connect
WHAT
sys.exit(asyncio.run(serving.serve(settings_from_environment(), sys.argv[1:])))
"""

INJECTED = """
import asyncio, logging, sys, time, threading
from workers import serve as serving, wiring
from workers.settings import settings_from_environment

class Sham:
    ready = True
    def __init__(self, *_):
        self.asked = asyncio.Event()
        made.append(self)
    def stop(self):
        self.asked.set()
    def numbers(self):
        return {"made": len(made)}
    async def run(self):
        WHAT

made = []
wiring._WIRED["expiry"] = Sham
sys.exit(asyncio.run(serving.serve(settings_from_environment(), sys.argv[1:])))
"""


class Served:
    """The process, and its lines as the objects that they are."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.other: list[str] = []
        """What is no log line: the watchdog's last words."""
        self._read: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._reading, daemon=True)
        self._thread.start()

    def _reading(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._read.put(line)
        self._read.put(None)

    def until(self, event: str, count: int = 1) -> dict[str, Any]:
        """Returns this line when it has been said so often."""
        while len(found := [line for line in self.lines if line["event"] == event]) < count:
            text = self._read.get(timeout=TIMEOUT_S)
            assert text is not None, f"it has ended without {event}: {self.lines} {self.other}"
            self._note(text)
        return found[-1]

    def until_other(self, words: str) -> None:
        """Returns when a line that is no object has these words."""
        while not any(words in line for line in self.other):
            text = self._read.get(timeout=TIMEOUT_S)
            assert text is not None, f"it has ended without {words}: {self.other}"
            self._note(text)

    def ended(self) -> int:
        """Its exit code, when it is gone and all it has said was read."""
        code = self.process.wait(TIMEOUT_S)
        while (text := self._read.get(timeout=TIMEOUT_S)) is not None:
            self._note(text)
        return code

    def _note(self, text: str) -> None:
        if text.startswith("{"):
            self.lines.append(json.loads(text))
        else:
            self.other.append(text)


@contextmanager
def served(
    url: str, namespace: str, code: str = PLAIN.replace("WHAT", ""), roles: Sequence[str] = (), **environment: str
) -> Iterator[Served]:
    """It runs; at the end of the block it is gone, whatever happens."""
    told = {
        "INTERRUPTS_REDIS_URL": url,
        "INTERRUPTS_NAMESPACE": namespace,
        "INTERRUPTS_END_TIMEOUT_S": f"{END_TIMEOUT_S:g}",
        "INTERRUPTS_LOG_FORMAT": "json",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *roles],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **told, **environment},
    )
    assert process.stderr is not None
    found = Served(process)
    try:
        yield found
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
        found._thread.join(TIMEOUT_S)
        process.stderr.close()


def injected(*what: str) -> str:
    """A process whose role `expiry` does this."""
    return INJECTED.replace("WHAT", "\n        ".join(what))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_in_time_and_says_what_was_done(
    shared_server: RedisServer, namespace: str, number: signal.Signals
) -> None:
    """With code 0 and a last line; what it runs, and where, was said at the start."""
    with served(shared_server.url, namespace, roles=["projections"]) as process:
        running = process.until("workers.running")
        assert (running["roles"], running["namespace"]) == (["projections"], namespace)
        assert running["on"] == f"127.0.0.1:{shared_server.port}"
        asyncio.run(create_and_list(shared_server.url, namespace))
        began = time.monotonic()
        process.process.send_signal(number)
        assert process.ended() == 0
        assert time.monotonic() - began < END_TIMEOUT_S + WATCHDOG_S
        assert [line["event"] for line in process.lines[-3:]] == ["workers.ending", "workers.done", "workers.ended"]
        assert process.lines[-3]["because"] == number.name
        assert process.lines[-2]["numbers"] == {"folded": 1, "partitions": 16, "standing_still": 0}
        assert process.lines[-1]["in_time"] is True
        assert process.other == []


async def create_and_list(url: str, namespace: str) -> None:
    """The role does its work: a list has what was written."""
    async with connect(url, namespace=namespace, view_wait_s=TIMEOUT_S) as service:
        async with asyncio.timeout(TIMEOUT_S):
            while not await present(service):  # noqa: ASYNC110 - it asks Redis
                await asyncio.sleep(0.01)
        made = await service.create_checkpoint("r", "u", "s")
        assert await service.list_pending() == [made]


def test_a_second_signal_ends_it_at_once(own_server: RedisServer, namespace: str) -> None:
    """By that signal, though the server does not answer and what is in hand can't be finished."""
    with served(own_server.url, namespace, roles=["projections"], INTERRUPTS_END_TIMEOUT_S="600") as process:
        process.until("workers.running")
        asyncio.run(create_and_list(own_server.url, namespace))
        own_server.freeze()
        process.process.send_signal(signal.SIGTERM)
        process.until("workers.ending")
        process.process.send_signal(signal.SIGTERM)
        assert process.ended() == -signal.SIGTERM
        assert process.lines[-1]["event"] == "workers.ending"


def test_a_role_that_fails_is_begun_anew(shared_server: RedisServer, namespace: str) -> None:
    """It is said, again and again; the other role and the end are as ever."""
    code = injected('raise RuntimeError(f"broken {len(made)}")')
    with served(shared_server.url, namespace, code, ["expiry", "projections"]) as process:
        line = process.until("workers.restarting", 3)
        assert (line["role"], line["error"], line["level"]) == ("expiry", "RuntimeError('broken 3')", "error")
        assert line["again_in_s"] > 0
        process.process.send_signal(signal.SIGTERM)
        assert process.ended() == 0
        done = {line["role"]: line for line in process.lines if line["event"] == "workers.done"}
        assert done["expiry"]["restarts"] >= 3
        assert done["projections"]["restarts"] == 0


def test_what_takes_too_long_is_cut_off(shared_server: RedisServer, namespace: str) -> None:
    """It is said, and the exit code is 1."""
    code = injected('logging.getLogger("sham").warning("at work")', "await asyncio.Event().wait()")
    with served(shared_server.url, namespace, code, ["expiry"]) as process:
        process.until("at work")
        process.process.send_signal(signal.SIGTERM)
        assert process.ended() == 1
        assert process.until("workers.cut_off")["role"] == "expiry"
        assert process.lines[-1]["in_time"] is False
        assert process.other == []


@pytest.mark.parametrize(
    "what",
    [
        # It holds up the loop, which hears of nothing: no signal, no time-out.
        'logging.getLogger("sham").warning("at work"), time.sleep(600)',
        # The loop goes on, and a thread does not.
        'logging.getLogger("sham").warning("at work"), await asyncio.to_thread(time.sleep, 600)',
    ],
    ids=["loop", "thread"],
)
def test_what_can_not_be_cut_off_does_not_keep_it_either(shared_server: RedisServer, namespace: str, what: str) -> None:
    """The watchdog ends it, with code 1 and the place where it hung."""
    with served(shared_server.url, namespace, injected(what), ["expiry"]) as process:
        process.until("at work")
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        assert process.ended() == 1
        assert time.monotonic() - began < END_TIMEOUT_S + WATCHDOG_S + 5
        assert "Timeout" in "".join(process.other)


def test_a_second_signal_ends_it_though_the_loop_is_held_up(shared_server: RedisServer, namespace: str) -> None:
    """The signals are Python's, not the loop's."""
    code = injected('logging.getLogger("sham").warning("at work")', "time.sleep(600)")
    with served(shared_server.url, namespace, code, ["expiry"], INTERRUPTS_END_TIMEOUT_S="600") as process:
        process.until("at work")
        while process.process.poll() is None:  # two signals of a kind that are pending at once count as one
            process.process.send_signal(signal.SIGTERM)
        assert process.ended() == -signal.SIGTERM


def test_a_server_that_is_away_is_told_readably(namespace: str) -> None:
    """It is tried for as long as a call is, then the orchestrator's turn has come: no traceback, no password."""
    code = PLAIN.replace("WHAT", "serving.connect = partial(original, call_timeout_s=0.3)")
    with served(f"redis://u:{PASSWORD}@127.0.0.1:{free_port()}", namespace, code) as process:
        assert process.ended() == 1
        (line,) = process.lines
        assert (line["event"], line["level"]) == ("workers.not_started", "error")
        assert "Redis is away" in line["because"]
        assert PASSWORD not in str(process.lines) + str(process.other)


def test_asked_while_it_connects_it_ends(own_server: RedisServer, namespace: str) -> None:
    """It does not wait for a server that does not answer."""
    own_server.freeze()
    said = 'logging.getLogger("sham").warning("connecting")'
    code = PLAIN.replace("WHAT", f"serving.connect = lambda *args, **named: {said} or original(*args, **named)")
    with served(own_server.url, namespace, code) as process:
        process.until("connecting")
        process.process.send_signal(signal.SIGTERM)
        assert process.ended() == 0
        assert process.lines[-1]["event"] == "workers.ended"


def test_lines_for_people_are_lines(shared_server: RedisServer, namespace: str) -> None:
    """One for each event, whatever is in it, unless a lower level was asked for."""
    code = injected('raise RuntimeError("broken\\nin two")')
    told = {"INTERRUPTS_LOG_FORMAT": "text", "INTERRUPTS_LOG_LEVEL": "error"}
    with served(shared_server.url, namespace, code, ["expiry"], **told) as process:
        process.until_other("broken")
        process.process.send_signal(signal.SIGTERM)
        assert process.ended() == 0
        assert all("workers.restarting" in line and "[error" in line for line in process.other)
        assert process.lines == []
