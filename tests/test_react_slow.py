"""Handlers that take long, in threads or not, and very many sessions: only their own session waits for them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from interrupts import connect
from tests.reacting import (
    NAME,
    QUICK_BEATS,
    Journal,
    hastened,
    held,
    places,
    publish,
    reacting,
    run,
    until_async,
    until_settled,
)
from tests.servers import until
from workers import Event
from workers.consuming import Consumer
from workers.reacting import ReactionsRole

HOLD_SOON = QUICK_BEATS | {"workers.handling.REACT_HOLD_AFTER_S": 0.05}


def test_a_slow_handler_holds_up_neither_others_nor_the_place(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a moment its event is held, with those behind it, and the group's place moves on."""
    hastened(monkeypatch, HOLD_SOON)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            go_on = asyncio.Event()
            journal = Journal(lambda event: go_on.wait() if event.session_id == "slow" else None)
            async with reacting(service, journal):
                await publish(service, "slow", 1, 2)
                await publish(service, "good", 1, 2)
                (last,) = await publish(service, "slow", 3)

                async def moved() -> bool:
                    (place,) = await places(service, "g")
                    return "0:{}-{}".format(*place) == last

                await until_async(moved, "its place is at the end")
                assert [(one.attempts, one.begun) for one in await held(service, "g")] == [
                    (1, True),
                    (0, False),
                    (0, False),
                ]
                assert journal.done == [("good", 1), ("good", 2)]
                go_on.set()
                await until_settled(service, "g")
            assert journal.begun[0] == ("slow", 1, 1)
            assert journal.numbers("slow") == [1, 2, 3]
            assert len(journal.begun) == 5

    run(main())


def test_a_quick_handler_is_never_written_down_by_itself(url: str, namespace: str) -> None:
    """What is done soon costs nothing but a share of one step."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            journal = Journal()
            async with reacting(service, journal) as bus:
                await asyncio.gather(*(bus.publish(NAME, session_id=f"s{n}", n=1) for n in range(500)))
                await until_settled(service, "g")
            assert len(journal.done) == 500

    run(main())


def test_so_many_handlers_run_at_once_and_no_more(url: str, namespace: str) -> None:
    """As many as were said, when there are sessions enough."""

    async def main() -> None:
        at_once, most, go_on = 0, 0, asyncio.Event()

        async def counted(_: Event) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await go_on.wait()
            at_once -= 1

        async with connect(url, namespace=namespace, partitions=4) as service:
            async with reacting(service, counted, concurrency=5):
                await asyncio.gather(*(publish(service, f"s{number}", 1) for number in range(30)))
                await until(lambda: at_once == 5, "five are at work")
                go_on.set()
                await until_settled(service, "g")
            assert most == 5

    run(main())


def test_a_handler_that_is_no_coroutine_runs_in_a_thread(url: str, namespace: str) -> None:
    """It may block: the loop, and other sessions, go on; its session keeps its order."""

    async def main() -> None:
        got, go_on, loop_thread = list[tuple[str, int]](), threading.Event(), threading.get_ident()

        def blocking(event: Event) -> None:
            assert threading.get_ident() != loop_thread
            if event.session_id == "slow" and event.data["n"] == 1:
                assert go_on.wait(20.0)
            got.append((event.session_id, event.data["n"]))

        async with connect(url, namespace=namespace, partitions=2) as service, reacting(service, blocking):
            await publish(service, "slow", 1, 2)
            await publish(service, "good", 1, 2)
            await until(lambda: got == [("good", 1), ("good", 2)], "others go on")
            go_on.set()
            await until_settled(service, "g")
            assert got[2:] == [("slow", 1), ("slow", 2)]

    run(main())


def test_ten_thousand_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each event is handled once, and nothing of a session that is done is kept."""
    consumers = list[Consumer]()

    async def main() -> None:
        got = set[str]()

        async def note(event: Event) -> None:
            got.add(event.session_id)

        async with connect("memory://", partitions=2) as service:
            count = 10_000
            await asyncio.gather(*(service.publish(NAME, {}, session_id=f"s{n}") for n in range(count)))
            start = ReactionsRole.start

            async def starting(role: ReactionsRole) -> None:
                consumers.extend(role._consumers)
                await start(role)

            monkeypatch.setattr(ReactionsRole, "start", starting)
            async with reacting(service, note, start="beginning"):
                await until(lambda: len(got) == count, "all are handled")
                await until_settled(service, "g")
                (consumer,) = consumers
                assert consumer.handling.handled == count
                assert [len(lane.sessions) + lane.undone for lane in consumer._lanes.values()] == [0, 0]

    run(main())


def test_reading_stops_while_too_much_is_undone_or_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on when there is room again; nothing is lost meanwhile."""
    hastened(
        monkeypatch,
        HOLD_SOON
        | {
            "workers.lane.REACT_UNDONE_MAX": 20,
            "workers.lane.HELD_MAX": 30,
            "workers.reading.REACT_EVENTS_MAX": 10,
        },
    )

    async def main() -> None:
        go_on = asyncio.Event()
        journal, names = Journal(lambda _: go_on.wait()), [f"s{number}" for number in range(20)]
        async with connect("memory://", partitions=1) as service:
            for name in names:
                await publish(service, name, *range(1, 11))
            async with reacting(service, journal, start="beginning"):

                async def is_full() -> bool:
                    return len(await held(service, "g")) >= 30

                await until_async(is_full, "as much is held as may be")
                assert len(await held(service, "g")) <= 30 + 20 + 10
                go_on.set()
                await until_settled(service, "g")
            assert {name: journal.numbers(name) for name in names} == {name: list(range(1, 11)) for name in names}
            assert len(journal.done) == 200

    run(main())
