"""The contract of every projection: however its events come to it, the view is what the log says.

What the views hold is read from Redis, and compared with a plain loop over the log and with a clean rebuild.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from interrupts import InterruptService, connect
from interrupts.views import Checkpoint
from projections import PROJECTIONS, Projection
from projections.folding import Entry, fold, stretch
from projections.model import Model
from projections.rebuild import rebuild
from projections.store import Views
from projections.units import unit
from projections.verify import verify
from tests.following import by_hand, create, dump, expected, fold_all, some_more
from tests.notes import ALL, Notes
from tests.plain_views import NEWEST, PLAIN
from tests.servers import RedisServer
from tests.tallies import Counter, forget
from tests.view_standing import standing

EACH = pytest.mark.parametrize("projection", ALL, ids=lambda projection: projection.view.name)
PARTITIONS = 2


@asynccontextmanager
async def service_with_events(url: str, namespace: str) -> AsyncIterator[InterruptService]:
    """Some events of all sorts, not folded by anybody yet."""
    async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
        await some_more(service)
        yield service


async def assert_as_the_log_says(service: InterruptService, projection: Projection) -> None:
    """The view equals a plain loop over the log, a clean rebuild, and what `verify` folds."""
    found = await dump(service, [projection])
    assert found == await expected(service, [projection])
    assert any(found.values())
    verified = await verify(service, [projection.view.name], projections=[projection])
    assert verified.equal, verified.differences
    if projection.view.crosses:  # what it holds has no generations: only so it is all built anew
        await forget(service)
    await rebuild(service, projection.view.name, projections=[projection], from_start=True)
    assert await dump(service, [projection]) == found


async def log_of(service: InterruptService, partition: int) -> list[Entry]:
    """A partition's log as the server tells it."""
    keys = service.store.keys
    entries: list[Entry] = await service.store.server.command(
        keys.slots[partition], "XRANGE", keys.logs[partition], "-", "+"
    )
    return entries


@EACH
def test_folding_twice_equals_once(url: str, namespace: str, projection: Projection) -> None:
    """A section that is applied twice in one call, and again later, is refused with the checkpoint that is there."""

    async def main() -> None:
        async with service_with_events(url, namespace) as service:
            views, view = Views(service.store), projection.view
            sections = []
            for partition in range(PARTITIONS):
                assert await views.begin(partition, view.name, view.version)
                card = (await standing(service, view.name, partition)).card
                start = unit(partition, projection, card, card.building[0])
                read = stretch(partition, await log_of(service, partition))
                sections.append((start, fold(projection, start.at, {}, read), "worker"))
            there = [folded.to.encode() for _, folded, _ in sections]
            assert await views.apply([*sections, *sections]) == [1] * PARTITIONS + there
            once = await dump(service, [projection])
            assert await views.apply(sections) == there
            await fold_all(service, [projection])
            assert await dump(service, [projection]) == once
            await assert_as_the_log_says(service, projection)

    asyncio.run(main())


