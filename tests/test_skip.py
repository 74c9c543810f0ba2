"""Skipping: only what a view stands still before, an event or a hole, and only in that view."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import InterruptService, Position, ValidationError, connect
from interrupts.views import Stopped
from projections import PROJECTIONS
from projections.lag import lags
from projections.pending import Pending
from projections.skip import skip
from projections.store import Views
from tests.conftest import whole_log
from tests.raw import Refusing, checkpoints, folded, raw, standing, write_entry


async def stopped(service: InterruptService, view: str = "pending") -> Stopped:
    """Why a view stands still that is live, or being built."""
    card = (await standing(service, view)).card
    (found,) = [one.stopped for one in (card.live, *card.building) if one is not None and one.stopped is not None]
    return found


@pytest.mark.parametrize("position", ["text", "value"])
def test_an_event_that_a_view_stands_still_before_can_be_left_out(url: str, namespace: str, position: str) -> None:
    """Only in this view, only this event; it is told what it was, and the worker goes on behind it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 3)
            projections = [Refusing(Pending(), ids[1]), *PROJECTIONS[1:]]
            await folded(service, projections)
            where = (await stopped(service)).position
            done = await skip(service, "pending", Position.parse(where) if position == "value" else where)
            assert done == Stopped(where, 2, "ValueError: this one is too much", "event")
            await folded(service, projections)
            assert [one.state for one in await lags(service) if one.projection == "pending"] == ["live"]
            assert [one.id for one in await service.list_pending(wait=False)] == [ids[0], ids[2]]
            assert (await service.counts(wait=False)).of("pending") == 3
            assert (await standing(service, "pending")).card.skipped == {where.partition(":")[2]: "event"}

    asyncio.run(main())


def test_a_hole_is_passed_over_and_the_event_behind_it_is_folded(url: str, namespace: str) -> None:
    """Missing numbers are no event that could be left out."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 3)
            log = await whole_log(service)
            await raw(service, "XDEL", service.store.keys.logs[0], log[1].position.partition(":")[2])
            await folded(service, PROJECTIONS)
            found = await stopped(service)
            assert (found.position, found.sequence, found.problem) == (log[2].position, 3, "hole")
            assert "number 3 follows number 1" in found.error
            for view in ("pending", "closed", "counts"):
                assert (await skip(service, view, log[2].position)).problem == "hole"
            await folded(service, PROJECTIONS)
            assert [one.id for one in await service.list_pending()] == [ids[0], ids[2]]

    asyncio.run(main())


def test_only_what_a_view_stands_still_before_can_be_skipped(url: str, namespace: str) -> None:
    """Whatever else is named is refused with what is there, and nothing is written."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            ids = await checkpoints(service, 2)
            partition = service.log.partition_of("s")
            log = [event.position for event in await whole_log(service)]
            await folded(service, PROJECTIONS)
            with pytest.raises(ValidationError, match=r"'pending' does not stand still before .*still: nowhere\.$"):
                await skip(service, "pending", log[1])
            bad = await write_entry(service, 3, "no json", partition)
            await folded(service, PROJECTIONS)
            for wrong in (*log, bad.replace(f"{partition}:", f"{1 - partition}:"), "99:1-0"):
                with pytest.raises(ValidationError, match=f"nothing to skip. It stands still: {bad}") as refused:
                    await skip(service, "pending", wrong)
                assert refused.value.field == "position"
            for wrong in ("", "x", "1-0", bad.partition(":")[2]):
                with pytest.raises(ValidationError, match="is not of the form"):
                    await skip(service, "pending", wrong)
            with pytest.raises(ValidationError, match=r"no 'x'\. There are: pending"):
                await skip(service, "x", bad)
            cards = await Views(service.store).standings(["pending", "closed"], [0, 1])
            assert all(found.card.skipped == {} for found in cards)
            await skip(service, "pending", bad)
            await folded(service, PROJECTIONS)
            assert {one.id for one in await service.list_pending(wait=False)} == set(ids)
            states = {one.projection: one.state for one in await lags(service) if one.partition == partition}
            assert states == {"pending": "live", "closed": "stopped", "counts": "stopped", "rates": "stopped"}

    asyncio.run(main())
