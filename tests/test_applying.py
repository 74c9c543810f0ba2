"""Applying changes: the script does to the keys what a plain model of Redis does, whatever the batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interrupts.codec import Line
from interrupts.keys import Keys
from interrupts.store.log import Log
from interrupts.store.memory import memory_route
from interrupts.store.server import Server
from interrupts.views import PENDING, Checkpoint
from projections.changes import Changes
from projections.folding import EVENT, HOLE, Entry, Folded, fold, stretch
from projections.pending import Pending
from projections.store import Views
from projections.units import Unit
from tests.events import created, entry
from tests.keyspace import Keyspace

Saying = tuple[Any, ...]
"""A method of `Changes`, and its arguments."""
KEYS = Keys("applying", 1)
NAMES = st.sampled_from(["a", "b", "c d", "ü", ""])
SETS = st.lists(st.sampled_from(["set:1", "set:2", "set:3"]), min_size=1, max_size=3, unique=True)
SAYINGS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), SETS, NAMES, st.integers(0, 9)),
        st.tuples(st.just("remove"), SETS, NAMES),
        st.tuples(st.just("keep_newest"), st.sampled_from(["set:1", "set:2"]), st.integers(0, 3)),
        st.tuples(st.just("write"), st.just("hash"), NAMES, NAMES),
        st.tuples(st.just("erase"), st.just("hash"), NAMES),
        st.tuples(st.just("count"), st.sampled_from(["numbers:1", "numbers:2"]), NAMES, st.integers(-5, 5)),
    ),
    max_size=6,
)


def said(sayings: list[Saying]) -> Changes:
    """The changes in which all this was said, as a fold leaves them."""
    return say(sayings, Changes()).seal()


def say(sayings: list[Saying], changes: Changes) -> Changes:
    """Says all this."""
    for method, *arguments in sayings:
        getattr(changes, method)(*arguments)
    return changes


class Sayer:
    """A projection that says of each event what is in the list at its number."""

    view = PENDING

    def __init__(self, *says: list[Saying]) -> None:
        self._says = says

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """Event by event."""
        for line in lines:
            say(self._says[(line.sequence or 0) - 1], changes)


@asynccontextmanager
async def store(entries: Sequence[Entry]) -> AsyncIterator[Views]:
    """A view whose first generation is live and has folded nothing of these entries."""
    server = Server(memory_route())
    card = ("live", "1", "last", "1", "1:version", "1", "1:at", Checkpoint().encode())
    await server.command(0, "HSET", KEYS.card(0, PENDING.name), *card)
    for stream_id, fields in entries:
        await server.command(0, "XADD", KEYS.logs[0], stream_id, *fields)
    yield Views(Log(KEYS, server))
    await server.close()


async def held(views: Views) -> dict[str, dict[str, str]]:
    """What the keys of the view hold."""
    begin, server = KEYS.generation(0, PENDING.name, 1), views.server
    found: dict[str, dict[str, str]] = {}
    for name in await server.command(0, "KEYS", f"{begin}*"):
        sorted_set = await server.command(0, "TYPE", name) == b"zset"
        read = ("ZRANGE", name, 0, -1, "WITHSCORES") if sorted_set else ("HGETALL", name)
        flat = [part.decode() for part in await server.command(0, *read)]
        found[name.decode().removeprefix(begin)] = dict(zip(flat[::2], flat[1::2], strict=True))
    return found


async def kept(batches: list[Changes]) -> dict[str, dict[str, str]]:
    """What the keys of a view hold after these batches."""
    async with store([entry(number, b"[]") for number in range(1, len(batches) + 1)]) as views:
        at = Checkpoint()
        for number, changes in enumerate(batches, 1):
            folded = Folded(Checkpoint(f"{number}-0", number, b"[]"), changes)
            assert await views.apply([(Unit(0, Pending(), 1, at, True), folded, "worker")]) == [1]
            at = folded.to
        return await held(views)


def expected(batches: list[Changes]) -> dict[str, dict[str, str]]:
    """What they should hold."""
    model = Keyspace()
    for changes in batches:
        model.apply(changes)
    return {key: {name: str(value) for name, value in there.items()} for key, there in model.keys.items()}


@settings(max_examples=30, deadline=None)
@given(st.lists(SAYINGS, max_size=3))
def test_keys_hold_what_was_said(batches: list[list[Saying]]) -> None:
    """Sorted sets, hashes and numbers, in the order in which it was said; keys with nothing in them are gone."""
    changes = [said(batch) for batch in batches]
    assert expected(changes) == asyncio.run(kept(changes))


@settings(max_examples=30, deadline=None)
@example([("count", "numbers:1", "a", 1), ("count", "numbers:1", "a", -1)])
@example([("count", "numbers:1", "a", 0)])
@given(SAYINGS)
def test_numbers_are_the_same_whatever_the_batches(sayings: list[Saying]) -> None:
    """Counted in one go or one by one: the same fields, with the same numbers. Also where a number comes back to 0."""
    assert asyncio.run(kept([said(sayings)])) == asyncio.run(kept([said([saying]) for saying in sayings]))


COUNT = ("count", "hash", "a", 2)
MIXES = pytest.mark.parametrize(
    "events",
    [
        [[COUNT], [("erase", "hash", "a")]],
        [[COUNT], [("write", "hash", "a", "7")]],
        [[("write", "hash", "a", "7")], [COUNT]],
        [[("erase", "hash", "a")], [COUNT]],
        [[COUNT], [("write", "hash", "another", "7")]],
        [[COUNT], [("put", ["set:1", "hash"], "a", 7)]],
        [[COUNT, ("count", "hash", "a", -2)], [("erase", "hash", "a")]],
        [[("write", "notes", "a", "7")], [COUNT], [("put", ["set:1"], "a", 7)], [("erase", "hash", "a")]],
        [[("count", "numbers:1", "a", 2)], [("write", "notes", "a", "7")], [COUNT, ("erase", "hash", "a")]],
    ],
    ids=[
        "erased",
        "written",
        "counted on",
        "begun again",
        "another field",
        "a sorted set",
        "back at 0",
        "later",
        "in one event",
    ],
)


def one_more(before: Changes, event: list[Saying]) -> None:
    """Refuses an event of which something is said that does not go with what was said before."""
    last = say(event, Changes())
    last.check()
    before.check_apart(last)


@MIXES
def test_a_key_that_is_counted_in_and_used_for_something_else_is_refused(events: list[list[Saying]]) -> None:
    """In one batch, and event by event: the last of these events does not go with those before."""
    with pytest.raises(ValueError, match="'hash' is counted in"):
        say([saying for event in events for saying in event], Changes()).check()
    before = say([saying for event in events[:-1] for saying in event], Changes())
    before.check()
    with pytest.raises(ValueError, match="'hash' is counted in"):
        one_more(before, events[-1])


@pytest.mark.parametrize("skipped", [{}, {"9-0": HOLE}, {"9-0": EVENT}, {"1-0": HOLE}], ids=str)
@MIXES
def test_a_view_stops_before_the_event_that_uses_a_counted_key_for_something_else(
    events: list[list[Saying]], skipped: dict[str, str]
) -> None:
    """What comes before is in the view, once; the card says which event it was, and why; what comes after waits."""
    number, projection = len(events), Sayer(*events, [("write", "hash", "after", "1")])
    entries = [entry(at, created(f"{at}")) for at in range(1, number + 2)]

    async def main() -> None:
        async with store(entries) as views:
            unit = Unit(0, projection, 1, Checkpoint(), True, skipped)
            folded = fold(projection, unit.at, skipped, stretch(0, entries))
            assert await views.apply([(unit, folded, "")]) == [1]
            (standing,) = await views.standings([PENDING.name], [0])
            live = standing.card.live
            assert live is not None
            assert (live.at.sequence, live.next_id) == (number - 1, f"{number}-0")
            assert live.stopped is not None
            assert (live.stopped.problem, live.stopped.position) == (EVENT, f"0:{number}-0")
            assert (live.stopped.sequence, live.stopped) == (number, folded.stopped)
            assert live.stopped.error.startswith("ValueError: the key 'hash' is counted in")
            assert await held(views) == expected([said([saying for event in events[:-1] for saying in event])])

    asyncio.run(main())


def test_an_event_that_uses_a_counted_key_for_something_else_can_be_left_out() -> None:
    """As any other that can't be folded; what follows is folded, and may count on."""
    entries = [entry(at, created(f"{at}")) for at in (1, 2, 3)]
    projection = Sayer([COUNT], [("write", "hash", "a", "7")], [COUNT])
    folded = fold(projection, Checkpoint(), {"2-0": EVENT}, stretch(0, entries))
    assert (folded.to.sequence, folded.stopped) == (3, None)
    assert expected([folded.changes]) == {"hash": {"a": "4"}}
