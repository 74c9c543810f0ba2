"""Several rebuilds of one view at the same time."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import connect
from projections import PROJECTIONS
from projections.follower import Follower
from projections.rebuild import Rebuilt, rebuild
from projections.store import Views
from projections.verify import verify
from tests.raw import cards, folded, generations, small_steps, standing


@pytest.mark.parametrize("from_start", [False, True])
def test_two_at_once_both_end_well(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, from_start: bool) -> None:
    """They help or hinder each other, and the view is right."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=3) as one,
            connect(url, namespace=namespace) as other,
        ):
            made = [await one.create_checkpoint("r", "u", f"s{number}") for number in range(60)]
            await folded(one, PROJECTIONS)
            calls = [rebuild(service, "pending", from_start=from_start) for service in (one, other, one)]
            for done in await asyncio.gather(*calls):
                assert isinstance(done, Rebuilt)
            assert {found.id for found in await other.list_pending()} == {found.id for found in made}
            assert (await verify(one)).differences == []
            for card in await cards(one, "pending"):
                assert (card.building, card.dropping) == ((), ())
            live = [card.live.number for card in await cards(one, "pending") if card.live]
            assert all(there <= {number} for there, number in zip(await generations(one, "pending"), live, strict=True))

    asyncio.run(main())


def test_another_one_that_begins_when_this_one_is_through_is_no_failure(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody else has begun since is theirs: this rebuild has done its work."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await service.create_checkpoint("r", "u", "s")
            end = Follower.end

            async def then_another_begins(follower: Follower) -> None:
                await end(follower)
                assert (await standing(service, "pending")).card.live is not None
                await Views(service.store).begin(0, "pending", 1)

            monkeypatch.setattr(Follower, "end", then_another_begins)
            assert (await rebuild(service, "pending")).view == "pending"

    asyncio.run(main())
