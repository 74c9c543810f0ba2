"""What tests of reactions share: events to react to, handlers that note what they got, and looks at a group."""

from __future__ import annotations

import asyncio
import importlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from interrupts import InterruptService
from interrupts.store.groups import Groups, Held, Parked
from interrupts.views import place_of
from tests.servers import until
from workers import Event, EventBus

NAME: Final = "tests.event.happened"
BOUND_S: Final = 60.0
QUICK_BEATS: Final[dict[str, float]] = {
    "workers.consuming.WORKER_BEAT_S": 0.05,
    "workers.attending.WORKER_BEAT_S": 0.05,
}
"""Processes hear of each other, and look after their handlers, ten times as often."""


def leases(lease_s: float) -> dict[str, float]:
    """Whoever is gone is gone after so long."""
    return QUICK_BEATS | {
        "workers.consuming.LEASE_S": lease_s,
        "workers.committing.LEASE_S": lease_s,
        "workers.recovering.LEASE_S": lease_s,
        "interrupts.store.groups._LEASE_MS": round(lease_s * 1000),
        "workers.attending.WORKER_LEASE_S": lease_s,
        "workers.sharing.WORKER_LEASE_S": lease_s,
    }


SHORT_LEASES: Final = leases(1.0)
BRIEF_S: Final = 0.4
"""For tests of crashes, in which events may be handled again anyway."""
Do = Callable[[Event], Awaitable[Any] | None]


def hasten(values: dict[str, float]) -> None:
    """Sets these bounds, for a process of its own."""
    for path, value in values.items():
        module, _, name = path.rpartition(".")
        setattr(importlib.import_module(module), name, value)


def hastened(monkeypatch: pytest.MonkeyPatch, values: dict[str, float]) -> None:
    """Sets these bounds, for a test."""
    for path, value in values.items():
        monkeypatch.setattr(path, value)


def run(main: Any, bound_s: float = BOUND_S) -> None:
    """Runs a test that hangs if something is forgotten; then it fails."""
    asyncio.run(asyncio.wait_for(main, bound_s))


async def publish(service: InterruptService, session: str, *numbers: int, **data: Any) -> list[str]:
    """Publishes events with these numbers in a session, one after the other; their positions."""
    return [await service.publish(NAME, {"n": number, "session_id": session, **data}) for number in numbers]


async def publish_mixed(service: InterruptService, sessions: Iterable[str], each: int, seed: int = 1) -> None:
    """Publishes so many events in each session, mixed at random; those of a session in their order."""
    turns = [session for session in sessions for _ in range(each)]
    random.Random(seed).shuffle(turns)
    next_of = dict.fromkeys(turns, 0)
    waiting: dict[str, asyncio.Task[Any]] = {}
    for session in turns:
        next_of[session] += 1
        before = waiting.get(session)
        if before is not None:
            await before
        waiting[session] = asyncio.create_task(publish(service, session, next_of[session]))
    await asyncio.gather(*waiting.values())


def seen(event: Event) -> tuple[str, int]:
    """Which of the events above it is."""
    return event.session_id, event.data["n"]


class Journal:
    """A handler that notes what it gets, and then does what it is told."""

    def __init__(self, do: Do | None = None) -> None:
        self.begun: list[tuple[str, int, int]] = []
        """Session, number and attempt, when a handler begins."""
        self.done: list[tuple[str, int]] = []
        """Session and number, when it is done."""
        self.faults: list[str] = []
        self._at_work: set[str] = set()
        self._do = do

    async def note(self, event: Event) -> None:
        """The handler."""
        session, number = seen(event)
        self.begun.append((session, number, event.attempt))
        if session in self._at_work:
            self.faults.append(f"{session} {number} begins while another one of its session is handled")
        self._at_work.add(session)
        try:
            if self._do is not None:
                wait = self._do(event)
                if wait is not None:
                    await wait
            self.done.append((session, number))
        finally:
            self._at_work.discard(session)

    async def until_done(self, count: int) -> None:
        """Returns when so many are done, again or not."""
        await until(lambda: len(self.done) >= count, f"{count} are handled; {len(self.done)} are")

    async def until_begun(self, count: int) -> None:
        """Returns when so many were begun, again or not."""
        await until(lambda: len(self.begun) >= count, f"{count} are begun; {len(self.begun)} are")

    def numbers(self, session: str) -> list[int]:
        """What was done of a session."""
        return [number for one, number in self.done if one == session]


