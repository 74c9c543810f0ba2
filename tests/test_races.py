"""Races: answers, cancellations and expiry of one interrupt at once. One wins, and every loser is told who."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

from interrupts import ConflictError, FlowInterrupt, InterruptKind, InterruptResponse, InterruptService, connect

SERVICES = 3
RACES = 200
RACES_AT_ONCE = 20
TTLS_MS = (2, 5, 10, 20, 40, 80, 3_600_000)
"""Deadlines from before the race to long after it."""
RUNNERS_PER_RACE = 5
TURNS_MAX = 12
"""How many turns of the event loop a runner may lag behind."""


async def race(services: Sequence[InterruptService], number: int, dice: random.Random) -> str:
    """One race, and what came of it: who closed the interrupt, and that every loser knows."""
    first = dice.choice(services)
    created = await first.create_interrupt(
        InterruptKind.CONFIRMATION,
        "request",
        "user",
        f"session-{number}",
        ttl=timedelta(milliseconds=TTLS_MS[number % len(TTLS_MS)]),
    )
    runners = [_respond(services, created.id, f"answerer-{lane}", dice) for lane in range(3)]
    runners += [_cancel(services, created.id, f"canceller-{lane}", dice) for lane in range(2)]
    dice.shuffle(runners)
    *outcomes, _ = await asyncio.gather(*runners, dice.choice(services).expire_pending(), return_exceptions=True)
    history = await first.history(created.id)
    assert [event.version for event in history] == [1, 2], f"one closing event, not {history[1:]}"
    closing = history[-1]
    winners = [outcome for outcome in outcomes if isinstance(outcome, FlowInterrupt)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, ConflictError)]
    assert len(winners) + len(losers) == len(outcomes) == RUNNERS_PER_RACE, outcomes
    assert len(winners) == (closing.type != "interrupt.expired"), (closing, outcomes)
    now = await first.get_interrupt(created.id)
    assert now is not None
    for loser in losers:
        assert loser.interrupt == now, (loser, closing)
        assert loser.code == now.status.value == closing.type.removeprefix("interrupt.")
    assert all(winner == now for winner in winners)
    assert (now.position, now.resolved_by, now.resolved_at) == (closing.position, closing.actor, closing.at)
    return closing.type


async def _respond(services: Sequence[InterruptService], interrupt_id: str, actor: str, dice: random.Random) -> object:
    await _lag(dice)
    return await dice.choice(services).respond(interrupt_id, InterruptResponse(approved=True), actor=actor)


async def _cancel(services: Sequence[InterruptService], interrupt_id: str, actor: str, dice: random.Random) -> object:
    await _lag(dice)
    return await dice.choice(services).cancel(interrupt_id, "off", actor=actor)


async def _lag(dice: random.Random) -> None:
    for _ in range(dice.randrange(TURNS_MAX)):
        await asyncio.sleep(0)


async def races(url: str, namespace: str, count: int, at_once: int) -> Counter[str]:
    """Many races side by side; how often each sort of event won."""
    dice = random.Random(count)
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(connect(url, namespace=namespace)) for _ in range(SERVICES)]
        outcomes: Counter[str] = Counter()
        numbers = iter(range(count))
        while batch := list(itertools.islice(numbers, at_once)):
            outcomes.update(await asyncio.gather(*(race(services, number, dice) for number in batch)))
        return outcomes


def test_of_concurrent_answers_cancellations_and_expiry_exactly_one_wins(url: str, namespace: str) -> None:
    """Each race has one closing event, and each loser's conflict names the winner that the history shows."""
    outcomes = asyncio.run(races(url, namespace, RACES, RACES_AT_ONCE))
    assert outcomes.total() == RACES
