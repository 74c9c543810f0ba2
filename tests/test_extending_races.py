"""Races of extensions with answers and expiry: what is told as done is in the history, and was in time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from interrupts import ConflictError, InterruptService, RecordedEvent, connect
from interrupts.errors import ValidationError
from tests.waiting import YES, ask

RACES = 200
AT_ONCE = 20
TURNS_MAX = 12
TTLS_MS = (2, 5, 10, 20, 40, 3_600_000)


def assert_in_time(history: Sequence[RecordedEvent], ttls_ms: dict[str, int]) -> None:
    """By the log's own times: until the deadline that held then anything but an expiry, after it nothing but that."""
    created, *rest = history
    deadline = created.at + timedelta(milliseconds=created.terms["ttl_ms"])
    for event in rest:
        assert (event.at >= deadline) is (event.type == "interrupt.expired"), history
        if event.type == "interrupt.extended":
            deadline = event.at + timedelta(milliseconds=ttls_ms[event.command_id])
    closing = [event.type for event in rest if event.type != "interrupt.extended"]
    assert len(closing) <= 1
    assert closing in ([], [rest[-1].type])


def test_of_extensions_answers_and_expiry_there_is_one_outcome(url: str, namespace: str) -> None:
    """Each extension and answer that is told as done is in the history, no other is, and all were in time."""
    dice = random.Random(RACES)

    async def race(services: Sequence[InterruptService], number: int) -> str:
        ttl_ms = TTLS_MS[number % len(TTLS_MS)]
        asked = await ask(services[0], f"s{number}", ttl=timedelta(milliseconds=ttl_ms))
        ttls_ms = {f"x{lane}": dice.choice(TTLS_MS) for lane in range(3)}

        async def extend(name: str) -> Any:
            for _ in range(dice.randrange(TURNS_MAX)):
                await asyncio.sleep(0)
            ttl = timedelta(milliseconds=ttls_ms[name])
            return await dice.choice(services).extend(asked.id, ttl, command_id=name)

        async def answer(name: str) -> Any:
            for _ in range(dice.randrange(TURNS_MAX)):
                await asyncio.sleep(0)
            return await dice.choice(services).respond(asked.id, YES, command_id=name)

        names = [*ttls_ms, "a0", "a1"]
        calls: list[Any] = [*map(extend, ttls_ms), answer("a0"), answer("a1"), dice.choice(services).expire_pending()]
        outcomes: list[Any] = (await asyncio.gather(*calls, return_exceptions=True))[:-1]
        history = await services[0].history(asked.id)
        assert_in_time(history, ttls_ms)
        done = {event.command_id for event in history if event.type in ("interrupt.extended", "interrupt.resolved")}
        for name, outcome in zip(names, outcomes, strict=True):
            assert isinstance(outcome, ValidationError | ConflictError) is (name not in done), (name, outcome, history)
            assert name not in done or outcome.id == asked.id
        assert await services[1].get_interrupt(asked.id) == await services[0].get_interrupt(asked.id)
        return " ".join(sorted({event.type for event in history[1:]}))

    async def main() -> None:
        async with AsyncExitStack() as stack:
            services = [await stack.enter_async_context(connect(url, namespace=namespace, partitions=2)) for _ in "ab"]
            seen: Counter[str] = Counter()
            numbers = iter(range(RACES))
            while batch := list(itertools.islice(numbers, AT_ONCE)):
                seen.update(await asyncio.gather(*(race(services, number) for number in batch)))
            assert seen.total() == RACES
            assert any("extended" in what for what in seen), seen

    asyncio.run(main())
