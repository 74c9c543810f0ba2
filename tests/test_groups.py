"""The scripts of groups, called as Python calls them: leases, places, what is held, parked, and taken out."""

from __future__ import annotations

import pytest

from interrupts import InterruptService, connect
from interrupts.store.groups import Groups, Held, Leased, Noted, Parked, Step
from interrupts.views import Checkpoint
from tests.raw import raw
from tests.reacting import groups, run

TEXT = '{"attempts":1,"error":"no","at_ms":5}'


def at(number: int) -> Checkpoint:
    """A place."""
    return Checkpoint(f"{number}-0", number, b'["event"')


async def leased(service: InterruptService, owner: str, partition: int = 0) -> Leased:
    """A lease that is given."""
    found = await groups(service).lease("g", partition, owner)
    assert found is not None
    return found


async def noted(service: InterruptService, lease: Leased, *changes: tuple[str, str, str], place: int = 0) -> Noted:
    """What becomes of one step."""
    _, card = await groups(service).standing("g", 0)
    number = int(card.get("step", 0)) + 1
    step = Step(0, lease.number, number, at(place) if place else None, f"{place}-1", list(changes))
    (found,) = await groups(service).progress("g", [step])
    return found


async def kept(known: Groups) -> tuple[list[str], list[str]]:
    """The ids of what is held, and of what is parked."""
    return [one.stream_id for one in await known.held("g", 0)], [one for one, _ in await known.parked("g", 0)]


def test_a_lease_is_one_owners_and_each_new_one_has_a_higher_number(url: str, namespace: str) -> None:
    """Nobody else gets it while it lasts; whoever gives it back lets others in at once."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            known = groups(service)
            first = await leased(service, "a")
            assert await known.lease("g", 0, "b") is None
            assert (await leased(service, "b", 1)).number > 0
            assert await known.lease("h", 0, "b") is not None
            await known.give_back("g", 0, "b")  # it is not b's
            assert await known.lease("g", 0, "b") is None
            await known.give_back("g", 0, "a")
            second = await leased(service, "b")
            assert second.number > first.number
            assert (await leased(service, "b")).number > second.number  # what it was about to write with it is refused
            await raw(service, "HSET", service.store.keys.group(0, "g"), "until", 1)
            assert (await leased(service, "c")).number > second.number

    run(main())


def test_a_lease_from_before_the_clock_was_set_back_does_not_hold_for_ever(url: str, namespace: str) -> None:
    """No lease is longer than a minute."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            first = await leased(service, "a")
            await raw(service, "HINCRBY", service.store.keys.group(0, "g"), "until", 3_600_000)
            assert (await leased(service, "b")).number > first.number

    run(main())


def test_an_older_lease_writes_nothing(url: str, namespace: str) -> None:
    """Neither a place nor anything else; the others in the same call are written."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            known = groups(service)
            old, other = await leased(service, "a"), await leased(service, "a", 1)
            await known.give_back("g", 0, "a")
            young = await leased(service, "b")
            assert await noted(service, young, ("hold", "7-0", "1 w no"), place=5) == Noted(0)
            changes = [("done", "7-0", ""), ("park", "8-0", TEXT), ("hold", "9-0", "0 w ")]
            steps = [
                Step(0, old.number, 1, at(9), "9-0", changes),
                Step(1, other.number, 1, at(3), "3-0", [("hold", "2-0", "4 b it was")]),
            ]
            assert await known.progress("g", steps) == [Noted(None), Noted(0)]
            assert (await known.standing("g", 0))[0] == at(5)
            assert await kept(known) == (["7-0"], [])
            assert (await known.standing("g", 1))[0] == at(3)
            assert await known.held("g", 1) == [Held("2-0", 4, begun=True, error="it was")]

    run(main())


def test_a_step_said_again_changes_nothing(url: str, namespace: str) -> None:
    """Whatever is in it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            lease = await leased(service, "a")
            await noted(service, lease, ("hold", "1-0", "1 w "), ("hold", "2-0", "0 w "), ("hold", "3-0", "0 w "))
            changes = (("done", "1-0", ""), ("park", "2-0", TEXT), ("hold", "3-0", "1 b  two  spaces "))
            for _ in range(2):
                assert await noted(service, lease, *changes, place=4) == Noted(0)
                assert await kept(groups(service)) == (["3-0"], ["2-0"])
                assert (await groups(service).held("g", 0))[0].error == " two  spaces "
            assert await groups(service).parked("g", 0) == [("2-0", Parked(1, "no", 5))]

    run(main())


