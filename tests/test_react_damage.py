"""Entries that can't be read, and a log that was rolled back: said, and not in the way of others."""

from __future__ import annotations

from typing import Any

import pytest

from interrupts import InterruptService, connect
from tests.conftest import World
from tests.raw import raw
from tests.reacting import (
    QUICK_BEATS,
    Journal,
    groups,
    hastened,
    held,
    parked,
    places,
    publish,
    reacting,
    run,
    until_async,
    until_settled,
)

ALIEN: dict[str, tuple[Any, ...]] = {
    "garbage": ("s", 2, "e", b"garbage"),
    "empty": ("s", 2, "e", b""),
    "not utf-8": ("s", 2, "e", b'["\xff","i",1,"k","\xfe","r","u",{}]'),
    "half an event": ("s", 2, "e", b'["interrupt.created","'),
    "another version": ("s", 2, "e", b'["interrupt.unheard-of","a",1,"b"'),
    "no number": ("s", "many", "e", b"garbage"),
    "a number too long": ("s", "9" * 400, "e", b"garbage"),
    "one field": ("x", "y"),
    "other fields": ("a", "b", "c", "d", "e", "f"),
}


async def add(service: InterruptService, fields: tuple[Any, ...]) -> str:
    """Puts an entry into the log that is not ours; its position."""
    stream_id = await raw(service, "XADD", service.store.keys.logs[0], "*", *fields)
    return f"0:{stream_id.decode()}"


def told(world: World, event: str) -> list[dict[str, Any]]:
    """What was said of this."""
    return [fields for _, name, fields in world.lines if name == event]


@pytest.mark.parametrize("alien", ALIEN)
def test_an_entry_that_can_not_be_read_is_parked_and_not_in_the_way(url: str, namespace: str, alien: str) -> None:
    """What is before it and behind it is handled; a new group may start on it, and one that stands on it goes on."""

    async def main() -> None:
        world = World()
        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            journal, late = Journal(), Journal()
            async with reacting(service, journal):
                await publish(service, "s", 1)
                bad = await add(service, ALIEN[alien])
                await until_settled(service, "g", parked_count=1)
                assert list(await parked(service, "g")) == [bad]
                async with reacting(service, late, group="late"):
                    await raw(service, "HSET", service.store.keys.group(0, "late"), "probe", 1)
            # Only whoever appends after the damage may be refused, not whoever reads.
            async with reacting(service, journal), reacting(service, late, group="late"):
                await raw(service, "XADD", service.store.keys.logs[0], "*", "s", 3, "e", event_of(2))
                await until_settled(service, "g", parked_count=1)
                await until_settled(service, "late")
            assert journal.done == [("s", 1), ("s", 2)]
            assert late.done == [("s", 2)]
            assert told(world, "reactions.rolled_back") == []
            assert [said["position"] for said in told(world, "reactions.unreadable")] == [bad]

    run(main())


def event_of(number: int) -> bytes:
    """A published event, as it is stored."""
    return b'["published","tests.event.happened","s","","",{"n":%d,"session_id":"s"},{"command":"c"}]' % number


@pytest.mark.parametrize("again", ["again", "feed"])
def test_one_that_can_not_be_read_is_parked_again_when_it_is_replayed(url: str, namespace: str, again: str) -> None:
    """Nothing is dropped but by those who drop it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            async with reacting(service, Journal()):
                bad = await add(service, ALIEN["garbage"])
                await until_settled(service, "g", parked_count=1)
            await groups(service).release("g", 0, again, [bad.partition(":")[2]])
            assert len(await held(service, "g")) == 1
            async with reacting(service, Journal()):
                await until_settled(service, "g", parked_count=1)
            assert list(await parked(service, "g")) == [bad]

    run(main())


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_log_that_was_rolled_back_behind_a_groups_place_is_told_and_gone_on_with(
    url: str, namespace: str, kept: int
) -> None:
    """Of what is there now, what stands behind the last common event is handled."""

    async def main() -> None:
        world = World()
        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            journal = Journal()
            async with reacting(service, journal, start="beginning"):
                positions = await publish(service, "s", 1, 2, 3, 4)
                await until_settled(service, "g")
            for position in positions[kept:]:
                await raw(service, "XDEL", service.store.keys.logs[0], position.partition(":")[2])
            async with reacting(service, journal):
                await publish(service, "t", 1, 2)
                await until_settled(service, "g")
            assert journal.done[4:] == [("t", 1), ("t", 2)]
            (said,) = told(world, "reactions.rolled_back")
            assert (said["group"], said["position"]) == ("g", positions[-1])

    run(main())


def test_another_event_at_the_place_of_the_group_is_handled(url: str, namespace: str) -> None:
    """A log that was rolled back and has grown again may have another event at the same place."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            journal = Journal()
            async with reacting(service, journal, start="beginning"):
                (position,) = await publish(service, "a", 1)
                await until_settled(service, "g")
            log = service.store.keys.logs[0]
            await raw(service, "DEL", log)
            fields = ("s", 1, "e", event_of(1))
            await raw(service, "XADD", log, position.partition(":")[2], *fields)
            async with reacting(service, journal):
                await journal.until_done(2)
            assert journal.done == [("a", 1), ("s", 1)]

    run(main())


def test_what_is_held_and_gone_from_the_log_holds_up_nothing(url: str, namespace: str) -> None:
    """It is told, and its session goes on with what is there."""

    async def main() -> None:
        world = World()

        def fails(_: object) -> None:
            raise ValueError("no")

        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            async with reacting(service, Journal(fails), backoff_first_s=60.0):
                first, *_ = await publish(service, "s", 1, 2, 3)
                await publish(service, "t", 1)

                async def all_held() -> bool:
                    return len(await held(service, "g")) == 4

                await until_async(all_held, "all are held")
            await raw(service, "XDEL", service.store.keys.logs[0], first.partition(":")[2])
            journal = Journal()
            async with reacting(service, journal):
                await until_settled(service, "g", parked_count=None)
            assert sorted(journal.done) == [("s", 2), ("s", 3), ("t", 1)]
            assert [said["position"] for said in told(world, "reactions.unreadable")] == [first]

    run(main())


def test_all_that_may_have_been_begun_is_found_after_a_crash_however_much_it_is(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More entries than are read in one go lie between the place of the group and what was begun."""
    hastened(monkeypatch, QUICK_BEATS | {"workers.recovering.READ_COUNT_MAX": 3})

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            async with reacting(service, Journal()):
                await until_settled(service, "g")
            before = await places(service, "g")
            for number in range(1, 6):
                await publish(service, "s", number)
                for _ in range(4):
                    await service.publish("other.event.happened", {"session_id": "s"})
            (last,) = await publish(service, "s", 6)
            # As a process leaves it that was killed when it had begun with all of them.
            card = service.store.keys.group(0, "g")
            await raw(service, "HSET", card, "begun", last.partition(":")[2])
            assert await places(service, "g") == before
            journal = Journal()
            async with reacting(service, journal):
                await until_settled(service, "g")
            assert journal.begun == [("s", number, 2) for number in range(1, 7)]

    run(main())
