"""A process that expires, for tests: `python -m tests.expiring_process <url> <namespace> <options as JSON>`.

It runs the role `expiry` and nothing else. It prints `ready` when it has looked at all, and ends when its input is
closed or at SIGTERM. With `step` and `time` it kills itself at that moment, as `tests.folding_victim` does: before it
sends a command, when that is sent, or when it is answered. The same role within a test: `expiring`.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

from interrupts import FlowInterrupt, InterruptService, connect
from interrupts.scripts import script
from interrupts.store.lanes import Command, Lanes
from tests.conftest import whole_log
from tests.folding_victim import Death
from tests.reacting import hasten, until_async
from tests.servers import until
from tests.test_serving import Served
from tests.worker_process import END_TIMEOUT_S, Process
from workers import Event, EventBus
from workers.expiring import ExpiryRole

SCRIPTS: Final = {script(name).sha: name for name in ("attend", "due", "append")}
COMMANDS: Final = {"XREAD": "read", "XREVRANGE": "position"}
ECHO: Final = "echoes.event.seen"
QUICK_BEATS: Final[dict[str, float]] = {"workers.attending.WORKER_BEAT_S": 0.05}


def leases(lease_s: float) -> dict[str, float]:
    """Processes hear of each other soon, and whoever is gone is gone after so long."""
    return QUICK_BEATS | {"workers.attending.WORKER_LEASE_S": lease_s, "workers.sharing.WORKER_LEASE_S": lease_s}


def what_is(command: Command) -> str:
    """What a command is for: a step's name, or its own."""
    name = SCRIPTS.get(command[1], "") if command[0] == "EVALSHA" else COMMANDS.get(command[0], "")
    return "leave" if name == "attend" and command[-1] == 0 else name or str(command[0])


def lie_in_wait(death: Death) -> None:
    """From now on it may strike before, while and after anything is sent."""
    call, send = Lanes.call, AbstractConnection.send_packed_command
    doing: contextvars.ContextVar[str] = contextvars.ContextVar("doing", default="")

    async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        name = what_is(commands[0])
        token = doing.set(name)
        death.at(f"{name}:before")
        replies = await call(lanes, commands, timeout_s)
        death.at(f"{name}:answered")
        doing.reset(token)
        return replies

    async def sending(connection: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        await send(connection, *args, **kwargs)
        death.at(f"{doing.get()}:sent")

    Lanes.call = calling  # type: ignore[assignment,method-assign]
    AbstractConnection.send_packed_command = sending  # type: ignore[assignment]


@asynccontextmanager
async def expiring(service: InterruptService) -> AsyncIterator[ExpiryRole]:
    """The role, ready; at the end of the block it is asked to end, and must not have failed."""
    role = ExpiryRole(service)
    work = asyncio.create_task(role.run())
    try:
        await until(lambda: role.ready or work.done(), "it has looked at all")
        yield role
    finally:
        role.stop()
        await work


async def until_closed(service: InterruptService, asked: Sequence[FlowInterrupt], timeout_s: float = 20.0) -> None:
    """Returns when each has its expiry in the log. Looking at one writes nothing."""
    left = [one.id for one in asked]

    async def all_closed() -> bool:
        while left:
            read = await service.store.read(left[-1])
            if read.there is None or b'"interrupt.expired"' not in read.there:
                return False
            left.pop()
        return True

    await until_async(all_closed, f"{len(asked)} are expired by somebody else", timeout_s)


async def assert_expired_in_time(service: InterruptService, asked: Sequence[FlowInterrupt]) -> float:
    """Each of these, and nothing else, has one expiry in the log, and none before its deadline, as it was last set; by
    how many seconds the latest one is late."""
    log = [event for event in await whole_log(service) if event.type == "interrupt.expired"]
    assert Counter(event.interrupt_id for event in log) == Counter(one.id for one in asked)
    late = [0.0]
    for event in log:
        there = await service.get_interrupt(event.interrupt_id)
        assert there is not None
        assert there.expires_at is not None
        late.append((event.at - there.expires_at).total_seconds())
    assert min(late) >= 0, f"expired {-min(late):g} s too early"
    return max(late)


async def main(url: str, namespace: str, options: str) -> None:
    """From its start to the end of its input, or to SIGTERM."""
    said = json.loads(options)
    hasten(leases(said.pop("lease_s", 0.5)))
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    threading.Thread(target=_read_on, args=(loop, asked), daemon=True).start()
    async with connect(url, namespace=namespace) as service:
        lie_in_wait(Death(said.pop("step", ""), said.pop("time", 0)))
        async with expiring(service):
            print("ready", flush=True)
            await asked.wait()


def _read_on(loop: asyncio.AbstractEventLoop, asked: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(asked.set)


def process(url: str, namespace: str, **options: Any) -> Process:
    """Such a process, being started."""
    return Process(__name__, url, namespace, json.dumps(options))


@contextmanager
def processes(*started: Process) -> Iterator[tuple[Process, ...]]:
    """They are ready in the block, and gone after it."""
    try:
        for one in started:
            assert one.ready() == "ready"
        yield started
    finally:
        for one in started:
            one.end()


bus = EventBus()
"""Handlers for a worker process, whose traces are in the log: `--handlers tests.expiring_process:bus`."""


@bus.subscribe("interrupt.resolved", group="resume", start="beginning", resumes=True)
async def resume(_: Event) -> None:
    """Goes on with what was answered: the interrupt's history says so."""


@bus.subscribe("tests.*", group="echo", start="beginning")
async def echo(event: Event) -> None:
    """Publishes what it has seen."""
    await bus.publish(ECHO, session_id=event.session_id, n=event.data["n"])


@contextmanager
def whole_worker(url: str, namespace: str, *roles: str, **environment: str) -> Iterator[Served]:
    """`python -m workers run`, with all roles unless told, and these handlers unless told; it is at work."""
    told = {
        "INTERRUPTS_REDIS_URL": url,
        "INTERRUPTS_NAMESPACE": namespace,
        "INTERRUPTS_LOG_FORMAT": "json",
        "INTERRUPTS_HANDLERS": "tests.expiring_process:bus",
    }
    popen = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "workers", "run", *roles],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **told, **environment},
    )
    served = Served(popen)
    try:
        served.until("workers.running")
        yield served
    finally:
        popen.kill()
        popen.wait(END_TIMEOUT_S)
        served._thread.join(END_TIMEOUT_S)
        assert popen.stderr is not None
        popen.stderr.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
