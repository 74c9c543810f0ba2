"""Replaying to a handler: its sessions in order and side by side, what fails, and going on after an interruption."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import Position, ValidationError
from tests.parking import Notes, placed, store
from tests.reacting import run
from tests.replays import at, cut
from tests.servers import RedisServer
from workers import Event
from workers.replay_choice import Choice
from workers.replay_to_handler import handler_named
from workers.replaying import Replaying, ToHandler, replay


def test_a_handler_gets_each_session_in_order_and_sessions_side_by_side(
    shared_server: RedisServer, namespace: str
) -> None:
    """At most as many at once as is said; marks are nobody's news."""
    seen: list[tuple[str, int]] = []
    at_work: set[str] = set()
    most = [0]

    async def handle(event: Event) -> None:
        assert event.session_id not in at_work
        at_work.add(event.session_id)
        most[0] = max(most[0], len(at_work))
        await asyncio.sleep(0)
        seen.append((event.session_id, event.data["n"]))
        at_work.discard(event.session_id)

    async def main() -> None:
        async with store(shared_server, namespace, 4) as service:
            names = [f"s{number}" for number in range(9)]
            for number in range(5):
                for name in names:
                    await service.publish("shop.order.placed", {"session_id": name, "n": number})
            done = await replay(service, Choice(), ToHandler(handle, concurrency=4))
            assert (done.events, done.failures) == (45, 0)
            assert most == [4]
            for name in names:
                assert [number for session, number in seen if session == name] == list(range(5))

    run(main())


def test_a_handler_need_not_be_async(shared_server: RedisServer, namespace: str) -> None:
    """It runs in threads; an object that can be called does as well."""
    seen: list[str] = []

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            there = await placed(service, "s1", "s1", "s2")
            await replay(service, Choice(), ToHandler(lambda event: seen.append(event.position)))
            assert sorted(seen) == sorted(there)
            notes = Notes()
            await replay(service, Choice(), ToHandler(notes))
            assert sorted(notes.seen) == sorted(there)

    run(main())


def test_what_fails_is_told_counted_and_passed_over(shared_server: RedisServer, namespace: str) -> None:
    """Whatever it raises; the session goes on with its next event."""

    async def main() -> None:
        async with store(shared_server, namespace, 1) as service:
            there = await placed(service, "s1", "s2", "s1")
            told: list[str] = []

            def handle(event: Event) -> None:
                if event.session_id == "s1":
                    raise asyncio.CancelledError if event.position == there[0] else ValueError("no\nway")

            done = await replay(service, Choice(), ToHandler(handle), tell=told.append)
            assert (done.events, done.failures, done.finished) == (1, 2, True)
            assert [(one.position, one.type) for one in done.failed] == [
                (there[0], "shop.order.placed"),
                (there[2], "shop.order.placed"),
            ]
            assert done.failed[1].error == "ValueError('no\\nway')"
            assert told[1] == f"failed: {there[2]} shop.order.placed: ValueError('no\\nway')"
            after = Position.parse(there[2])
            assert done.next == [f"0:{after.ms}-{after.number + 1}"]

    run(main())


def test_it_can_end_with_the_first_failure(shared_server: RedisServer, namespace: str) -> None:
    """Then it says to go on with that event; going on leaves nothing out."""

    async def main() -> None:
        async with store(shared_server, namespace, 2) as service:
            there = await placed(service, *[f"s{number}" for number in range(20)])
            seen: list[str] = []

            async def handle(event: Event) -> None:
                if event.position == there[7] and there[7] not in seen:
                    seen.append(event.position)
                    raise ValueError
                seen.append(event.position)

            target = ToHandler(handle, concurrency=2, stop_on_error=True)
            done = await replay(service, Choice(), target)
            assert (done.failures, done.finished) == (1, False)
            assert len(seen) < 20
            assert there[7] in done.next
            rest = await replay(service, Choice(start=at(*done.next)), target)
            assert (rest.failures, rest.finished) == (0, True)
            assert set(seen) == set(there)
            assert seen.count(there[7]) == 2

    run(main())


def test_interrupted_it_says_from_where_to_go_on(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in hand comes again; what was done does not, but for what came behind it in the log."""
    monkeypatch.setattr("workers.replay_to_handler.UNDONE_MAX", 6)
    monkeypatch.setattr("workers.replay_reading.PAGE_FIRST", 3)

    async def main() -> None:
        async with store(shared_server, namespace, 2) as service:
            there = await placed(service, *["s1"] * 10, *["s2"] * 10, *["s3"] * 10)
            notes = Notes()

            async def handle(event: Event) -> None:
                if len(notes.seen) == 12:
                    notes.goes_on.clear()
                await notes(event)

            replaying = Replaying(service, Choice(), ToHandler(handle, concurrency=1))
            done = await cut(replaying, lambda: len(notes.seen) == 13)
            assert (done.events, done.finished) == (12, False)
            notes.goes_on.set()
            before, notes.seen = notes.seen, []
            await replay(service, Choice(start=at(*done.next)), ToHandler(notes))
            assert set(before[:12]) | set(notes.seen) == set(there)
            assert set(notes.seen) >= {before[12]}

    run(main())


def test_a_handler_is_found_by_its_name() -> None:
    """Or refused with the reason."""
    for name, found in (("tests.parking:placed", placed), ("tests.parking:Notes.__call__", Notes.__call__)):
        named: object = handler_named(name)
        assert named == found
    for wrong in ("", "tests.parking", ":x", "tests.parking:", "no.such:thing", "tests.parking:FAST", "json:nothing"):
        with pytest.raises(ValidationError, match="can't be used"):
            handler_named(wrong)
