"""Projections that do what they should not, and keys that are not ours: one view stands still, all others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from interrupts import UnavailableError, connect
from interrupts.codec import Line
from projections.changes import Changes
from projections.store import Views
from tests.folding import counting
from tests.following import by_hand, create, dump, expected, fold_all
from tests.notes import ALL, Notes, Refusing
from tests.view_standing import standing

COUNT = 30
Say = Callable[[Sequence[Line], Changes], Any]


class Faulty(Notes):
    """It does one thing wrong."""

    def __init__(self, fault: Say) -> None:
        super().__init__(name="faulty")
        self._fault = fault

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """First what it should do, then what it should not."""
        super().fold(lines, changes)
        self._fault(lines, changes)


def refuse(error: Exception) -> Any:
    """An expression that raises."""
    raise error


def counts_a_text(_: Sequence[Line], changes: Changes) -> None:
    """One change after the other is right; the two are not."""
    changes.write("h", "f", "text")
    changes.count("h", "f")


def takes_one_key_for_two_things(_: Sequence[Line], changes: Changes) -> None:
    """A hash and a sorted set."""
    changes.write("k", "f", "v")
    changes.put(["k"], "m", 1)


def counts_too_far(lines: Sequence[Line], changes: Changes) -> None:
    """More than a number in Redis can hold."""
    for _ in range(3):
        changes.count("h", "f", 2**62)


FAULTS: dict[str, Say] = {
    "takes single events only": lambda lines, _: len(lines) == 1 or refuse(ValueError("too many")),
    "says what can't be encoded": lambda *_: refuse(ValueError("\ud800")),
    "writes nothing": lambda _, changes: changes.write("h", "f", None),  # type: ignore[arg-type]
    "writes a list": lambda _, changes: changes.write("h", "f", [1]),  # type: ignore[arg-type]
    "puts a score that is none": lambda _, changes: changes.put(["z"], "m", "high"),  # type: ignore[arg-type]
    "counts by a fraction": lambda _, changes: changes.count("h", "f", 1.5),  # type: ignore[arg-type]
    "writes an odd text": lambda _, changes: changes.write("h", "f", "\ud800"),
    "counts a text": counts_a_text,
    "counts too far": counts_too_far,
    "takes one key for two things": takes_one_key_for_two_things,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_faulty_projection_holds_up_itself_alone(url: str, namespace: str, fault: Say) -> None:
    """What it does wrong is said with its name, or got around; all others are up to date; nothing is counted twice."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await asyncio.gather(*(create(service, number) for number in range(COUNT)))
            hand = by_hand(stack, service, [*ALL, Faulty(fault)])
            for _ in range(3):
                await hand.all(steps_max=100)
                hand.look_again()
            assert await dump(service) == await expected(service)
            told = {line[2]["projection"] for line in hand.said.lines if line[0] == "error"}
            assert told == {"faulty"} or (not told and (await standing(service, "faulty")).card.live)
            mended = Faulty(lambda *_: None)
            stack.push_async_callback((again := by_hand(stack, service, [*ALL, mended])).follower.end)
            await again.all()
            held = await dump(service, [*ALL, mended])
            assert held["faulty", 0]["users"] == held["notes", 0]["users"]
            assert held["faulty", 0]["waits"] == held["notes", 0]["waits"]

    try:
        asyncio.run(main())
    except (TypeError, ValueError, UnavailableError) as error:
        pytest.fail(f"it holds up everybody: {error!a}", pytrace=False)  # odd texts can't be shown


@pytest.mark.parametrize(
    ("view", "key", "make"),
    [
        ("counts", "counted", ("SET", "x")),
        ("counts", "counted", ("HSET", "timeout:pending", "many")),
        ("notes", "users", ("SET", "x")),
        ("notes", "users", ("HSET", "u1", "many")),
        ("notes", "waits", ("SET", "x")),
        ("pending", "user:u1", ("SET", "x")),
        ("closed", "session:s3", ("HSET", "a", "b")),
    ],
)
def test_a_key_that_is_not_ours_stops_its_view_alone(
    url: str, namespace: str, view: str, key: str, make: tuple[str, ...]
) -> None:
    """The rest of the changes is not counted twice, when the key is gone and the view goes on."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            keys, server = service.store.keys, service.store.server
            await fold_all(service)
            live = (await standing(service, view)).card.live
            assert live is not None
            name = keys.generation(0, view, live.number) + key
            await server.command(keys.slots[0], make[0], name, *make[1:])
            made = await asyncio.gather(*(create(service, number) for number in range(COUNT)))
            for interrupt in made[: COUNT // 2]:
                await service.cancel(interrupt.id)
            hand = by_hand(stack, service)
            for _ in range(3):
                await hand.all()
                hand.look_again()
                await create(service, 7)
            others = [projection for projection in ALL if projection.view.name != view]
            await hand.all()
            assert await dump(service, others) == await expected(service, others)
            assert {line["projection"] for line in hand.said.of("projections.can_not_apply")} == {view}
            await server.command(keys.slots[0], "DEL", name)
            hand.look_again()
            await hand.all()
            assert await dump(service) == await expected(service)

    asyncio.run(main())


@pytest.mark.parametrize("looks", [1, 5])
def test_a_view_that_stands_far_behind_is_left_alone(
    url: str, namespace: str, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Further behind than what may catch up with the others: each look at it is a few calls, and it comes to rest."""
    monkeypatch.setattr("projections.follower.CATCH_UP_EVENTS", 10)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, [*ALL, Refusing(5)])
            for number in range(COUNT):
                await create(service, number)
            await hand.all()
            for number in range(COUNT):
                await create(service, number)
            await hand.all()
            asked = counting(monkeypatch, Views, "standings")
            for _ in range(looks):
                hand.look_again()
                await hand.all(steps_max=20)
            assert len(asked) <= 6 * looks
            assert await dump(service) == await expected(service)

    asyncio.run(main())
