"""What tests of projections share: one more projection, what views hold, and what they must hold by a plain loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from interrupts import FlowInterrupt, InterruptKind, InterruptResponse, InterruptService, RecordedEvent
from projections import Projection
from projections.follower import Follower
from projections.loading import Current
from projections.store import Views
from tests.conftest import until_expired, whole_log
from tests.notes import ALL
from tests.plain_views import PLAIN, targets
from tests.tallies import Cells, counted
from tests.view_standing import names, standing

Held = dict[str, float] | dict[str, str] | Cells
Dump = dict[tuple[str, int], dict[str, Held]]
"""By view and partition: what each key of the live generation holds; of `rates`, what is counted of users there."""
ANYTHING = InterruptResponse(data={"a": 1})
KINDS = (InterruptKind.CHECKPOINT, InterruptKind.TIMEOUT)
STEPS_MAX = 5_000


class Said:
    """Keeps what an operator is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        self.lines.append((level, event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of all such lines."""
        return [fields for _, said, fields in self.lines if said == event]


class ByHand:
    """A follower of all partitions that goes on only when it is told to, and then comes to an end."""

    def __init__(self, service: InterruptService, projections: Sequence[Projection] = ALL) -> None:
        self.said = Said()
        self.views = Views(service.store)
        self.follower = Follower(self.views, Current(self.views, projections, self.said), self.said)
        self.follower.want(range(service.log.partitions))

    async def step(self) -> bool:
        """One step."""
        return await self.follower.step(block=False)

    async def all(self, *, steps_max: int = STEPS_MAX) -> None:
        """Folds all that is in the log, and ends what was begun besides. Fails if that never comes to an end."""
        for _ in range(steps_max):
            if not await self.step():
                tasks = list(self.follower._apart._tasks.values())
                if not tasks:
                    return
                await asyncio.gather(*tasks)
                await asyncio.sleep(0)  # what is done takes itself off the list in the loop's next turn
        raise AssertionError(f"{steps_max} steps were not enough: it goes in circles")

    def look_again(self) -> None:
        """What can't go on is tried again in the next step, as if the time for that had come."""
        self.follower._look_again_at = 0.0


def by_hand(stack: AsyncExitStack, service: InterruptService, projections: Sequence[Projection] = ALL) -> ByHand:
    """One that ends with the stack."""
    hand = ByHand(service, projections)
    stack.push_async_callback(hand.follower.end)
    return hand


async def fold_all(service: InterruptService, projections: Sequence[Projection] = ALL) -> None:
    """Folds what is in the log, once, by somebody who then goes."""
    async with AsyncExitStack() as stack:
        await by_hand(stack, service, projections).all()


async def dump(service: InterruptService, projections: Iterable[Projection] = ALL) -> Dump:
    """What the live views hold, from Redis' own mouth. Fails if there are keys of a generation that is not live."""
    found: Dump = {}
    keys, server = service.store.keys, service.store.server
    for projection in projections:
        view = projection.view.name
        for partition in range(service.log.partitions):
            held: dict[str, Held] = {}
            if projection.view.crosses:
                held |= await counted(service, partition)
            live = (await standing(service, view, partition)).card.live
            if live is None:
                if held:
                    found[view, partition] = held
                continue
            begin, slot = keys.generation(partition, view, live.number), keys.slots[partition]
            for name in await names(service, partition, view):
                assert name.startswith(begin), f"{name} is not of the live generation {live.number}"
                if await server.command(slot, "TYPE", name) in (b"zset", "zset"):
                    flat = await server.command(slot, "ZRANGE", name, 0, -1, "WITHSCORES")
                    scores = zip(flat[::2], flat[1::2], strict=True)
                    held[name.removeprefix(begin)] = {member.decode(): float(score) for member, score in scores}
                else:
                    flat = await server.command(slot, "HGETALL", name)
                    pairs = zip(flat[::2], flat[1::2], strict=True)
                    held[name.removeprefix(begin)] = {field.decode(): value.decode() for field, value in pairs}
            found[view, partition] = held
    return found


async def expected(service: InterruptService, projections: Iterable[Projection] = ALL) -> Dump:
    """What the live views must hold, by a plain loop over the log."""
    return plainly(service, await whole_log(service), projections)


def plainly(service: InterruptService, log: Sequence[RecordedEvent], projections: Iterable[Projection] = ALL) -> Dump:
    """What views must hold of such a log: a view that crosses partitions by user, another by session."""
    found: Dump = {}
    partition_of = service.log.partition_of
    for projection in projections:
        view, plain = projection.view, PLAIN[projection.view.name]
        for partition in range(service.log.partitions):
            here = [event for event in log if partition_of(event.session_id) == partition]
            if view.crosses:
                held = plain([event for event in log if partition_of(event.user_id) == partition])
                held |= targets(here, partition_of)
            else:
                held = plain(here)
            found[view.name, partition] = {key: there for key, there in held.items() if there}
    return found


async def assert_right(service: InterruptService, projections: Sequence[Projection] = ALL) -> None:
    """These views are what the log says."""
    assert await dump(service, projections) == await expected(service, projections)


async def create(service: InterruptService, number: int = 0) -> FlowInterrupt:
    """One of several kinds, requests, users and sessions."""
    return await service.create_interrupt(KINDS[number % 2], f"r{number % 3}", f"u{number % 2}", f"s{number % 5}")


async def some_more(service: InterruptService, count: int = 30) -> list[FlowInterrupt]:
    """Events of all sorts, some in the same millisecond: `count` creations, half of which are ended in all ways."""
    made = await asyncio.gather(*(create(service, number) for number in range(count)))
    for number, interrupt in enumerate(made[: count // 2]):
        await (service.respond(interrupt.id, ANYTHING) if number % 2 else service.cancel(interrupt.id))
    late = await service.create_interrupt("timeout", "r", "u", "s0", ttl=timedelta(milliseconds=1), auto_expire=True)
    await until_expired(service, late.id)
    await service.expire_pending()
    return made
