"""Rebuilding a view: under load, without anybody else, after damage, and after the log went back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import (
    FlowInterrupt,
    InterruptService,
    ViewBehindError,
    ViewStoppedError,
    connect,
)
from projections import PROJECTIONS
from projections.rebuild import rebuild
from projections.verify import verify
from tests.conftest import whole_log
from tests.folding import YES, ids, place, populate
from tests.raw import (
    cards,
    folded,
    generations,
    go_back,
    live_key,
    raw,
    remember,
    small_steps,
    standing,
)
from tests.servers import RedisServer, until
from workers import running

VIEWS = ["pending", "closed", "counts", "rates"]
REBUILDS = 3


async def listed(service: InterruptService, **filters: Any) -> list[str]:
    """All ids of a list, page by page."""
    found: list[str] = []
    page = await service.list_pending(limit=7, **filters)
    found += ids(page)
    while page.next_cursor is not None:
        page = await service.list_pending(limit=7, cursor=page.next_cursor, **filters)
        found += ids(page)
    return found


async def pending_now(service: InterruptService) -> int:
    """How many are pending, as the counts have it."""
    return (await service.counts()).of("pending")


def test_no_list_is_ever_wrong_while_views_are_rebuilt_under_load(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others create and answer, each list shows once and in order all that is pending (or closed) all along, and
    what its own process has just written; afterwards the views are the log's, and only the new generations are left."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=3) as others,
            connect(url, namespace=namespace) as service,
            running(service),
        ):
            made = [await service.create_checkpoint("r", "u", f"s{number % 4}") for number in range(20)]
            stay = sorted(made, key=place)
            gone = [await service.create_checkpoint("r", "u", "s0") for _ in range(3)]
            for one in gone:
                await service.respond(one.id, YES)
            created, looks, ended = 23, 0, False

            async def churn(number: int) -> None:
                nonlocal created
                while not ended:
                    made = await others.create_checkpoint("r", "v", f"s{number}")
                    created += 1
                    await others.respond(made.id, YES)
                    assert made.id not in await listed(others, user_id="v")

            async def look() -> None:
                nonlocal looks
                while not ended:
                    assert await listed(service, user_id="u") == ids(stay)
                    told = await listed(service)
                    assert len(told) == len(set(told))
                    assert [one for one in told if one in set(ids(stay))] == ids(stay)
                    assert set(ids(gone)) <= set(ids(await service.list_closed("s0", 1_000)))
                    assert await pending_now(service) >= len(stay)
                    looks += 1

            work = [asyncio.create_task(task) for task in (churn(0), churn(1), churn(2), look())]
            for _ in range(REBUILDS):
                seen, there = looks, created
                done = [await rebuild(service, view) for view in VIEWS]
                assert [one.view for one in done] == VIEWS
                assert all(one.events >= there for one in done)
                await until(lambda seen=seen: looks > seen or work[-1].done(), "lists are read")  # type: ignore[misc]
            ended = True
            await asyncio.gather(*work)
            assert await pending_now(service) == len(stay)
            assert (await verify(service)).differences == []
            for view in VIEWS:
                assert set().union(*await generations(service, view)) == {REBUILDS + 1}

    asyncio.run(main())


def test_a_cursor_taken_before_goes_on_after_the_switch(url: str, namespace: str) -> None:
    """Of what comes behind a cursor nothing is lost and nothing told twice, though the view it came from is gone."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=3) as service, running(service):
            made = [await service.create_checkpoint("r", "u", f"s{number % 5}") for number in range(20)]
            closed = [one for one in made if one.session_id == "s0"]
            for one in closed:
                await service.cancel(one.id)
            pending = sorted((one for one in made if one not in closed), key=place)
            first, last = await service.list_pending(limit=3), await service.list_closed("s0", 1)
            for view in ("pending", "closed"):
                await rebuild(service, view)
            rest = await service.list_pending(limit=100, cursor=first.next_cursor)
            assert [*first, *rest] == pending
            assert rest.next_cursor is None
            others = await service.list_closed("s0", cursor=last.next_cursor)
            assert ids([*last, *others]) == ids(reversed(closed))

    asyncio.run(main())