def assert_each_once_in_order(done: Iterable[tuple[str, int]], sessions: Iterable[str], each: int) -> None:
    """Every event of these sessions was handled once, in the order of its session."""
    found: dict[str, list[int]] = {session: [] for session in sessions}
    for session, number in done:
        found[session].append(number)
    assert {s: n for s, n in found.items() if n != list(range(1, each + 1))} == {}


def assert_at_least_once_in_order(done: Iterable[tuple[str, int]], sessions: Iterable[str], each: int) -> None:
    """Every event was handled, and none before the one in front of it in its session; some again."""
    reached = dict.fromkeys(sessions, 0)
    for session, number in done:
        assert number <= reached[session] + 1, f"{session} {number} was handled, after {reached[session]}"
        reached[session] = max(reached[session], number)
    assert {session: number for session, number in reached.items() if number != each} == {}


def groups(service: InterruptService) -> Groups:
    """What is known of groups."""
    return Groups(service.store.server, service.store.keys)


async def held(service: InterruptService, group: str) -> list[Held]:
    """What a group holds, in all partitions."""
    return [one for p in range(service.log.partitions) for one in await groups(service).held(group, p)]


async def parked(service: InterruptService, group: str) -> dict[str, Parked]:
    """What a group has parked, by position."""
    found = {}
    for partition in range(service.log.partitions):
        for stream_id, why in await groups(service).parked(group, partition):
            found[f"{partition}:{stream_id}"] = why
    return found


async def places(service: InterruptService, group: str) -> list[tuple[int, int]]:
    """How far a group is, by partition."""
    return [(await groups(service).standing(group, p))[0].place for p in range(service.log.partitions)]


async def ends(service: InterruptService) -> list[tuple[int, int]]:
    """How far the log is, by partition."""
    store, found = service.store, []
    for slot, log in zip(store.keys.slots, store.keys.logs, strict=True):
        last = await store.server.command(slot, "XREVRANGE", log, "+", "-", "COUNT", 1)
        found.append(place_of(last[0][0].decode()) if last else (0, 0))
    return found


async def until_async(condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float = 20.0) -> None:
    """Returns when the condition, which asks Redis, holds; fails if it does not in time."""
    give_up_at = asyncio.get_running_loop().time() + timeout_s
    while not await condition():
        assert asyncio.get_running_loop().time() < give_up_at, f"waited {timeout_s:g} s in vain: {what}"
        await asyncio.sleep(0.02)


async def until_settled(service: InterruptService, group: str, *, parked_count: int | None = 0) -> None:
    """Returns when the group has written down that it is at the end of the log, with nothing held, and so many parked;
    None: any number."""

    async def settled() -> bool:
        at_end = await places(service, group) == await ends(service)
        if not at_end or await held(service, group):
            return False
        return parked_count is None or len(await parked(service, group)) == parked_count

    try:
        await until_async(settled, f"{group} is at the end of the log with {parked_count} parked")
    except AssertionError as error:
        error.add_note(f"at {await places(service, group)} of {await ends(service)}")
        error.add_note(f"held: {await held(service, group)}, parked: {await parked(service, group)}")
        raise


@asynccontextmanager
async def reacting(
    service: InterruptService, handler: Any, *patterns: str, group: str = "g", **options: Any
) -> AsyncIterator[EventBus]:
    """A bus with one handler, running; retries are quick."""
    handler = handler.note if isinstance(handler, Journal) else handler
    bus = EventBus()
    bus.subscribe(*(patterns or ("tests.*",)), group=group, **{"backoff_first_s": 0.01, **options})(handler)
    async with bus.running(service):
        yield bus
