"""A process that sends webhooks, for tests: `python -m tests.webhook_process <url> <namespace> <options as JSON>`.

It runs the role `webhooks` under a supervisor, prints `ready`, and ends when its input is closed or at SIGTERM; then it
prints how often the role had to be begun anew. With `step` and `time` it kills itself at that moment, as
`tests.folding_victim` does: before a call of Redis, when that is sent, or when it is answered; before a request, when
that is sent, or when it is answered. With `freezes` it only freezes then. `slow`, `cut` and `lose` are for `Wire`;
`bounds` are set as `quick` are. Each of its requests says who has sent it, and when.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import pytest
from aiohttp.http_writer import StreamWriter
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError

from interrupts import InterruptService, connect
from interrupts.scripts import script
from interrupts.store.lanes import Command, Lanes, UnreachableError
from tests.folding_victim import Death
from tests.worker_process import END_TIMEOUT_S, Process
from workers.supervisor import Supervisor
from workers.webhooks import Rules
from workers.webhooks.posting import Answer, Poster
from workers.webhooks.role import WebhooksRole

RULES: Final = Rules(networks=("127.0.0.0/8",))
SENT_BY: Final = "x-sent-by"
SENT: Final = ("deliver", "fetch", "sent", "hook", "hooks", "enlist", "attend", "read")
SCRIPTS: Final = {script(name).sha: name for name in SENT}
COMMANDS: Final = {"XREAD": "log", "SMEMBERS": "waiting", "HGETALL": "held", "XRANGE": "entry"}
_doing: contextvars.ContextVar[str] = contextvars.ContextVar("doing", default="")


def quick(margin_s: float = 0.5, lease_s: float = 0.5) -> dict[str, float]:
    """Claims end so soon after an endpoint's time is up, and whoever is gone is gone after so long. The look at all
    that waits is as rare as ever: what is found only by it is late."""
    return {
        "HOOK_CLAIM_MARGIN_S": margin_s,
        "BEGIN_WITHIN_S": margin_s / 2,
        "END_BEFORE_S": margin_s / 4,
        "WORKER_BEAT_S": 0.05,
        "WORKER_LEASE_S": lease_s,
        "RENEW_S": 0.2,
        "HOOK_LOOK_S": 0.1,
    }


def bounds(values: Mapping[str, float]) -> Iterator[tuple[Any, str, float]]:
    """Where these are: the modules that webhooks are made of, and those that share partitions out."""
    modules = [module for path, module in sys.modules.items() if path.startswith("workers.")]
    for name, value in values.items():
        there = [module for module in modules if hasattr(module, name)]
        assert there, f"{name} is nowhere"
        for module in there:
            yield module, name, value


def hastened(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, float]) -> None:
    """Sets these bounds, for a test that runs the role itself."""
    for module, name, value in bounds(values):
        monkeypatch.setattr(module, name, value)


def what_is(command: Command) -> str:
    """What a command is for: a step's name, or ""."""
    if command[0] not in ("EVALSHA", "EVAL"):
        return COMMANDS.get(command[0], "")
    name = SCRIPTS.get(command[1], "")
    if name == "deliver" and command[2] == 2 * command[3 + command[2]]:
        return "place"  # without any lane nothing is written down but how far the log is read
    return "leave" if name == "attend" and command[-1] == 0 else name


class Strike(Death):
    """As a death; or with `freezes` the process is only frozen, until somebody lets it go on, and dies when it has been
    there `more` times again, if that is said."""

    def __init__(self, step: str, time: int, more: int, *, freezes: bool) -> None:
        super().__init__(step, time)
        self._more, self._number = more, signal.SIGSTOP if freezes else signal.SIGKILL

    def at(self, moment: str) -> None:
        """It may be now."""
        if moment == self.step:
            self.left -= 1
            if self.left == 0:
                number, self._number, self.left = self._number, signal.SIGKILL, self._more
                os.kill(os.getpid(), number)


class Wire:
    """Calls of Redis take so many seconds more, or the next ones are `cut` before they are sent, or their replies are
    not heard, which is clear after so many."""

    def __init__(
        self, slow: Mapping[str, float], cut: Mapping[str, Sequence[float]], lose: Mapping[str, Sequence[float]]
    ) -> None:
        self._slow = slow
        self._cut = {name: list(seconds) for name, seconds in cut.items()}
        self._lose = {name: list(seconds) for name, seconds in lose.items()}

    async def sends(self, name: str) -> None:
        """Before it is sent. Raises if it can't be."""
        await asyncio.sleep(self._slow.get(name, 0))
        if self._cut.get(name):
            await asyncio.sleep(self._cut[name].pop(0))
            raise UnreachableError("there is no connection", sent=False)

    async def hears(self, name: str, replies: list[Any]) -> None:
        """Raises if this one is not heard."""
        if self._lose.get(name) and not isinstance(replies[0], NoScriptError):
            await asyncio.sleep(self._lose[name].pop(0))
            raise UnreachableError("the reply was lost", sent=True)


