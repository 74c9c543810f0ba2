"""What is parked: listed with all that there is to say, replayed, dropped; and how groups stand, and are removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interrupts import InterruptService, NotFoundError, ValidationError
from interrupts.store.groups import Groups
from projections.names import key_names
from tests.parking import Notes, bus_of, parked_by, placed, store, until_run
from tests.raw import raw, write_entry
from tests.reacting import run, until_settled
from tests.servers import RedisServer, sessions, until
from workers.group_standing import forget, group_standings
from workers.parked import ParkedPage, drop_parked, parked, replay_parked


async def positions(service: InterruptService, group: str | None = None) -> list[str]:
    """Where what is parked is."""
    return [one.position for one in (await parked(service, group)).parked]


async def pages(service: InterruptService, limit: int, group: str | None = None) -> list[ParkedPage]:
    """All pages."""
    found = [await parked(service, group, limit=limit)]
    while found[-1].next_cursor is not None:
        found.append(await parked(service, group, limit=limit, cursor=found[-1].next_cursor))
    return found


def test_what_is_parked_is_told_with_event_error_attempts_and_time(shared_server: RedisServer, namespace: str) -> None:
    """And the event itself is what was published."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            (position,) = await parked_by(service, Notes(), "s1")
            (one,) = (await parked(service)).parked
            assert (one.group, one.position, one.attempts) == ("resume", position, 1)
            assert one.error == "ValueError('not s1\\x1b[31m')"
            assert abs(one.parked_at - datetime.now(UTC)) < timedelta(minutes=5)
            assert one.event is not None
            assert (one.event.type, one.event.content["\x1b"]) == ("shop.order.placed", "é")

    run(main())


def test_pages_tell_each_once_in_the_same_order(shared_server: RedisServer, namespace: str) -> None:
    """By group, by partition, by place; of all groups or one; a cursor only where there is more."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            names = [f"s{number}" for number in range(6)]
            first = await parked_by(service, Notes(), *names, group="b")
            notes = Notes()
            notes.fails = set(names)
            async with bus_of(notes, "a").running(service):
                await until(lambda: len(notes.seen) == 6, "the other group has failed, too")
            whole = await parked(service)
            assert whole.next_cursor is None
            assert [one.group for one in whole.parked] == ["a"] * 6 + ["b"] * 6
            for limit in (1, 4, 6, 12):
                some = await pages(service, limit)
                assert [one for page in some for one in page.parked] == whole.parked
                assert len(some) == -(-12 // limit)
            of_one = [one.position for page in await pages(service, 4, "b") for one in page.parked]
            assert sorted(of_one) == sorted(first)

    run(main())


def test_a_session_can_be_asked_for(shared_server: RedisServer, namespace: str) -> None:
    """Only its events are listed, replayed or dropped."""

    async def main() -> None:
        async with store(shared_server, namespace, 1) as service:
            one, _, other = await parked_by(service, Notes(), "s1", "s2", "s1")
            found = await parked(service, session_id="s1")
            assert [each.position for each in found.parked] == [one, other]
            assert (await drop_parked(service, "resume", session_id="s1")).done == 2
            assert (await parked(service, session_id="s1")).parked == []
            assert (await replay_parked(service, "resume", session_id="s2")).done == 1
            assert await positions(service) == []

    run(main())


def test_what_is_replayed_is_handled_again_in_order(shared_server: RedisServer, namespace: str) -> None:
    """Some, or all; by a worker that starts later, which begins with the first attempt."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            there = await parked_by(service, Notes(), "s1", "s2", "s1", "s1")
            moved = await replay_parked(service, "resume", [there[0], there[2]])
            assert (moved.done, moved.not_parked, moved.no_room) == (2, [], 0)
            assert sorted(await positions(service)) == sorted([there[1], there[3]])
            assert (await replay_parked(service, "resume", everything=True)).done == 2
            notes = Notes()
            async with bus_of(notes).running(service):
                await until(lambda: len(notes.seen) == 4, "all are handled again")
                await until_settled(service, "resume")
            assert [each for each in notes.seen if each != there[1]] == [there[0], there[2], there[3]]
            assert await positions(service) == []

    run(main())


def test_a_worker_that_runs_learns_of_it(shared_server: RedisServer, namespace: str) -> None:
    """Nothing has to be started again."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            notes = Notes()
            notes.fails = {"s1"}
            async with bus_of(notes).running(service):
                (position,) = await placed(service, "s1")
                await until_settled(service, "resume", parked_count=1)
                notes.fails = set()
                await replay_parked(service, "resume", [position])
                await until(lambda: notes.seen == [position, position], "it is handled again")
                await until_settled(service, "resume")

    run(main())


def test_what_is_dropped_does_not_come_again(shared_server: RedisServer, namespace: str) -> None:
    """It stays in the log, and what was not named stays parked."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            there = await parked_by(service, Notes(), "s1", "s2", "s3")
            assert (await drop_parked(service, "resume", there[:2])).done == 2
            again = await drop_parked(service, "resume", there)
            assert (again.done, sorted(again.not_parked)) == (1, sorted(there[:2]))
            assert (await drop_parked(service, "resume", everything=True)).done == 0
            notes = Notes()
            async with bus_of(notes).running(service):
                (later,) = await placed(service, "s1")
                await until(lambda: later in notes.seen, "what comes is handled")
            assert notes.seen == [later]

    run(main())


