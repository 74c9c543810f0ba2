"""Handlers that fail: tried again, then parked, while only their session waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from interrupts import connect
from tests.conftest import World
from tests.reacting import (
    QUICK_BEATS,
    Journal,
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
from workers import Event


def failing(session: str, number: int, times: int = 1_000) -> Callable[[Event], None]:
    """Fails for one event, so often."""

    def do(event: Event) -> None:
        if (event.session_id, event.data["n"]) == (session, number) and event.attempt <= times:
            raise ValueError(f"no to {number}")

    return do


def test_what_fails_is_tried_again_in_its_place(url: str, namespace: str) -> None:
    """With the attempt's number, and before what follows it in its session."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            journal = Journal(failing("s", 2, times=2))
            async with reacting(service, journal):
                await publish(service, "s", 1, 2, 3, 4)
                await until_settled(service, "g")
            assert journal.begun == [("s", 1, 1), ("s", 2, 1), ("s", 2, 2), ("s", 2, 3), ("s", 3, 1), ("s", 4, 1)]
            assert await parked(service, "g") == {}

    run(main())


def test_what_fails_too_often_is_parked_with_its_error_and_its_session_goes_on(url: str, namespace: str) -> None:
    """After as many attempts as were said; it is told each time, with what is needed to find it."""

    async def main() -> None:
        world = World()
        async with connect(url, namespace=namespace, partitions=2, logger=world) as service:
            journal = Journal(failing("s", 2))
            async with reacting(service, journal, attempts_max=3):
                _, bad, _ = await publish(service, "s", 1, 2, 3)
                await until_settled(service, "g", parked_count=1)
            assert [begun for begun in journal.begun if begun[1] == 2] == [("s", 2, 1), ("s", 2, 2), ("s", 2, 3)]
            assert journal.numbers("s") == [1, 3]
            why = (await parked(service, "g"))[bad]
            assert (why.attempts, why.error) == (3, "ValueError('no to 2')")
            told = [(event, fields) for _, event, fields in world.lines if event.startswith("reactions.")]
            assert [event for event, _ in told] == ["reactions.failed", "reactions.failed", "reactions.parked"]
            for attempt, (_, fields) in enumerate(told, 1):
                said = {"group": "g", "position": bad, "session_id": "s", "attempt": attempt}
                assert said.items() <= fields.items()
                assert "no to 2" in fields["error"]
                assert "in do" in fields["trace"]

    run(main())


def test_one_attempt_means_one(url: str, namespace: str) -> None:
    """It is parked at once."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            journal = Journal(failing("s", 1))
            async with reacting(service, journal, attempts_max=1):
                await publish(service, "s", 1, 2)
                await until_settled(service, "g", parked_count=1)
            assert journal.begun == [("s", 1, 1), ("s", 2, 1)]

    run(main())


def test_others_go_on_while_a_session_waits(url: str, namespace: str) -> None:
    """And so does the place of the group: what waits is held, in its order, and survives a new start."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            journal = Journal(failing("bad", 1, times=1))
            async with reacting(service, journal, backoff_first_s=3600.0, backoff_max_s=3600.0):
                await publish(service, "bad", 1, 2)
                await journal.until_begun(1)
                for number in range(1, 6):
                    await publish(service, "good", number)
                (last,) = await publish(service, "bad", 3)

                async def is_there() -> bool:
                    (place,) = await places(service, "g")
                    return "0:{}-{}".format(*place) == last

                await until_async(is_there, "its place is at the end")
                await until_async(lambda: _held_is(service, [1, 0, 0]), "three are held")
                assert journal.numbers("good") == [1, 2, 3, 4, 5]
                assert journal.numbers("bad") == []
            assert [one.error for one in await held(service, "g")] == ["ValueError('no to 1')", "", ""]
            async with reacting(service, journal):
                await until_settled(service, "g")
            assert journal.numbers("bad") == [1, 2, 3]
            assert [begun for begun in journal.begun if begun[0] == "bad"][1:] == [
                ("bad", 1, 2),
                ("bad", 2, 1),
                ("bad", 3, 1),
            ]

    run(main())


async def _held_is(service: Any, attempts: list[int]) -> bool:
    return [one.attempts for one in await held(service, "g")] == attempts


def test_many_sessions_fail_at_once(url: str, namespace: str) -> None:
    """Every second event of fifty sessions, each in its own order, and none of the others waits for ever."""

    async def main() -> None:
        def do(event: Event) -> None:
            if event.data["n"] % 2 and event.attempt == 1:
                raise ValueError("odd")

        async with connect(url, namespace=namespace, partitions=4) as service:
            journal, names = Journal(do), [f"s{number}" for number in range(50)]
            async with reacting(service, journal):
                await asyncio.gather(*(publish(service, name, 1, 2, 3, 4) for name in names))
                await until_settled(service, "g")
            assert journal.faults == []
            assert {name: journal.numbers(name) for name in names} == {name: [1, 2, 3, 4] for name in names}

    run(main())


@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
def test_a_handler_that_takes_too_long_has_failed(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, sync: bool
) -> None:
    """It is ended, tried again and parked, and its session goes on."""
    hastened(monkeypatch, QUICK_BEATS)

    async def main() -> None:
        gone, got = asyncio.Event(), list[int]()

        async def slow(event: Event) -> None:
            if event.data["n"] == 1:
                await gone.wait()
            got.append(event.data["n"])

        def slow_sync(event: Event) -> Any:
            return slow(event)

        async with connect(url, namespace=namespace, partitions=2) as service:
            async with reacting(service, slow_sync if sync else slow, attempts_max=2, timeout_s=0.1):
                bad, _ = await publish(service, "s", 1, 2)
                await until_settled(service, "g", parked_count=1)
            assert got == [2]
            why = (await parked(service, "g"))[bad]
            assert (why.attempts, why.error) == (2, "it took longer than 0.1 s")

    run(main())


@pytest.mark.parametrize("pause", [(0.0, 0.0), (0.05, 0.05), (0.02, 0.1)])
def test_pauses_keep_their_bounds(monkeypatch: pytest.MonkeyPatch, pause: tuple[float, float]) -> None:
    """Each is twice as long as the one before, up to the longest, less up to a half at random."""

    async def main() -> None:
        world, (first_s, most_s) = World(), pause
        async with connect("memory://", partitions=1, logger=world) as service:
            journal = Journal(failing("s", 1))
            async with reacting(service, journal, attempts_max=5, backoff_first_s=first_s, backoff_max_s=most_s):
                await publish(service, "s", 1)
                await until_settled(service, "g", parked_count=1)
        told = [fields["again_in_s"] for _, event, fields in world.lines if event == "reactions.failed"]
        for number, told_s in enumerate(told):
            full_s = min(first_s * 2**number, most_s)
            assert full_s / 2 - 0.001 <= told_s <= full_s + 0.001
        assert len(told) == 4

    run(main())
