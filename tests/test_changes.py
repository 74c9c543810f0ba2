"""Changes: what a fold says is what is sent, command by command; what it counts is sent last, as sums."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.changes import Changes, Command

NAMES = st.text(max_size=5)
NUMBERED = NAMES.map("numbers {}".format)
"""Keys that are counted in: none of the others is one of these."""
KEYS = st.lists(NAMES, min_size=1, max_size=4)
NUMBERS = st.integers(-(2**53), 2**53)
SAYINGS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, NAMES, NUMBERS),
        st.tuples(st.just("remove"), KEYS, NAMES),
        st.tuples(st.just("keep_newest"), NAMES, st.integers(0, 1_000)),
        st.tuples(st.just("write"), NAMES, NAMES, NAMES),
        st.tuples(st.just("erase"), NAMES, NAMES),
        st.tuples(st.just("count"), NUMBERED, NAMES, st.integers(-(2**50), 2**50)),
    ),
    max_size=8,
)
FEW = st.sampled_from(["a", "b", "c"])
MIXED = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.lists(FEW, min_size=1, max_size=2), FEW, NUMBERS),
        st.tuples(st.just("remove"), st.lists(FEW, min_size=1, max_size=2), FEW),
        st.tuples(st.just("keep_newest"), FEW, st.just(1)),
        st.tuples(st.just("write"), FEW, FEW, FEW),
        st.tuples(st.just("erase"), FEW, FEW),
        st.tuples(st.just("count"), FEW, FEW, st.integers(-1, 1)),
    ),
    max_size=3,
)
OTHERS: list[tuple[Any, ...]] = [
    ("put", ["other", "key"], "member", 1),
    ("remove", ["key"], "member"),
    ("keep_newest", "key", 3),
    ("write", "key", "another field", "7"),
    ("erase", "key", "field"),
]
"""What can be said of a key besides counting in it."""


def meant(saying: tuple[Any, ...]) -> Command:
    """The command that a saying stands for. (Of what is counted it is the sum: `sent`.)"""
    match saying:
        case "put", keys, member, score:
            return "ZADD", keys, [score, member]
        case "remove", keys, member:
            return "ZREM", keys, [member]
        case "keep_newest", key, count:
            return "ZREMRANGEBYRANK", [key], [0, -count - 1]
        case "write", key, field, value:
            return "HSET", [key], [field, value]
        case "erase", key, field:
            return "HDEL", [key], [field]
        case _:
            raise AssertionError(saying)


def sent(sayings: list[tuple[Any, ...]]) -> list[Command]:
    """The commands for what was said, in order; then the sums of what was counted, in order of the first; 0, too."""
    sums: dict[tuple[str, str], int] = {}
    for key, field, by in (saying[1:] for saying in sayings if saying[0] == "count"):
        sums[key, field] = sums.get((key, field), 0) + by
    counted: list[Command] = [("HINCRBY", [key], [field, by]) for (key, field), by in sums.items()]
    return [*(meant(saying) for saying in sayings if saying[0] != "count"), *counted]


def listed(commands: Iterable[Command]) -> list[Command]:
    """Commands as they are compared."""
    return [(command, list(keys), list(arguments)) for command, keys, arguments in commands]


def keys_of(sayings: list[tuple[Any, ...]], *, counted: bool) -> set[str]:
    """The keys that are counted in, or those that something else is said of."""
    told = [saying[1] for saying in sayings if (saying[0] == "count") == counted]
    return {key for one in told for key in ([one] if isinstance(one, str) else one)}


def said(sayings: list[tuple[Any, ...]]) -> Changes:
    """The changes in which all this was said."""
    changes = Changes()
    for method, *arguments in sayings:
        getattr(changes, method)(*arguments)
    return changes


@given(SAYINGS)
def test_commands_are_what_was_said(sayings: list[tuple[Any, ...]]) -> None:
    """One command for each, in the same order, with all its keys and arguments; a sum for each number, at the end."""
    assert sent(sayings) == listed(said(sayings).seal().commands())


@given(SAYINGS)
def test_what_is_counted_is_no_command_before_it_is_sealed(sayings: list[tuple[Any, ...]]) -> None:
    """Till then it is a number that grows; all else is said at once."""
    others = [meant(saying) for saying in sayings if saying[0] != "count"]
    assert others == listed(said(sayings).commands())


@given(SAYINGS)
def test_sealing_counts_once(sayings: list[tuple[Any, ...]]) -> None:
    """They are the same changes, and sealed again they are what they were."""
    changes = said(sayings)
    assert changes.seal() is changes
    before = list(changes.commands())
    assert list(changes.seal().commands()) == before


@given(SAYINGS)
def test_what_is_sent_tells_where_each_command_ends(sayings: list[tuple[Any, ...]]) -> None:
    """All keys in one list; in the other for each command its name, how many keys and arguments, and the arguments."""
    changes = said(sayings).seal()
    commands = sent(sayings)
    assert len(commands) == changes.length
    assert [key for _, keys, _ in commands for key in keys] == changes.keys
    flat = [part for command, keys, arguments in commands for part in (command, len(keys), len(arguments), *arguments)]
    assert flat == changes.arguments


def test_a_number_grows_by_one_unless_said() -> None:
    """Counting without a number counts one."""
    changes = Changes()
    changes.count("users", "ada")
    changes.seal()
    assert list(changes.commands()) == [("HINCRBY", ["users"], ["ada", 1])]


def test_nothing_said_changes_nothing() -> None:
    """No command, no key, no argument."""
    changes = Changes().seal()
    assert list(changes.commands()) == []
    assert (changes.length, changes.keys, changes.arguments) == (0, [], [])


@given(SAYINGS, SAYINGS)
def test_changes_can_be_added_to_others(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> None:
    """As if all had been said in one; the others stay as they are."""
    changes, later, both = said(first), said(second), said([*first, *second]).seal()
    changes.add(later)
    changes.seal()
    assert list(later.seal().commands()) == list(said(second).seal().commands())
    assert list(both.commands()) == list(changes.commands())
    assert (both.length, both.keys, both.arguments) == (changes.length, changes.keys, changes.arguments)


@given(SAYINGS)
def test_what_is_made_of_texts_and_numbers_can_be_sent(sayings: list[tuple[Any, ...]]) -> None:
    """Nothing else is refused."""
    said(sayings).check()


@pytest.mark.parametrize(
    "saying",
    [
        ("write", "hash", "field", None),
        ("write", "hash", "field", b"bytes"),
        ("write", "hash", "field", ["list"]),
        ("write", "hash", "field", "\ud800"),
        ("write", "hash", 1.5j, "value"),
        ("write", None, "field", "value"),
        ("erase", "\ud800", "field"),
        ("put", ["set", None], "member", 1),
        ("put", ["set"], "member", True),
        ("count", None, "field", 1),
        ("count", "numbers", b"bytes", 1),
        ("count", "numbers", 7.5j, 0),
        ("count", "\ud800", "field", 1),
        ("count", "numbers", "\ud800", 1),
    ],
)
def test_what_can_not_be_sent_is_refused(saying: tuple[Any, ...]) -> None:
    """It is found before anything is sent, so that it stops this view only."""
    with pytest.raises((TypeError, UnicodeEncodeError)):
        said([saying]).check()


@pytest.mark.parametrize("by", [1, 0, -1])
@pytest.mark.parametrize("other", OTHERS, ids=lambda other: other[0])
def test_a_key_that_is_counted_in_is_used_for_nothing_else(other: tuple[Any, ...], by: int) -> None:
    """In one go or in two, whichever came first, and whatever the field. The key is named."""
    count = ("count", "key", "field", by)
    for sayings in ([count, other], [other, count]):
        with pytest.raises(ValueError, match=r"'key' is counted in, and used for something else"):
            said(sayings).check()
        first, second = (said([saying]) for saying in sayings)
        first.check()
        second.check()
        with pytest.raises(ValueError, match=r"'key' is counted in, and used for something else"):
            first.check_apart(second)


@given(MIXED, MIXED)
def test_what_is_apart_is_not_refused(first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]) -> None:
    """Only such keys are refused: within one by `check`, between two by `check_apart`; and neither changes anything."""
    counted, used = keys_of(first, counted=True), keys_of(first, counted=False)
    changes, later = said(first), said(second)
    with pytest.raises(ValueError, match="counted in") if counted & used else nullcontext():
        changes.check()
    mixed = counted & keys_of(second, counted=False) | used & keys_of(second, counted=True)
    with pytest.raises(ValueError, match="counted in") if mixed else nullcontext():
        changes.check_apart(later)
    assert list(changes.seal().commands()) == list(said(first).seal().commands())
    assert list(later.seal().commands()) == list(said(second).seal().commands())


def test_a_sum_may_be_larger_than_what_is_counted_by() -> None:
    """Whether the number in the store still has room for it is found out there, and stops this view only."""
    changes, later = Changes(), said([("count", "numbers", "field", 2**53), ("count", "numbers", "field", 2**53)])
    changes.add(later)
    changes.check()
    assert list(changes.seal().commands()) == [("HINCRBY", ["numbers"], ["field", 2**54])]


@pytest.mark.parametrize("by", [1.5, "1", None, True, 2**53 + 1, -(2**53) - 1])
def test_what_is_no_number_to_count_by_is_refused(by: Any) -> None:
    """Only whole numbers that are held exactly."""
    with pytest.raises(ValueError, match="whole number"):
        Changes().count("numbers", "field", by)
