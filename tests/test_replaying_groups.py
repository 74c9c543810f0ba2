"""Replaying to a group of reactions: what it wants and has come past, as far as it has room; nobody else is told."""

from __future__ import annotations

import pytest

from interrupts import NotFoundError
from interrupts.errors import UnavailableError
from tests.parking import Notes, bus_of, parked_by, placed, store, until_run
from tests.reacting import SHORT_LEASES, hastened, run, until_settled
from tests.replays import at, chosen, cut, everything_but, filled
from tests.servers import Cluster, RedisServer, until
from workers.group_standing import forget, group_standings
from workers.parked import drop_parked, parked, replay_parked
from workers.replay_choice import Choice
from workers.replaying import Replaying, ToGroup, ToHandler, replay


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker hears of what is handed to it when it renews its leases: here four times a second."""
    hastened(monkeypatch, SHORT_LEASES)


def test_a_group_is_given_what_it_wants_and_has_come_past(shared_server: RedisServer, namespace: str) -> None:
    """In order; what is parked of it is not parked any more. To what comes after its place it comes by itself."""

    async def main() -> None:
        async with store(shared_server, namespace, 2) as service:
            notes = Notes()
            failed = await parked_by(service, notes, "s1", "s2")
            notes.fails = set()
            async with bus_of(notes).running(service):
                there = failed + await placed(service, "s1", "s2", "s1", "s3")
                pause = await service.create_checkpoint("r", "u", "s1")
                await until(lambda: set(notes.seen) == set(there), "all were handled")
                await until_settled(service, "resume", parked_count=2)
                notes.seen = []
                done = await replay(service, Choice(session_id="s1"), ToGroup("resume"))
                wanted = [there[0], there[2], there[4]]
                assert done.events == 3
                await until(lambda: notes.seen == wanted, "they are handled again")
                await until_settled(service, "resume", parked_count=1)
                await replay(service, Choice(patterns=["interrupt.*"]), ToGroup("resume"))
                assert (await replay(service, Choice(interrupt_id=pause.id), ToGroup("resume"))).events == 0
                assert notes.seen == wanted
            await placed(service, "s9")
            assert (await replay(service, Choice(session_id="s9"), ToGroup("resume"), dry_run=True)).events == 0
            assert [one.position for one in (await parked(service)).parked] == [failed[1]]

    run(main())


def test_a_group_is_not_given_more_than_it_has_room_for(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replay waits, says so, and goes on when there is room. Interrupted, it says from where to go on."""
    monkeypatch.setattr("workers.replay_to_group.AHEAD_MAX", 3)
    monkeypatch.setattr("workers.replay_to_group.TELL_AFTER_S", 0.0)

    async def main() -> None:
        async with store(shared_server, namespace, 1) as service:
            notes, told = Notes(), list[str]()
            async with bus_of(notes).running(service):
                there = await placed(service, *["s1"] * 10)
                await until_settled(service, "resume")
                notes.seen = []
                notes.goes_on.clear()
                replaying = Replaying(service, Choice(), ToGroup("resume"), tell=told.append)
                done = await cut(replaying, lambda: told)
                assert done.events == 3
                assert done.next == [there[3]]
                assert "3 events to handle, and its handlers take their time" in told[0]
                notes.goes_on.set()
                rest = await replay(service, Choice(start=at(*done.next)), ToGroup("resume"))
                assert rest.events == 7
                await until(lambda: notes.seen == there, "each was handled again, once and in order")

    run(main())


def test_a_group_that_nobody_runs_is_refused(shared_server: RedisServer, namespace: str) -> None:
    """Nothing is handed to it; so is one that there is not. What would be is counted all the same."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            notes = Notes()
            async with bus_of(notes).running(service):
                await placed(service, "s1")
                await until_settled(service, "resume")
            before = await everything_but(service)
            with pytest.raises(UnavailableError, match="No worker runs the group 'resume'"):
                await replay(service, Choice(), ToGroup("resume"))
            with pytest.raises(NotFoundError):
                await replay(service, Choice(), ToGroup("other"))
            assert (await replay(service, Choice(), ToGroup("resume"), dry_run=True)).events == 1
            assert await everything_but(service) == before

    run(main())


def test_nothing_but_the_target_is_touched(shared_server: RedisServer, namespace: str) -> None:
    """A replay to a handler or a file changes nothing in the store; one to a group nothing of another group."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            other, notes = Notes(), Notes()
            await parked_by(service, other, "s1", "s2", group="hooks")
            other.seen = []
            await filled(service)
            before = await everything_but(service)
            await chosen(service)
            await replay(service, Choice(), ToHandler(Notes()))
            await replay(service, Choice(), None)
            assert await everything_but(service) == before
            async with bus_of(notes).running(service):
                await until_settled(service, "resume")
                await until_run(service)
                done = await replay(service, Choice(), ToGroup("resume"))
                await until(lambda: len(notes.seen) == 2 * done.events > 0, "they are handled again")
            mine = (":group:resume", ":workers:", ":groups")
            assert await everything_but(service, *mine) == {
                name: dump for name, dump in before.items() if not any(each in name.decode() for each in mine)
            }
            assert other.seen == []

    run(main())


def test_in_a_cluster_it_is_the_same(cluster: Cluster, namespace: str) -> None:
    """Whatever node a partition is on: what is parked, how groups stand, replays, and forgetting."""

    async def main() -> None:
        async with store(cluster, namespace, 6) as service:
            notes = Notes()
            failed = await parked_by(service, notes, "s1", "s2", "s3")
            notes.fails = set()
            assert (await drop_parked(service, "resume", failed[:1])).done == 1
            assert (await replay_parked(service, "resume", session_id="s2")).done == 1
            async with bus_of(notes).running(service):
                await until_settled(service, "resume", parked_count=1)
                await until_run(service)
                notes.seen = []
                assert (await replay(service, Choice(), ToGroup("resume"))).events == 3
                await until_settled(service, "resume")
                assert sorted(notes.seen) == sorted(failed)
            (one,) = await group_standings(service)
            assert (one.behind, one.held, one.parked, one.owners) == (0, 0, 0, [])
            assert await forget(service, "resume") == 6
            assert await group_standings(service) == []

    run(main())
