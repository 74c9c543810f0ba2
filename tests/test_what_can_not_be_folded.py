"""What can't be folded stops a view before it: what an operator can say then, and that nothing is passed over."""

from __future__ import annotations

import pytest

from interrupts.views import Checkpoint, Stopped
from projections.folding import EVENT, FOREIGN, HOLE, Entry
from projections.pending import Pending
from tests.events import created, entry
from tests.keyspace import PARTITION, REFUSED, Choosy, View, view

FIRST, SECOND, THIRD = created("first"), created("second"), created("third")


def pending_in(view: View) -> list[str]:
    """What is in the view, in order."""
    there = view.keys.keys.get("kind:clarification", {})
    return sorted(there, key=lambda name: int(there[name]))


def stop(number: int, problem: str, error: str) -> Stopped:
    """A stop before the entry of this number."""
    return Stopped(f"{PARTITION}:{number}-0", number, error, problem)


def test_an_unreadable_event_stops_the_view_before_it() -> None:
    """What comes before is folded and kept, with a checkpoint there; what comes after is not looked at."""
    there = view(Pending())
    there.fold([entry(1, FIRST), entry(2, b"garbage"), entry(3, THIRD)])
    assert pending_in(there) == ["first"]
    assert Checkpoint.after("1-0", 1, entry(1, FIRST)[1][3]) == there.at
    assert there.stopped is not None
    assert stop(2, EVENT, there.stopped.error) == there.stopped
    assert "can't be read" in there.stopped.error


def test_an_event_that_the_projection_refuses_stops_the_view_before_it() -> None:
    """It is found out which of a batch it was, and the stop carries the fold's own words."""
    there = view(Choosy())
    there.fold([entry(1, FIRST), entry(2, SECOND), entry(3, created(REFUSED)), entry(4, THIRD)])
    assert pending_in(there) == ["first", "second"]
    assert stop(3, EVENT, "LookupError: not this one") == there.stopped
    assert there.at.sequence == 2


@pytest.mark.parametrize("batches", [[[1, 2, 4]], [[1, 2], [4]], [[1], [2, 4]], [[1, 2], [1, 2, 4]]])
def test_a_hole_stops_the_view_before_it(batches: list[list[int]]) -> None:
    """Events that are missing are not passed over in silence, whether within a batch or between two."""
    there = view(Pending())
    for batch in batches:
        there.fold([entry(number, created(f"{number}")) for number in batch])
    assert pending_in(there) == ["1", "2"]
    assert there.stopped is not None
    assert stop(4, HOLE, there.stopped.error) == there.stopped
    assert "number 4 follows number 2" in there.stopped.error


@pytest.mark.parametrize("number", [1, 4, 5])
def test_numbers_that_begin_again_are_a_hole(number: int) -> None:
    """An event behind the checkpoint, with a number that was folded before, is not taken for the one folded."""
    there = view(Pending())
    there.fold([entry(n, created(f"{n}")) for n in range(1, 6)])
    there.fold([entry(number + n, created(f"again {n}"), f"{6 + n}-0") for n in range(3)])
    assert there.stopped is not None
    assert (there.stopped.problem, there.stopped.position) == (HOLE, f"{PARTITION}:6-0")
    assert there.at.sequence == 5
    assert pending_in(there) == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("bad", [entry(2, b"garbage"), entry(2, created(REFUSED))], ids=["unreadable", "refused"])
def test_an_event_that_may_be_left_out_is_left_out(bad: Entry) -> None:
    """Said by an operator: this one event changes nothing, the checkpoint passes it, and the next ones are folded."""
    there = view(Choosy(), {"2-0": EVENT})
    there.fold([entry(1, FIRST), bad, entry(3, THIRD)])
    assert pending_in(there) == ["first", "third"]
    assert (there.at.sequence, there.stopped) == (3, None)


def test_a_good_event_that_may_be_left_out_is_left_out() -> None:
    """It is what was said, whether or not there was need."""
    there = view(Pending(), {"2-0": EVENT})
    there.fold([entry(1, FIRST), entry(2, SECOND), entry(3, THIRD)])
    assert pending_in(there) == ["first", "third"]


def test_a_hole_that_may_be_passed_over_is_passed_over() -> None:
    """The event behind it is folded, and so are those after it; the next hole is one again."""
    there = view(Pending(), {"4-0": HOLE})
    there.fold([entry(1, FIRST), entry(4, SECOND), entry(5, THIRD), entry(7, created("fourth"))])
    assert pending_in(there) == ["first", "second", "third"]
    assert there.stopped is not None
    assert (there.stopped.problem, there.stopped.sequence) == (HOLE, 7)


def test_a_hole_that_may_be_passed_over_does_not_excuse_the_event_behind_it() -> None:
    """Each permission is for the one thing that was asked."""
    there = view(Choosy(), {"4-0": HOLE})
    there.fold([entry(1, FIRST), entry(4, created(REFUSED))])
    assert stop(4, EVENT, "LookupError: not this one") == there.stopped


@pytest.mark.parametrize("skipped", [{}, {"2-0": EVENT}, {"2-0": HOLE}], ids=["unsaid", "event", "hole"])
@pytest.mark.parametrize("fields", [[b"a", b"b"], [b"s", b"x", b"e", b"[]"], [b"s"]], ids=["foreign", "number", "half"])
def test_an_entry_that_is_no_event_stops_the_view_and_can_not_be_left_out(
    fields: list[bytes], skipped: dict[str, str]
) -> None:
    """It has no number, so nobody knows whether something is missing behind it. The stop is of a sort of its own."""
    there = view(Pending(), skipped)
    there.fold([entry(1, FIRST), (b"2-0", fields), entry(3, THIRD)])
    assert pending_in(there) == ["first"]
    assert there.stopped is not None
    assert (there.stopped.position, there.stopped.problem) == (f"{PARTITION}:2-0", FOREIGN)


def test_an_event_that_stopped_the_view_is_folded_once_it_can_be() -> None:
    """The code was mended: the same entries are read again, and what was folded before is not folded twice."""
    entries = [entry(1, FIRST), entry(2, created(REFUSED)), entry(3, THIRD)]
    there = view(Choosy())
    there.fold(entries)
    there.projection = Pending()
    there.fold(entries)
    assert pending_in(there) == ["first", REFUSED, "third"]
    assert (there.at.sequence, there.stopped) == (3, None)
