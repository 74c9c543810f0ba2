"""What tests of limited creations share, and a process that creates as far as it is let.

`python -m tests.limited_process <url> <namespace> <limits> <user> <count> <on_limit> <moment>`: it prints `ready`,
begins when it is sent a line, and prints as JSON what became of its creations. At a moment such as `append:answered`
it kills itself; with "" it does not.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import pytest
from redis.exceptions import NoScriptError

from interrupts import (
    AsyncRateLimiter,
    FlowInterrupt,
    InterruptKind,
    InterruptService,
    RateLimitConfig,
    RateLimitedError,
    RecordedEvent,
    connect,
)
from interrupts.rate_rules import CREATE
from interrupts.scripts import script
from interrupts.store.lanes import Command, Lanes, UnreachableError
from tests.conftest import whole_log
from tests.worker_process import Process

RETRY_MAX_S: Final = 61.0
"""A minute and a cell."""
SCRIPTS: Final = {
    known: name
    for name in ("append", "claim", "count", "reserve", "settle")
    for known in (script(name).sha, script(name).text)
}
Fault = Callable[[], Awaitable[list[Any] | None]]


def only(minute: int, hour: int = 1_000, day: int = 10_000) -> RateLimitConfig:
    """So many a minute, also at once."""
    return RateLimitConfig(minute, hour, day, minute)


def an_hour(count: int) -> RateLimitConfig:
    """So many an hour, and at once as many as one likes."""
    return RateLimitConfig(1_000, count, 10_000, 1_000)


async def create(service: InterruptService, user: str = "u", session: str = "s0", **options: Any) -> FlowInterrupt:
    """One confirmation."""
    return await service.create_interrupt(InterruptKind.CONFIRMATION, "r", user, session, message="Go on?", **options)


async def create_many(
    services: Sequence[InterruptService], count: int, user: str = "u", **options: Any
) -> tuple[list[FlowInterrupt], list[RateLimitedError]]:
    """So many at once, each in a session of its own: those that passed and the refusals. Nothing else may come."""
    calls = (create(services[n % len(services)], user, f"s{n}", **options) for n in range(count))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, FlowInterrupt)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, RateLimitedError)]
    assert len(made) + len(refused) == count, [one for one in outcomes if one not in made and one not in refused]
    return made, refused


async def settled(*services: InterruptService) -> None:
    """Returns when everything that was handed over is done, what nobody waits for, too."""
    for service in services:
        await service.store.drain()
        if service._gate is not None:
            await service._gate.drain()


async def logged(service: InterruptService, user: str = "u") -> list[RecordedEvent]:
    """The user's creations in the log that count."""
    return [
        event
        for event in await whole_log(service)
        if (event.user_id, event.type) == (user, "interrupt.created")
        and event.kind is not InterruptKind.RESOURCE_EXHAUSTED
    ]


async def used(limiter: AsyncRateLimiter, user: str = "u", endpoint: str = CREATE) -> tuple[int, int, int]:
    """What is used of the minute, the hour and the day."""
    (use,) = await limiter.usage(user, endpoint)
    return use.minute.used, use.hour.used, use.day.used


async def reserved(limiter: AsyncRateLimiter, user: str = "u", endpoint: str = CREATE) -> int:
    """How many of them are reservations."""
    (use,) = await limiter.usage(user, endpoint)
    return use.reserved


class Wire:
    """Stands between all services of this process and their servers, and does to calls of a script what a test says.

    `before` a script is sent, and `after` it was run, a fault may wait, raise, or give the replies itself.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.before: dict[str, Fault] = {}
        self.after: dict[str, Fault] = {}
        self.ran: Counter[str] = Counter()
        call = Lanes.call

        async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
            name = what_is(commands[0])
            given = await self.before[name]() if name in self.before else None
            if given is not None:
                return given
            replies = await call(lanes, commands, timeout_s)
            if not isinstance(replies[0], NoScriptError):
                self.ran[name] += 1
                given = await self.after[name]() if name in self.after else None
            return replies if given is None else given

        monkeypatch.setattr(Lanes, "call", calling)

    def lose(self, name: str, times: int = 1) -> None:
        """The next replies to this script do not come, although it was run."""
        self.after[name] = self._losing(times, sent=True)

    def cut(self, name: str, times: int = 1) -> None:
        """The next calls of this script are not sent."""
        self.before[name] = self._losing(times, sent=False)

    def refuse(self, name: str, why: Exception) -> None:
        """From now on the server refuses this script."""

        async def fault() -> list[Any] | None:
            return [why]

        self.before[name] = fault

    def hold(self, name: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Calls of this script wait: the first event is set when one has come, the second lets them go."""
        come, go = asyncio.Event(), asyncio.Event()

        async def fault() -> list[Any] | None:
            come.set()
            await go.wait()
            return None

        self.before[name] = fault
        return come, go

    def mend(self) -> None:
        """No faults any more."""
        self.before.clear()
        self.after.clear()

    @staticmethod
    def _losing(times: int, *, sent: bool) -> Fault:
        left = times

        async def fault() -> list[Any] | None:
            nonlocal left
            left -= 1
            if left >= 0:
                raise UnreachableError("the test wants it so", sent=sent)
            return None

        return fault


def what_is(command: Command) -> str:
    """Which script a command runs, or ""."""
    return SCRIPTS.get(command[1], "") if command[0] in ("EVALSHA", "EVAL") else ""


def die_at(moment: str) -> None:
    """From now on the process is killed at this moment."""
    call = Lanes.call

    async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        name = what_is(commands[0])
        if moment == f"{name}:before":
            os.kill(os.getpid(), signal.SIGKILL)
        replies = await call(lanes, commands, timeout_s)
        if moment == f"{name}:answered" and not isinstance(replies[0], NoScriptError):
            os.kill(os.getpid(), signal.SIGKILL)
        return replies

    Lanes.call = calling  # type: ignore[assignment,method-assign]


def process(
    url: str, namespace: str, limits: RateLimitConfig, count: int, *, on_limit: str = "raise", moment: str = ""
) -> Process:
    """Such a process, which creates for the user u."""
    words = limits.words()
    return Process(__name__, url, namespace, words, "u", str(count), on_limit, moment)


def begin(process: Process) -> None:
    """Lets it begin."""
    assert process.popen.stdin is not None
    process.popen.stdin.write("now\n")
    process.popen.stdin.flush()


def told(process: Process) -> dict[str, Any]:
    """What became of its creations: how many were `refused`, and the ids of those `made` and of the `exhausted`."""
    assert process.popen.stdout is not None
    found: dict[str, Any] = json.loads(process.popen.stdout.readline())
    return found


async def main(url: str, namespace: str, words: str, user: str, count: str, on_limit: str, moment: str) -> None:
    """Creates, when it is told to."""
    limits = RateLimitConfig.of_words(words.encode())
    async with connect(url, namespace=namespace, limits=limits) as service:
        if moment:
            die_at(moment)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        made, refused = await create_many([service], int(count), user, on_limit=on_limit)
        exhausted = [one.id for one in made if one.kind is InterruptKind.RESOURCE_EXHAUSTED]
        passed = [one.id for one in made if one.kind is not InterruptKind.RESOURCE_EXHAUSTED]
    print(json.dumps({"made": passed, "exhausted": exhausted, "refused": len(refused)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
