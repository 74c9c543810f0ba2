"""Folding stretches of the log: the same whatever the batches. (What stops a view: `test_what_can_not_be_folded`.)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interrupts.events import AnyEvent, Created
from interrupts.views import COUNTED
from projections import PROJECTIONS, Projection
from projections.counts import Counts
from projections.folding import EVENT, HOLE, Entry, stretch
from tests.events import ENDS, created, ended, entry
from tests.keyspace import PARTITION, REFUSED, Choosy, folded_in, view

BY_NAME = pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.view.name)
FIRST, SECOND, THIRD = created("first"), created("second"), created("third")


def singly(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """Batches of one."""
    return ((at, at + 1) for at in range(len(entries)))


@st.composite
def histories(draw: st.DrawFn) -> list[AnyEvent]:
    """Events of a partition: some interrupts of a few sessions are made, and ended in one way or another."""
    events: list[AnyEvent] = []
    pending: dict[int, Created] = {}
    for number, how in draw(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(sorted(ENDS))), max_size=24)):
        if number in pending:
            events.append(ended(pending[number], how))
        else:
            kind = ("clarification", "checkpoint")[number % 2]
            pending[number] = created(
                f"i{number}", kind=kind, session=f"s{number % 3}", request=f"r{number % 4}", user=f"u{number % 2}"
            )
            events.append(pending[number])
    return events


@st.composite
def batches(draw: st.DrawFn, count: int) -> list[tuple[int, int]]:
    """Any split into batches, each of which may begin with some that were folded before."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, count - 1)), max_size=5)) | {0, count})
    return [(max(0, start - draw(st.integers(0, 3))), end) for start, end in pairwise(cuts)]


@BY_NAME
@settings(deadline=None)
@given(st.data())
def test_the_split_into_batches_does_not_matter(projection: Projection, data: st.DataObject) -> None:
    """One by one, all at once, or anyhow, with events read again: the keys and the checkpoint are the same."""
    entries = [entry(number, event) for number, event in enumerate(data.draw(histories()), 1)]
    if not entries:
        return
    with mock.patch("projections.closed.CLOSED_PER_SESSION_MAX", 2):
        one_by_one = folded_in(view(projection), entries, singly(entries))
        at_once = folded_in(view(projection), entries, [(0, len(entries))])
        anyhow = folded_in(view(projection), entries, data.draw(batches(len(entries))))
    assert one_by_one.state == at_once.state == anyhow.state
    assert (len(entries), None) == (anyhow.at.sequence, anyhow.stopped)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[list[Entry], dict[str, str]]:
    """A log in which something may be wrong with each entry, and what an operator has said about some."""
    entries: list[Entry] = []
    skipped: dict[str, str] = {}
    number = 0
    for at, event in enumerate(draw(histories()), 1):
        number += draw(st.sampled_from([1] * 9 + [3]))
        wrong = draw(st.sampled_from([None] * 9 + ["unreadable", "refused", "no event"]))
        if wrong == "unreadable":
            entries.append(entry(number, b'["interrupt.younger"]', f"{at}-0"))
        elif wrong == "refused":
            entries.append(entry(number, created(REFUSED), f"{at}-0"))
        elif wrong == "no event":
            entries.append((f"{at}-0".encode(), [b"a", b"b"]))
        else:
            entries.append(entry(number, event, f"{at}-0"))
        said = draw(st.sampled_from([None, None, EVENT, HOLE]))
        if said is not None:
            skipped[f"{at}-0"] = said
    return entries, skipped


@BY_NAME
@settings(deadline=None)
@given(st.data())
def test_the_split_does_not_matter_in_a_damaged_log_either(projection: Projection, data: st.DataObject) -> None:
    """A view stops before the same event, for the same reason and with the same keys, whatever the batches."""
    entries, skipped = data.draw(damaged())
    if not entries:
        return
    choosy = Choosy(projection)
    one_by_one = folded_in(view(choosy, skipped), entries, singly(entries))
    anyhow = folded_in(view(choosy, skipped), entries, data.draw(batches(len(entries))))
    assert one_by_one.state == anyhow.state


@BY_NAME
def test_events_that_were_folded_before_change_nothing(projection: Projection) -> None:
    """A stretch that ends at or before the checkpoint leaves everything as it is."""
    entries = [entry(1, FIRST), entry(2, SECOND), entry(3, ended(FIRST, "resolved"))]
    there = view(projection)
    there.fold(entries)
    for end in (1, 2, 3):
        again = there.fold(entries[:end])
        assert (0, there.at, None) == (again.changes.length, again.to, again.stopped)


@pytest.mark.parametrize("skipped", [{}, {"9-0": HOLE}, {"4-0": HOLE}], ids=["none", "another", "this one"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_what_is_counted_is_among_the_changes(size: int, skipped: dict[str, str]) -> None:
    """In one go or event by event, for whatever reason: whoever folds gets commands for the numbers, too."""
    entries = [entry(1, FIRST), entry(2, SECOND), entry(3, ended(FIRST, "resolved")), entry(4, THIRD)]
    there = folded_in(view(Counts(), skipped), entries, [(start, start + size) for start in range(0, 4, size)])
    assert there.keys.keys == {COUNTED: {"clarification:pending": 2, "clarification:resolved": 1}}


def test_what_was_counted_before_a_stop_is_among_the_changes() -> None:
    """The numbers are those of the events before it."""
    there = view(Choosy(Counts()))
    there.fold([entry(1, FIRST), entry(2, SECOND), entry(3, created(REFUSED)), entry(4, THIRD)])
    assert there.stopped is not None
    assert there.keys.keys == {COUNTED: {"clarification:pending": 2}}


def test_a_stretch_knows_where_it_begins_and_whether_it_is_whole() -> None:
    """By its numbers: none is missing, and each event can be read."""
    good = [entry(4, FIRST), entry(5, SECOND)]
    assert (stretch(PARTITION, good).first, stretch(PARTITION, good).whole) == (4, True)
    assert not stretch(PARTITION, [*good, entry(7, THIRD)]).whole
    assert not stretch(PARTITION, [*good, entry(6, b"garbage")]).whole
