"""Answered, but nobody resumed: what a group that resumes has not marked as done, and why; nothing else."""

from __future__ import annotations

import pytest

from interrupts import FlowInterrupt, InterruptResponse, InterruptService, NotFoundError
from tests.parking import Notes, bus_of, store
from tests.reacting import run, until_async, until_settled
from tests.servers import RedisServer, until
from workers.group_standing import group_standings
from workers.parked import drop_parked, replay_parked
from workers.unresumed import Unresumed, unresumed

RESUMES = {"resumes": True}
ENDS = ("interrupt.resolved", "interrupt.cancelled", "interrupt.expired")


async def answered(service: InterruptService, *session_ids: str) -> list[FlowInterrupt]:
    """An interrupt of each of these sessions, answered."""
    found = []
    for session in session_ids:
        pause = await service.create_clarification("req-1", "ada", session, "Which?")
        done = await service.respond(pause.id, InterruptResponse(text="this one"))
        assert done is not None
        found.append(done)
    return found


async def listed(service: InterruptService, group: str | None = None) -> list[Unresumed]:
    """All of them."""
    page = await unresumed(service, group)
    assert page.next_cursor is None
    return page.unresumed


def test_what_a_group_has_not_come_to_waits(shared_server: RedisServer, namespace: str) -> None:
    """Since it ended; in the words of the log. When the group has gone on, it is not listed any more."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            bus = bus_of(Notes(), "resume", *ENDS, **RESUMES)
            async with bus.running(service):
                await until_settled(service, "resume")
            (pause,) = await answered(service, "s1")
            (one,) = await listed(service)
            assert (one.group, one.interrupt_id, one.why, one.attempts) == ("resume", pause.id, "waiting", 0)
            assert (one.session_id, one.request_id, one.user_id) == ("s1", "req-1", "ada")
            assert (one.kind, one.type, one.position) == ("clarification", "interrupt.resolved", pause.position)
            assert one.since == pause.resolved_at
            async with bus.running(service):
                await until_settled(service, "resume")
            assert await listed(service) == []

    run(main())


def test_what_is_being_handled_is_told_as_that(shared_server: RedisServer, namespace: str) -> None:
    """And what stands behind it in its session waits; what another session has done already is not listed."""

    async def main() -> None:
        async with store(shared_server, namespace, 1) as service:
            notes = Notes()
            async with bus_of(notes, "resume", *ENDS, **RESUMES).running(service):
                notes.goes_on.clear()
                first, second = await answered(service, "s1", "s1")
                await until(lambda: len(notes.seen) == 1, "the first is being handled")
                assert [(one.interrupt_id, one.why) for one in await listed(service)] == [
                    (first.id, "handling"),
                    (second.id, "waiting"),
                ]
                notes.goes_on.set()
                await until_settled(service, "resume")
                notes.goes_on.clear()
                (third,) = await answered(service, "s2")
                await until(lambda: len(notes.seen) == 3, "the third is being handled")
                assert [one.interrupt_id for one in await listed(service)] == [third.id]
                notes.goes_on.set()

    run(main())


def test_what_fails_is_told_with_its_error(shared_server: RedisServer, namespace: str) -> None:
    """And how often it was tried."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            notes = Notes()
            notes.fails = {"s1"}
            slow = {"attempts_max": 5, "backoff_first_s": 600.0, "backoff_max_s": 600.0}
            async with bus_of(notes, "resume", *ENDS, **RESUMES, **slow).running(service):
                (pause,) = await answered(service, "s1")

                async def fails() -> bool:
                    return [one.why for one in await listed(service)] == ["failing"]

                await until_async(fails, "it is told as failing")
                (one,) = await listed(service)
                assert (one.interrupt_id, one.attempts, one.parked_at) == (pause.id, 1, None)
                assert one.error.startswith("ValueError('not s1")

    run(main())


