"""Views that are late, or change under a reader's hands: what they show as pending is pending, and a page goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import PaginationParams, ViewBehindError, connect
from interrupts.views import PENDING
from projections.follower import Follower
from projections.loading import Building
from projections.pending import Pending
from projections.store import Views
from tests.conftest import until_expired
from tests.folding import AT_ONCE, SHORT_S, YES, by_hand, ids
from workers import running


def test_what_is_closed_or_overdue_is_never_shown_as_pending(url: str, namespace: str) -> None:
    """Before the event is folded, and although the view still has it: whoever opts out of waiting sees what each
    interrupt's own key says."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            made = [await service.create_confirmation("r", "u", "s", "?") for _ in range(4)]
            late = [await service.create_confirmation("r", "u", s, "?", ttl=AT_ONCE) for s in ("s", "elsewhere")]
            await worker.fold()
            await service.respond(made[0].id, YES)
            await service.cancel(made[2].id)
            for interrupt in late:
                await until_expired(service, interrupt.id)
            left = ids([made[1], made[3]])
            assert ids(await service.list_pending(wait=False)) == left
            assert ids(await service.list_pending("u", "s", "r", ["confirmation"], wait=False)) == left
            assert ids(await service.get_pending_for_session("s", wait=False)) == left
            assert ids((await service.list_pending_page(PaginationParams(1, 3), wait=False)).items) == left
            first = await service.get_pending_for_request("r", wait=False)
            assert first is not None
            assert first.id == made[1].id
            assert (await service.counts(wait=False)).oldest_pending_at == first.created_at
            first_page = await service.list_pending(limit=1, wait=False)
            second_page = await service.list_pending(limit=1, cursor=first_page.next_cursor, wait=False)
            assert ids(first_page + second_page) == left

    asyncio.run(main())


def test_lists_and_their_cursors_go_on_when_a_view_was_built_anew(url: str, namespace: str) -> None:
    """A generation takes over between two pages: the next page is the next one, and nothing is asked for again."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            await asyncio.gather(*(service.create_checkpoint("r", "u", f"s{number}") for number in range(9)))
            await worker.fold()
            expected = await service.list_pending()
            pages = await service.list_pending(limit=4)
            views = Views(service.store)
            for partition in range(service.log.partitions):
                await views.begin(partition, PENDING.name, PENDING.version)
            building = Follower(views, Building(views, Pending(), service.say), service.say)
            building.want(range(service.log.partitions))
            while await building.step(block=False):
                pass
            await building.end()
            pages += await service.list_pending(limit=9, cursor=pages.next_cursor)
            assert pages == expected

    asyncio.run(main())


def test_lists_come_back_when_a_worker_that_was_held_up_goes_on(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running worker whose steps do not get done: lists say that one is running; when it goes on, they are right."""
    free, apply = asyncio.Event(), Views.apply

    async def held_up(*args: Any) -> Any:
        await free.wait()
        return await apply(*args)

    async def main() -> None:
        monkeypatch.setattr(Views, "apply", held_up)
        free.set()
        async with (
            connect(url, namespace=namespace) as service,
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as hasty,
            running(service),
        ):
            first = await hasty.create_checkpoint("r", "u", "s")
            assert await service.list_pending(after=first.position) == [first]
            free.clear()
            await hasty.cancel(first.id)
            with pytest.raises(ViewBehindError) as behind:
                await hasty.list_closed("s")
            assert (behind.value.events, behind.value.worker_running) == (1, True)
            assert await hasty.list_pending(wait=False) == []
            free.set()
            second = await service.create_checkpoint("r", "u", "s")
            assert await service.list_pending() == [second]
            assert ids(await hasty.list_closed("s")) == ids([first])

    asyncio.run(main())
