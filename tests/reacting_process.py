"""A process that reacts, for tests: `python -m tests.reacting_process <url> <namespace> <options as JSON>`.

What its handler does with an event is said in the event (`do`): nothing, `fail` (always, or so often), `kill` (the
process), `wait` (so long), or `gate` (until the test opens it). What it has done is in a list in Redis, so that it is
known also of a process that was killed. It prints `ready`, and ends when its input is closed or at SIGTERM. With
`step` and `time` it kills itself at that moment, as `tests.folding_victim` does.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.asyncio.connection import AbstractConnection

from interrupts import InterruptService, connect
from interrupts.scripts import script
from interrupts.store.lanes import Command, Lanes
from tests.folding_victim import Death
from tests.reacting import hasten, leases, seen
from tests.worker_process import Process
from workers import Event, EventBus

SCRIPTS: Final = {script(name).sha: name for name in ("lease", "progress", "enlist", "attend")}
COMMANDS: Final = {"XREAD": "read", "HGETALL": "look"}
GATE_S: Final = 0.01


class Noting:
    """The handler."""

    def __init__(self, service: InterruptService, death: Death) -> None:
        self._service, self._death = service, death

    async def react(self, event: Event) -> None:
        """Notes that it begins, does what it is told, notes that it is done."""
        session, number = seen(event)
        await self._note("begin", session, number, event.attempt)
        self._death.at("handler:begun")
        await self._do(event)
        await self._note("done", session, number, event.attempt)
        self._death.at("handler:done")

    async def _do(self, event: Event) -> None:
        data = event.data
        match data.get("do"):
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "fail" if event.attempt <= data.get("times", 1_000):
                raise ValueError("as it is told")
            case "fail" if data.get("then") == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                await asyncio.sleep(data["s"])
            case "gate":
                gate = f"{journal_key(self._service.store.keys.namespace)}:gate"
                while not await self._ask("EXISTS", gate):  # noqa: ASYNC110 - it asks Redis
                    await asyncio.sleep(GATE_S)
            case _:
                pass

    async def _note(self, what: str, *said: Any) -> None:
        line = json.dumps([what, *said, os.getpid()])
        await self._ask("RPUSH", journal_key(self._service.store.keys.namespace), line)

    async def _ask(self, *command: Any) -> Any:
        return await self._service.store.server.command(0, *command)


def journal_key(namespace: str) -> str:
    """Where it is noted what handlers do."""
    return f"{namespace}-journal"


class Line:
    """What was noted: that a handler begins, or is done."""

    def __init__(self, raw: bytes) -> None:
        self.what, self.session, self.number, self.attempt, self.pid = json.loads(raw)

    def __repr__(self) -> str:
        return f"{self.what} {self.session} {self.number} attempt {self.attempt} in {self.pid}"


def noted(client: redis.Redis, namespace: str, what: str = "") -> list[Line]:
    """All that was noted, or all of this sort."""
    raws: Any = client.lrange(journal_key(namespace), 0, -1)
    return [line for line in map(Line, raws) if line.what == what or not what]


def done(client: redis.Redis, namespace: str) -> list[tuple[str, int]]:
    """What is done, session and number."""
    return [(line.session, line.number) for line in noted(client, namespace, "done")]


def open_gate(client: redis.Redis, namespace: str) -> None:
    """Lets go on what waits for it."""
    client.set(f"{journal_key(namespace)}:gate", "open")


def what_is(command: Command) -> str:
    """What a command is for: a step's name, or ""."""
    name = SCRIPTS.get(command[1], "") if command[0] == "EVALSHA" else COMMANDS.get(command[0], "")
    if name in ("attend", "lease") and command[-1] == 0:
        return {"attend": "leave", "lease": "give_back"}[name]
    return name


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


async def main(url: str, namespace: str, options: str) -> None:
    """From its start to the end of its input, or to SIGTERM."""
    said = json.loads(options)
    death = Death(said.pop("step", ""), said.pop("time", 0))
    hasten(leases(said.pop("lease_s", 1.0)))
    hasten(said.pop("bounds", {}))
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    threading.Thread(target=_read_on, args=(loop, ended), daemon=True).start()
    async with connect(url, namespace=namespace) as service:
        bus = EventBus()
        bus.subscribe("tests.*", group="g", **{"backoff_first_s": 0.01, "timeout_s": 10.0, **said})(
            Noting(service, death).react
        )
        lie_in_wait(death)
        async with bus.running(service):
            print("ready", flush=True)
            await ended.wait()
    print("ended", flush=True)


def _read_on(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(ended.set)


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


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
