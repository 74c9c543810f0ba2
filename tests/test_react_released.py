"""What is parked is replayed or dropped while its group is at work, and while nobody is."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import connect
from interrupts.store.groups import Groups, Held
from tests.reacting import (
    QUICK_BEATS,
    Journal,
    groups,
    hastened,
    held,
    parked,
    publish,
    reacting,
    run,
    until_settled,
)
from tests.servers import until
from workers import Event


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """News is heard soon."""
    often = {"workers.consuming.LEASE_S": 6.6, "workers.committing.RENEW_BELOW": 0.99}
    hastened(monkeypatch, QUICK_BEATS | often)  # it writes, and so hears, at each beat


class Fixable:
    """Fails for odd numbers until it is mended."""

    mended = False

    def __call__(self, event: Event) -> None:
        """What handlers do."""
        if event.data["n"] % 2 and not self.mended:
            raise ValueError("odd")


@pytest.mark.parametrize("away", [False, True], ids=["at work", "away"])
def test_what_is_replayed_is_handled_again_from_its_first_attempt(url: str, namespace: str, away: bool) -> None:
    """In the order of its session, whoever is there or not."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            fixable = Fixable()
            journal = Journal(fixable)
            async with reacting(service, journal, attempts_max=2):
                positions = await publish(service, "s", 1, 2, 3, 4, 5)
                await until_settled(service, "g", parked_count=3)
                ids = [position.partition(":")[2] for position in await parked(service, "g")]
                assert ids == [position.partition(":")[2] for position in positions[::2]]
                if not away:
                    fixable.mended = True
                    assert await groups(service).release("g", 0, "again", ids[:2]) == ids[:2]
                    await until_settled(service, "g", parked_count=1)
                    assert await groups(service).release("g", 0, "drop", ids[2:]) == ids[2:]
            fixable.mended = True
            if away:
                assert await groups(service).release("g", 0, "again", ids[:2]) == ids[:2]
                assert await groups(service).release("g", 0, "drop", ids[2:]) == ids[2:]
            async with reacting(service, journal, attempts_max=2):
                await until_settled(service, "g")
            assert journal.numbers("s") == [2, 4, 1, 3]
            assert journal.begun[-2:] == [("s", 1, 1), ("s", 3, 1)]

    run(main())


def test_what_is_done_while_others_add_something_does_not_come_again(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held is read, and before that is known here, some of it is done."""
    look = Groups.held
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def main() -> None:
        may_end = asyncio.Event()

        async def do(event: Event) -> None:
            if event.attempt == 1 and event.data["n"] in (1, 2):
                raise ValueError("at first")
            if event.data["n"] == 2:
                await may_end.wait()

        async def slowly(known: Groups, group: str, partition: int) -> list[Held]:
            found = await look(known, group, partition)
            if slow and any(one.stream_id == bad_id for one in found):
                looked.set()
                await go_on.wait()
            return found

        slow, bad_id = False, ""
        async with connect(url, namespace=namespace, partitions=1) as service:
            journal = Journal(do)
            async with reacting(service, journal, attempts_max=1, group="g"):
                (bad,) = await publish(service, "bad", 1)
                await until_settled(service, "g", parked_count=1)
            bad_id = bad.partition(":")[2]
            monkeypatch.setattr(Groups, "held", slowly)
            async with reacting(service, journal, attempts_max=5, group="g"):
                await publish(service, "s", 2, 3, 4)
                await until(lambda: ("s", 2, 2) in journal.begun, "it is tried again, being held")
                slow = True
                await groups(service).release("g", 0, "again", [bad_id])
                await looked.wait()
                may_end.set()
                await until(lambda: ("s", 4) in journal.done, "all of its session is done")
                slow = False
                go_on.set()
                await until_settled(service, "g")
            assert journal.numbers("s") == [2, 3, 4]
            assert journal.numbers("bad") in ([1], [])  # it fails at its first attempt, and may be parked

    run(main())


def test_without_room_to_park_what_fails_is_tried_on_with_pauses(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not dropped, nor is it tried without a pause; with room again it is parked, or done."""
    bounds = {"interrupts.store.groups.PARKED_MAX": 1, "workers.committing.REACT_FULL_PAUSE_S": 0.05}
    hastened(monkeypatch, bounds)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            fixable = Fixable()
            journal = Journal(fixable)
            async with reacting(service, journal, attempts_max=1):
                await publish(service, "a", 1)
                await publish(service, "b", 1, 2)
                await publish(service, "good", 2, 4)
                await until(lambda: len(journal.done) == 3, "the others go on")
                await until(lambda: len([one for one in journal.begun if one[1] == 1]) > 4, "it is tried on")
                assert len(await parked(service, "g")) == 1
                fixable.mended = True
                await until(lambda: ("b", 1) in journal.done, "it is done")
                await until_settled(service, "g", parked_count=1)
            assert len(journal.begun) < 50
            assert [one.stream_id for one in await held(service, "g")] == []

    run(main())