def lie_in_wait(death: Death, wire: Wire) -> None:
    """From now on it may strike before, while and after anything is sent, to Redis or to an endpoint."""
    call, send, post, end = Lanes.call, AbstractConnection.send_packed_command, Poster.post, StreamWriter.write_eof

    async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        name = what_is(commands[0])
        token = _doing.set(name)
        try:
            await wire.sends(name)
            death.at(f"{name}:before")
            replies = await call(lanes, commands, timeout_s)
            await wire.hears(name, replies)
            death.at(f"{name}:answered")
        finally:
            _doing.reset(token)
        return replies

    async def sending(connection: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        await send(connection, *args, **kwargs)
        death.at(f"{_doing.get()}:sent")

    async def posting(poster: Poster, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        death.at("post:before")
        sent_by = {SENT_BY: f"{os.getpid()} {time.time_ns() // 1_000_000}"}
        answer = await post(poster, url, body, {**headers, **sent_by}, timeout_s)
        death.at("post:answered")
        if answer.gone:
            death.at("post:gone")
        if not answer.ok:
            death.at("post:failed")
        return answer

    async def ending(writer: StreamWriter, chunk: bytes = b"") -> None:
        await end(writer, chunk)
        death.at("post:sent")

    Lanes.call = calling  # type: ignore[assignment,method-assign]
    AbstractConnection.send_packed_command = sending  # type: ignore[assignment]
    Poster.post = posting  # type: ignore[assignment,method-assign]
    StreamWriter.write_eof = ending  # type: ignore[assignment,method-assign]


async def main(url: str, namespace: str, options: str) -> None:
    """From its start to the end of its input, or to SIGTERM."""
    said = json.loads(options)
    for module, name, value in bounds({**quick(), **said.pop("bounds", {})}):
        setattr(module, name, value)
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    threading.Thread(target=_read_on, args=(loop, asked), daemon=True).start()
    wire = Wire(said.pop("slow", {}), said.pop("cut", {}), said.pop("lose", {}))
    step = said.pop("step", ""), said.pop("time", 0), said.pop("more", 0)
    lie_in_wait(Strike(*step, freezes=said.pop("freezes", False)), wire)
    async with connect(url, namespace=namespace, **said.pop("connecting", {})) as service:
        end_timeout_s = said.pop("end_timeout_s", 5.0)
        roles: list[WebhooksRole] = []

        def make() -> WebhooksRole:
            roles.append(WebhooksRole(service, RULES, end_timeout_s=end_timeout_s, **said))
            return roles[-1]

        supervisor = Supervisor({"webhooks": make}, service.say, end_timeout_s=end_timeout_s)
        work = asyncio.create_task(supervisor.run())
        while not (roles and roles[-1].ready):  # noqa: ASYNC110 - it asks a role that may be begun anew
            await asyncio.sleep(0.01)
        print("ready", flush=True)
        await asked.wait()
        supervisor.stop()
        await work
    print(f"begun {len(roles)}", flush=True)


def _read_on(loop: asyncio.AbstractEventLoop, asked: asyncio.Event) -> None:
    sys.stdin.read()
    loop.call_soon_threadsafe(asked.set)


def process(url: str, namespace: str, **options: Any) -> Process:
    """Such a process, being started."""
    return Process(__name__, url, namespace, json.dumps(options))


def is_frozen(one: Process) -> bool:
    """Whether it is."""
    return os.waitid(os.P_PID, one.popen.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None


async def asked_to_end(one: Process) -> int:
    """SIGTERM once it is ready, and its end in peace; how often its role was begun."""
    assert await asyncio.to_thread(one.ready) == "ready"
    one.signal(signal.SIGTERM)
    assert await asyncio.to_thread(one.popen.wait, END_TIMEOUT_S) == 0
    assert one.popen.stdout is not None
    return int(one.popen.stdout.readline().split()[1])


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


@asynccontextmanager
async def sending(service: InterruptService) -> AsyncIterator[WebhooksRole]:
    """The role in the test itself; at the end of the block it is asked to end, and must not have failed."""
    role = WebhooksRole(service, RULES)
    work = asyncio.create_task(role.run())
    try:
        yield role
    finally:
        role.stop()
        await work


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
