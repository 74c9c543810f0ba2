"""What tests of views share: a projection worker by hand, and a mixed population with a plain model of its lists."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from interrupts import (
    FlowInterrupt,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    PaginationParams,
    Position,
)
from interrupts.store.lookup import ROLE
from projections import PROJECTIONS, Projection
from projections.follower import Follower
from projections.loading import Current
from projections.store import Views
from tests.conftest import until_expired
from workers.sharing import Membership

YES = InterruptResponse(approved=True)
AT_ONCE = timedelta(milliseconds=1)
SHORT_S = 0.05
"""For services whose lists are to give up: their `view_wait_s`."""


class HandWorker:
    """A projection worker that folds only when it is told to. Not for a cluster."""

    def __init__(self, service: InterruptService, projections: Sequence[Projection] = PROJECTIONS) -> None:
        views = Views(service.store)
        self._follower = Follower(views, Current(views, projections, service.say), service.say)
        self._follower.want(range(service.log.partitions))
        self._membership = Membership(service.store, ROLE)

    async def attend(self) -> None:
        """Says that it is there, for the seconds of a lease, and does nothing."""
        await self._membership.beat()

    async def fold(self) -> None:
        """Folds all that is in the log now."""
        while await self._follower.step(block=False):
            pass

    async def end(self) -> None:
        """Closes its connections."""
        await self._follower.end()


@asynccontextmanager
async def by_hand(
    service: InterruptService, projections: Sequence[Projection] = PROJECTIONS
) -> AsyncIterator[HandWorker]:
    """A worker by hand, for the length of the block. Nobody knows of it until it attends."""
    worker = HandWorker(service, projections)
    try:
        yield worker
    finally:
        await worker.end()


def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[None]:
    """From now on the list gets longer by one with each call of this async method."""
    original: Callable[..., Any] = getattr(owner, name)
    calls: list[None] = []

    async def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        return await original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls


def every_list(service: InterruptService) -> list[Callable[..., Coroutine[Any, Any, Any]]]:
    """Each method that lists, with what it needs besides `after` and `wait`."""
    return [
        service.list_pending,
        lambda **options: service.list_pending("u", "s0", "r", ["checkpoint"], **options),
        lambda **options: service.list_pending_page(PaginationParams(1, 5), **options),
        lambda **options: service.get_pending_for_request("r", **options),
        lambda **options: service.get_pending_for_session("s0", **options),
        lambda **options: service.list_closed("s0", **options),
        service.counts,
    ]


def place(interrupt: FlowInterrupt) -> tuple[int, int, int]:
    """Where its last event stands among those of all partitions; of one just created, its creation."""
    at = Position.parse(interrupt.position or "")
    return at.ms, at.partition, at.number


def ids(interrupts: Iterable[FlowInterrupt]) -> list[str]:
    """Their ids, in order."""
    return [interrupt.id for interrupt in interrupts]


class Population:
    """Interrupts of every kind and in every state, and which of them a list must show, by a plain loop."""

    def __init__(self) -> None:
        self.pending: list[FlowInterrupt] = []
        """In the order of their creation."""
        self.closed: list[FlowInterrupt] = []
        """In the order of their end."""
        self.overdue: list[FlowInterrupt] = []
        """Past their deadline, without the event that says so."""

    def filtered(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        request_id: str | None = None,
        kinds: Collection[InterruptKind] | None = None,
    ) -> list[FlowInterrupt]:
        """What is pending and meets all filters, oldest first."""
        return [
            interrupt
            for interrupt in self.pending
            if user_id in (None, interrupt.user_id)
            and session_id in (None, interrupt.session_id)
            and request_id in (None, interrupt.request_id)
            and (kinds is None or interrupt.kind in kinds)
        ]


async def populate(service: InterruptService, size: int = 60) -> Population:
    """Creates `size` interrupts and some more, many at once; closes a third in each way; lets some become overdue."""
    chance, found = random.Random(size), Population()

    async def create(**options: Any) -> FlowInterrupt:
        kind = chance.choice(list(InterruptKind))
        request, user, session = (f"{name}{chance.randrange(count)}" for name, count in (("r", 3), ("u", 3), ("s", 4)))
        return await service.create_interrupt(
            kind, request, user, session, allowed_responses=["approved"], data={"n": chance.random()}, **options
        )

    made = await asyncio.gather(*(create() for _ in range(size)))
    shown = await asyncio.gather(*(create(ttl=AT_ONCE, auto_expire=False) for _ in range(4)))
    late = await asyncio.gather(*(create(ttl=AT_ONCE, auto_expire=True) for _ in range(6)))
    ended = chance.sample(made, size // 3)
    for number, interrupt in enumerate(ended):
        await (service.respond(interrupt.id, YES) if number % 2 else service.cancel(interrupt.id))
    for interrupt in late:
        await until_expired(service, interrupt.id)
    assert await service.expire_pending() == len(late)
    found.overdue = await asyncio.gather(*(create(ttl=AT_ONCE, auto_expire=True) for _ in range(6)))
    for interrupt in found.overdue:
        await until_expired(service, interrupt.id)
    gone = set(ids(ended))
    found.pending = sorted([*(one for one in made if one.id not in gone), *shown], key=place)
    closed = [await service.get_interrupt(interrupt.id) for interrupt in (*ended, *late)]
    found.closed = sorted((one for one in closed if one is not None), key=place)
    assert {one.status for one in found.closed} == set(InterruptStatus) - {InterruptStatus.PENDING}
    return found