def test_no_more_is_parked_than_there_is_room_for(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds none is held, and that is said; what is parked already may be parked again."""
    monkeypatch.setattr("interrupts.store.groups.PARKED_MAX", 2)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            lease = await leased(service, "a")
            assert await noted(service, lease, ("park", "1-0", TEXT), ("park", "2-0", TEXT)) == Noted(0)
            assert await noted(service, lease, ("park", "3-0", TEXT), ("park", "2-0", TEXT)) == Noted(0, full=True)
            assert await kept(groups(service)) == (["3-0"], ["1-0", "2-0"])

    run(main())


def test_what_is_parked_is_replayed_dropped_or_left(url: str, namespace: str) -> None:
    """Only what is parked; whoever works on it is told that there is news."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            known, lease = groups(service), await leased(service, "a")
            await noted(service, lease, *(("park", f"{n}-0", TEXT) for n in range(1, 6)), ("hold", "6-0", "3 w e"))
            assert await known.release("g", 0, "drop", ["1-0", "9-0", "6-0"]) == ["1-0"]
            assert await noted(service, lease) == Noted(0)  # nobody need look for what is gone
            assert await known.release("g", 0, "again", ["2-0", "9-0", "2-0"]) == ["2-0"]
            assert await noted(service, lease) == Noted(1)
            assert await known.release("g", 0, "again", ["9-0"]) == []
            assert await noted(service, lease) == Noted(1)
            assert await kept(known) == (["2-0", "6-0"], ["3-0", "4-0", "5-0"])
            assert await known.release("g", 0, "feed", ["3-0", "6-0", "7-0"]) == ["3-0", "6-0", "7-0"]
            assert await kept(known) == (["2-0", "3-0", "6-0", "7-0"], ["4-0", "5-0"])
            assert [one.attempts for one in await known.held("g", 0)] == [0, 0, 3, 0]
            assert await noted(service, lease) == Noted(2)

    run(main())


def test_no_more_is_handed_over_than_may_be_held(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest stays as it is; dropping needs no room, and many are done in several calls."""
    monkeypatch.setattr("interrupts.store.groups.HELD_MAX", 3)
    monkeypatch.setattr("interrupts.store.groups.RELEASE_BATCH_MAX", 2)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            known, lease = groups(service), await leased(service, "a")
            ids = [f"{n}-0" for n in range(1, 9)]
            await noted(service, lease, *(("park", one, TEXT) for one in ids))
            assert await known.release("g", 0, "again", ids) == ids[:3]
            assert await kept(known) == (ids[:3], ids[3:])
            assert await known.release("g", 0, "feed", ["20-0"]) == []
            assert await known.release("g", 0, "drop", ids) == ids[3:]
            assert await kept(known) == (ids[:3], [])

    run(main())


@pytest.mark.parametrize(
    ("start", "found"),
    [
        ("beginning", "0-0 0 "),
        ("now", '9-0 9 ["event 9"]'),
        ("0", "0-0 0 "),
        ("5", "0-0 0 "),
        ("6", '5-0 5 ["event 5"]'),
        ("99", '9-0 9 ["event 9"]'),
        ("7-0", '7-0 7 ["event 7"]'),
        ("7-5", '7-0 7 ["event 7"]'),
        ("4-0", "0-0 0 "),
        ("0-0", "0-0 0 "),
    ],
)
def test_a_new_group_starts_where_it_is_told_and_one_that_is_there_stays(
    url: str, namespace: str, start: str, found: str
) -> None:
    """`start` in the words of the script, in a log with the numbers 5, 7 and 9."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            for number in (5, 7, 9):
                fields = ("s", number, "e", f'["event {number}"]')
                await raw(service, "XADD", service.store.keys.logs[0], f"{number}-0", *fields)
            known = groups(service)
            assert (await known.enlist("g", 0, start)).encode().decode() == found
            for again in ("beginning", "now", "8"):
                assert (await known.enlist("g", 0, again)).encode().decode() == found

    run(main())