def test_without_worker_and_without_a_live_view_the_lists_are_there_afterwards(url: str, namespace: str) -> None:
    """A rebuild alone makes what no worker ever made; the partitions without events are live, too."""

    async def main() -> None:
        async with connect(url, namespace=namespace, view_wait_s=0.01) as service:
            there = await populate(service)
            with pytest.raises(ViewBehindError):
                await service.list_pending()
            events = len(await whole_log(service))
            for view in VIEWS:
                done = await rebuild(service, view)
                assert (done.view, done.events, done.keys_dropped) == (view, events, 0)
                assert all(card.live is not None for card in await cards(service, view))
            assert await service.list_pending() == there.pending
            assert await pending_now(service) == len(there.pending) + len(there.overdue)
            assert (await verify(service)).differences == []

    asyncio.run(main())


async def damage(service: InterruptService, one: FlowInterrupt) -> None:
    """Keys of every view deleted, added, changed, and of another type."""
    await raw(service, "ZREM", await live_key(service, "pending", "kind:checkpoint"), one.id)
    await raw(service, "DEL", await live_key(service, "pending", "user:u"))
    await raw(service, "ZADD", await live_key(service, "pending", "session:s"), 3, "f" * 32)
    await raw(service, "SET", await live_key(service, "pending", "request:r"), "no set")
    await raw(service, "HSET", await live_key(service, "counts", "counted"), "checkpoint:pending", 77)
    await raw(service, "ZADD", await live_key(service, "closed", "session:x"), 1, one.id)


def test_a_damaged_view_is_right_afterwards(url: str, namespace: str) -> None:
    """Whatever was done to a view's keys by hand: nothing of it is in the new generation."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            made = [await service.create_checkpoint("r", "u", "s") for _ in range(5)]
            await folded(service, PROJECTIONS)
            await damage(service, made[2])
            assert (await verify(service)).different >= 6
            for view in VIEWS:
                await rebuild(service, view)
                (card,) = await cards(service, view)
                assert (await generations(service, view))[0] <= {card.live.number if card.live else None}
            assert (await verify(service)).differences == []
            assert await service.list_pending() == made
            assert await service.list_pending("u", "s", "r") == made
            assert await pending_now(service) == len(made)

    asyncio.run(main())


@pytest.mark.parametrize("lost", ["all", "checkpoint"])
def test_a_view_whose_card_is_damaged_is_right_afterwards(url: str, namespace: str, lost: str) -> None:
    """Without its card, or the live checkpoint on it, nobody knows a view's keys any more: they are not built upon."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            made = [await service.create_checkpoint("r", "u", "s") for _ in range(5)]
            await folded(service, PROJECTIONS)
            await service.cancel(made[0].id)
            await folded(service, PROJECTIONS)
            for view in VIEWS:
                card = service.store.keys.card(0, view)
                await raw(service, *(("DEL", card) if lost == "all" else ("HDEL", card, "1:at")))
                await rebuild(service, view)
            assert await service.list_pending() == made[1:]
            assert await pending_now(service) == len(made) - 1
            assert (await verify(service)).differences == []

    asyncio.run(main())


@pytest.mark.parametrize("grown", [False, True], ids=["shorter", "grown again"])
def test_after_the_log_went_back_a_rebuild_makes_the_lists_right(
    shared_server: RedisServer, namespace: str, grown: bool
) -> None:
    """Lists of a view that has folded what is no more are refused with the command that mends it; after it they show
    what the log now has, and not what it once had."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as before:
            kept = [await before.create_checkpoint("r", "u", "s") for _ in range(3)]
            dumps = await remember(before)
            lost = [await before.create_checkpoint("r", "u", "s") for _ in range(3)]
            await before.respond(kept[0].id, YES)
            await folded(before, PROJECTIONS)
            await go_back(before, dumps)
        async with connect(shared_server.url, namespace=namespace) as service:
            new = [await service.create_checkpoint("r", "u", "s") for _ in range(5 if grown else 1)]
            for ask in (service.list_pending, service.counts, lambda: service.list_closed("s")):
                with pytest.raises(
                    ViewStoppedError, match=r"python -m workers rebuild (pending|counts|closed)"
                ) as told:
                    await ask(wait=False) if ask == service.list_pending else await ask()
                assert told.value.reason == "rolled_back"
            for view in VIEWS:
                done = await rebuild(service, view)
                assert done.events == len(kept) + len(new)
            assert await service.list_pending() == [*kept, *new]
            assert not {*ids(lost)} & {*ids(await service.list_pending())}
            assert await service.list_closed("s") == []
            assert (await verify(service)).differences == []
            await folded(service, PROJECTIONS)
            live = (await standing(service, "pending")).card.live
            assert live is not None
            assert live.known

    asyncio.run(main())