def test_without_room_it_stays_parked(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that is said; dropping needs no room."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            there = await parked_by(service, Notes(), "s1", "s1")
            monkeypatch.setattr("interrupts.store.groups.HELD_MAX", 1)
            moved = await replay_parked(service, "resume", everything=True)
            assert (moved.done, moved.not_parked, moved.no_room) == (1, [], 1)
            assert await positions(service) == there[1:]
            assert (await drop_parked(service, "resume", there[1:])).done == 1

    run(main())


def test_what_can_not_be_read_is_listed_and_dropped(shared_server: RedisServer, namespace: str) -> None:
    """By its position."""

    async def main() -> None:
        async with store(shared_server, namespace, 1) as service:
            position = await write_entry(service, 1, "nonsense\x1b")
            await placed(service, "s1")
            async with bus_of(Notes()).running(service):
                await until_settled(service, "resume", parked_count=1)
            (one,) = (await parked(service)).parked
            assert (one.position, one.event) == (position, None)
            assert (await parked(service, session_id="s1")).parked == []
            assert (await drop_parked(service, "resume", [position])).done == 1

    run(main())


def test_what_can_not_be_meant_is_refused(shared_server: RedisServer, namespace: str) -> None:
    """By name, and nothing is changed."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            there = await parked_by(service, Notes(), "s1")
            for wrong in ({}, {"everything": True, "session_id": "s1"}, {"positions": ["9:1-1"]}, {"positions": ["x"]}):
                with pytest.raises(ValidationError):
                    await drop_parked(service, "resume", **wrong)
            for cursor in ("x", "resume", "resume/1", "\x1b"):
                with pytest.raises(ValidationError, match="cursor"):
                    await parked(service, cursor=cursor)
            for limit in (0, 1_001, True):
                with pytest.raises(ValidationError, match="limit"):
                    await parked(service, limit=limit)
            with pytest.raises(NotFoundError, match="There are: resume"):
                await parked(service, "other")
            with pytest.raises(NotFoundError):
                await drop_parked(service, "other", everything=True)
            assert await positions(service) == there

    run(main())


def test_a_standing_tells_how_far_a_group_is_and_who_runs_it(shared_server: RedisServer, namespace: str) -> None:
    """By partition and in all: what it has not come to, what it holds, what it has parked."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            await parked_by(service, Notes(), "s1", "s1")
            await placed(service, *sessions(service), *sessions(service))
            (one,) = await group_standings(service)
            assert (one.group, one.patterns, one.resumes) == ("resume", ["shop.order.placed"], False)
            assert (one.behind, one.held, one.parked, one.owners) == (4, 0, 2, [])
            assert [each.behind for each in one.partitions] == [2, 2]
            assert one.seconds == max(each.seconds for each in one.partitions) > 0
            notes = Notes()
            notes.goes_on.clear()
            async with bus_of(notes).running(service):
                await until(lambda: len(notes.seen) == 2, "both sessions are being handled")
                (one,) = await group_standings(service, "resume")
                assert len(one.owners) == 1
                assert all(each.owner == one.owners[0] for each in one.partitions)
                notes.goes_on.set()
                await until_settled(service, "resume", parked_count=2)
                (one,) = await group_standings(service)
                assert (one.behind, one.seconds) == (0, 0)
            assert (await group_standings(service))[0].owners == []

    run(main())


def test_a_group_is_forgotten_only_while_nobody_runs_it(shared_server: RedisServer, namespace: str) -> None:
    """Then nothing is left of it, and other groups are not touched."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            await parked_by(service, Notes(), "s1")
            await parked_by(service, Notes(), "s2", group="resume2")
            async with bus_of(Notes()).running(service):
                await until_run(service)
                with pytest.raises(ValidationError, match="is being run by a worker"):
                    await forget(service, "resume")
            assert await forget(service, "resume") == 2
            assert [one.group for one in await group_standings(service)] == ["resume2"]
            assert await positions(service) == await positions(service, "resume2") != []
            names = [
                name
                async for found in key_names(service.store.server, service.store.keys, range(2))
                for each in found.values()
                for name in each
            ]
            assert [name for name in names if ":group:resume" in name and ":group:resume2" not in name] == []
            assert await raw(service, "HKEYS", service.store.keys.groups) == [b"resume2"]
            with pytest.raises(NotFoundError):
                await forget(service, "resume")
            assert await Groups(service.store.server, service.store.keys).lease("resume2", 0, "x") is not None

    run(main())