@EACH
@pytest.mark.parametrize("events", [1, 5])
def test_any_split_into_batches_equals_one_batch(
    url: str, namespace: str, projection: Projection, events: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event at a time, two, some: the view is that of all at once."""

    async def main() -> None:
        async with service_with_events(url, namespace) as service, AsyncExitStack() as stack:
            monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", events * PARTITIONS)
            hand = by_hand(stack, service, [projection])
            steps = 0
            while await hand.step():
                steps += 1
            assert steps * events * PARTITIONS >= hand.follower.folded > 1
            await hand.all()
            in_pieces = await dump(service, [projection])
            monkeypatch.undo()
            await rebuild(service, projection.view.name, projections=[projection], from_start=True)
            assert await dump(service, [projection]) == in_pieces
            await assert_as_the_log_says(service, projection)

    asyncio.run(main())


@EACH
def test_any_split_in_memory_equals_one_fold(
    shared_server: RedisServer, namespace: str, projection: Projection
) -> None:
    """Hundreds of random splits, with stretches that begin in what was folded before: always the same."""

    async def main() -> None:
        async with service_with_events(shared_server.url, namespace) as service:
            chance = random.Random(7)
            for partition in range(PARTITIONS):
                log = await log_of(service, partition)
                whole = in_pieces(projection, log, [len(log)])
                events = await service.log.range(partition)
                plain = PLAIN[projection.view.name](events)
                assert whole == {key: there for key, there in plain.items() if there} != {}
                for _ in range(200):
                    ends = sorted(chance.sample(range(1, len(log)), chance.randrange(len(log) - 1)))
                    assert in_pieces(projection, log, [*ends, len(log)], chance) == whole

    asyncio.run(main())


@EACH
def test_what_is_behind_the_live_generation_does_not_take_over(
    url: str, namespace: str, projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation that believes itself complete, and is behind by now, is told so; caught up, it takes over."""

    async def main() -> None:
        async with service_with_events(url, namespace) as service:
            await fold_all(service, [projection])
            views, view = Views(service.store), projection.view
            before = await dump(service, [projection])
            monkeypatch.setattr("projections.apart.LOOK_AGAIN_S", 0.01)
            assert await views.begin(0, view.name, view.version)
            card = (await standing(service, view.name)).card
            start, log = unit(0, projection, card, card.building[0]), await log_of(service, 0)
            part = fold(projection, start.at, {}, stretch(0, log[:-1]))
            assert await views.apply([(start, part, "worker")]) == [0]
            assert (await standing(service, view.name)).card.live == card.live
            start.at = part.to
            assert await views.apply([(start, fold(projection, part.to, {}, stretch(0, log)), "worker")]) == [1]
            found = (await standing(service, view.name)).card
            assert found.live is not None
            assert (found.live.number, found.building) == (start.generation, ())
            await fold_all(service, [projection])  # and throws the old one away
            assert await dump(service, [projection]) == before

    asyncio.run(main())


def in_pieces(projection: Projection, log: list[Entry], ends: list[int], chance: random.Random | None = None) -> Any:
    """What the view holds after pieces of the log that end there; each begins at the last one's end, or before it."""
    model, counter, at = Model(), Counter(), Checkpoint()
    for begin, end in zip([0, *ends], ends, strict=False):
        first = chance.randrange(begin + 1) if chance else begin
        folded = fold(projection, at, {}, stretch(0, log[first:end]))
        assert folded.stopped is None
        model.apply(folded.changes)
        for creation in folded.changes.creations:
            for group in creation.groups:
                counter.add(creation.user_id, group, creation.place[0])
        at = folded.to
    return {**model.keys, **counter.cells}


@EACH
def test_rebuilt_equals_folded_as_it_came(url: str, namespace: str, projection: Projection) -> None:
    """A view that was folded after each command is what it is when it is built from the whole log."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, [projection])
            for number in range(16):
                made = await create(service, number)
                await hand.all()
                if number % 3 == 0:
                    await service.cancel(made.id)
                    await hand.all()
                    assert await dump(service, [projection]) == await expected(service, [projection])
            await some_more(service)
            await hand.all()
            await assert_as_the_log_says(service, projection)
            await hand.all()
            await some_more(service)
            await hand.all()
            await assert_as_the_log_says(service, projection)

    asyncio.run(main())


@EACH
def test_two_runners_at_once_equal_one(
    url: str, namespace: str, projection: Projection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that fold the same partitions, interleaved in many ways, while events come: each event counts once."""
    monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", 3 * PARTITIONS)

    async def main() -> None:
        async with service_with_events(url, namespace) as service, AsyncExitStack() as stack:
            first, second = (by_hand(stack, service, [projection]) for _ in range(2))
            for _ in range(3):
                await asyncio.gather(first.all(), second.all(), some_more(service, 10))
            await asyncio.gather(first.all(), second.all())
            await assert_as_the_log_says(service, projection)

    asyncio.run(main())


def test_the_contract_covers_every_projection_and_every_change() -> None:
    """Those that workers run are tried here, and one more, which says everything that can be said."""
    assert set(PROJECTIONS) < set(ALL)
    assert any(isinstance(projection, Notes) for projection in ALL)
    assert NEWEST < 30 / 5  # `keep_newest` has something to take away