def test_what_is_parked_is_listed_until_it_is_replayed_or_dropped(shared_server: RedisServer, namespace: str) -> None:
    """Replayed, it waits again; dropped, it is nobody's business any more."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            notes = Notes()
            notes.fails = {"s1", "s2"}
            async with bus_of(notes, "resume", *ENDS, **RESUMES).running(service):
                first, second = await answered(service, "s1", "s2")
                await until_settled(service, "resume", parked_count=2)
            found = {one.interrupt_id: one for one in await listed(service)}
            assert found.keys() == {first.id, second.id}
            for one in found.values():
                assert (one.why, one.attempts) == ("parked", 1)
                assert one.error
                assert one.parked_at is not None
            await replay_parked(service, "resume", [found[first.id].position])
            await drop_parked(service, "resume", [found[second.id].position])
            assert [(one.interrupt_id, one.why) for one in await listed(service)] == [(first.id, "waiting")]

    run(main())


def test_only_groups_that_resume_are_asked_and_only_for_what_they_want(
    shared_server: RedisServer, namespace: str
) -> None:
    """A group of notes is not; one for answers is not asked for what was called off."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            notes = bus_of(Notes(), "notes", "interrupt.*")
            answers = bus_of(Notes(), "answers", "interrupt.resolved", **RESUMES)
            everything = bus_of(Notes(), "everything", "*", **RESUMES)
            for bus in (notes, answers, everything):
                async with bus.running(service):
                    pass
            (pause,) = await answered(service, "s1")
            other = await service.create_checkpoint("req-2", "ada", "s2")
            await service.cancel(other.id)
            found = [(one.group, one.interrupt_id) for one in await listed(service)]
            assert sorted(found) == sorted([("answers", pause.id), ("everything", pause.id), ("everything", other.id)])
            assert [one.group for one in await listed(service, "answers")] == ["answers"]
            assert await listed(service, "notes") == []
            with pytest.raises(NotFoundError):
                await unresumed(service, "nobody")

    run(main())


def test_what_has_expired_was_to_be_gone_on_with_as_well(shared_server: RedisServer, namespace: str) -> None:
    """As soon as its expiry is written down."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            async with bus_of(Notes(), "resume", *ENDS, **RESUMES).running(service):
                pass
            pause = await service.create_clarification("req-1", "ada", "s1", "Which?", ttl_seconds=0.001)

            async def expired() -> bool:
                await service.expire_pending()
                return bool(await listed(service))

            await until_async(expired, "its expiry is written down")
            (one,) = await listed(service)
            assert (one.interrupt_id, one.type) == (pause.id, "interrupt.expired")

    run(main())


def test_pages_tell_each_once_however_little_a_call_looks_at(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page may be short, even empty, and says where to go on; what is parked and what waits come in one order."""
    monkeypatch.setattr("workers.unresumed.SCAN_MAX", 3)
    monkeypatch.setattr("workers.unresumed._PAGE", 2)

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            notes = Notes()
            notes.fails = {"s0", "s1", "s2"}
            async with bus_of(notes, "resume", *ENDS, **RESUMES).running(service):
                expected = [pause.id for pause in await answered(service, "s0", "s1", "s2")]
                await until_settled(service, "resume", parked_count=3)
            expected += [pause.id for pause in await answered(service, *(f"s{number}" for number in range(7)))]
            for limit in (1, 2, 100):
                page = await unresumed(service, limit=limit)
                found, count = list(page.unresumed), 1
                while page.next_cursor is not None:
                    page = await unresumed(service, limit=limit, cursor=page.next_cursor)
                    assert len(page.unresumed) <= limit
                    found += page.unresumed
                    count += 1
                assert count > 2
                assert sorted(one.interrupt_id for one in found) == sorted(expected)
                places = [one.position.split(":") for one in found]
                assert places == sorted(places, key=lambda each: (int(each[0]), each[1].split("-")))
            (standing,) = await group_standings(service)
            assert standing.parked == 3

    run(main())
