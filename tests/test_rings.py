"""Reading what the scripts store of calls: tallies, and what is used of each limit."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts import RateLimitConfig
from interrupts.rings import CALL, CELLS, DAY_MS, SIZES_MS, Tally, oldest_cell, uses, without_prefix
from interrupts.scripts import script
from tests.rate_model import START_MS, WINDOWS_MS, Call, made, written

CONFIG = RateLimitConfig(60, 1_000, 10_000, 10)
CALLS = st.lists(
    st.builds(Call, st.integers(START_MS - 59_000, START_MS), st.integers(1, 10**9)), min_size=1, max_size=20
)


def tally(*calls: Call, debt: int = 0) -> bytes:
    """What is stored of these calls."""
    return written(calls, debt)


def test_python_and_the_scripts_measure_alike() -> None:
    """Cells, windows and the burst's unit are the same in both; a window is its cells."""
    text = script("take").text
    sizes, cells = (f"{{{', '.join(map(str, numbers))}}}" for numbers in (SIZES_MS, CELLS))
    assert f"local SIZES, CELLS, SPAN = {sizes}, {cells}, 998\n" in text
    assert re.search(rf"^local CALL\b[^=\n]*= {CALL}\b", text, re.MULTILINE)
    assert tuple(size * cells for size, cells in zip(SIZES_MS, CELLS, strict=True)) == WINDOWS_MS
    assert WINDOWS_MS[2] + SIZES_MS[2] == DAY_MS


@given(CALLS, st.integers(0, 10**13))
def test_what_is_written_is_read(calls: list[Call], debt: int) -> None:
    """Every cell with its number, whatever its place among a hundred; the latest call; the debt."""
    found = Tally.parse(written(calls, debt))
    assert (found.last_ms, found.debt) == (max(call.ms for call in calls), debt)
    for size, ring in zip(SIZES_MS, found.rings, strict=True):
        assert sum(ring.values()) == made(calls, 0)
        for cell, there in ring.items():
            assert there == sum(call.cost for call in calls if call.ms // size == cell)


@pytest.mark.parametrize("text", [None, b"0 0 0 0 0 0 0 0;;;"])
def test_nothing_is_a_tally_without_calls(text: bytes | None) -> None:
    """Not there, or all zeros."""
    assert Tally.parse(text) == Tally(0, 0, ({}, {}, {}))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"garbage",
        b"1 2 3",
        b"0 0 0 0 0 0 0 0;;",
        b"0 0 0 0 0 0 0 0;;;;",
        b"0 0 0 0 0 0 0 0;;;\n",
        b"-1 0 0 0 0 0 0 0;;;",
        b"1e+14 0 0 0 0 0 0 0;;;",
        b"0 0 1 0 0 0 0 0;;;",
        b"0 0 0 1 0 0 0 0;;;",
        b"4102444800000 0 1 1 2 1 1 1;;;",
        b"4102444800000 0 2 1 1 1 1 1;981,991,;;",
        b"4102444800000 0 2 1 1 1 1 1;9,;;",
        b"4102444800000 0 2 1 1 1 1 1;98,;;",
        b"!1 1 1 1 1 1 1 1 1\n0 0 0 0 0 0 0 0;;;",
        "\u0660 0 0 0 0 0 0 0;;;".encode(),
        b"\xff",
    ],
)
def test_what_is_no_tally_is_refused(text: bytes) -> None:
    """Cut off, something else, or numbers that do not add up."""
    with pytest.raises(ValueError):  # noqa: PT011 - also that of a text that is no UTF-8
        Tally.parse(text)


def test_what_stands_in_front_of_a_tally_is_left_out() -> None:
    """A refusal in front of calls, a time in front of what is forgiven; nothing else."""
    text = tally(Call(START_MS, 1))
    assert without_prefix("=e", b"!1 1 1 1 1 1 1 1 1\n" + text) == text
    assert without_prefix("-e", b"4102444800000 " + text) == text
    for field in ("=e", "+e", "?e"):
        assert without_prefix(field, text) == text
    assert without_prefix("=e", b"") == without_prefix("-e", b"") == b""


@pytest.mark.parametrize("which", range(3))
def test_a_call_is_used_until_its_cell_has_left_the_window(which: int) -> None:
    """To the millisecond; and that is when nothing is used any more."""
    made_ms = START_MS + 123
    free_ms = (made_ms // SIZES_MS[which] + CELLS[which] + 1) * SIZES_MS[which]
    fields = {"=e": tally(Call(made_ms, 2))}
    for ms, used in ((made_ms, 2), (free_ms - 1, 2), (free_ms, 0)):
        (use,) = uses(fields, ms, "e", lambda _: CONFIG)
        window = (use.minute, use.hour, use.day)[which]
        assert (window.used, window.remaining) == (used, window.limit - used)
        assert window.reset_after_seconds == (free_ms - ms) / 1000
        assert bool(Tally.parse(fields["=e"]).at(which, ms)) == bool(used)
        assert (made_ms // SIZES_MS[which] >= oldest_cell(which, ms)) == bool(used)


def test_the_debt_of_the_burst_is_paid_off_as_time_passes() -> None:
    """At the rate of the limits that hold now; a part of a call counts as one."""
    fields = {"=e": tally(Call(START_MS, 3), debt=3 * CALL)}
    for ms, used, left_s in ((0, 3, 3.0), (1, 3, 2.999), (1_000, 2, 2.0), (2_999, 1, 0.001), (3_000, 0, 0.0)):
        (use,) = uses(fields, START_MS + ms, "e", lambda _: CONFIG)
        assert (use.burst.used, use.burst.remaining, use.burst.reset_after_seconds) == (used, 10 - used, left_s)
    (behind,) = uses(fields, START_MS - 5_000, "e", lambda _: CONFIG)
    assert behind.burst.used == 3


def test_the_debt_is_gone_when_it_is_said_to_be_also_while_the_clock_is_behind() -> None:
    """It is paid off from the latest call on."""
    fields = {"=e": tally(Call(START_MS, 1), debt=CALL)}
    ms = START_MS - 5_000
    (use,) = uses(fields, ms, "e", lambda _: CONFIG)
    (then,) = uses(fields, ms + round(use.burst.reset_after_seconds * 1000), "e", lambda _: CONFIG)
    assert then.burst.used == 0


def test_all_that_is_used_adds_up_and_what_is_forgiven_does_not() -> None:
    """Calls, creations and reservations, cell by cell, without what an operator has forgiven."""
    early, late = Call(START_MS - 30_000, 5), Call(START_MS, 2)
    fields = {
        "=e": tally(early, late),
        "+e": tally(early),
        "?e": tally(Call(START_MS + 30_000, 1)),
        "-e": b"4102444800000 " + tally(early),
        "=other": tally(late),
    }
    (use,) = uses(fields, START_MS, "e", lambda _: CONFIG)
    assert (use.group, use.reserved) == ("e", 1)
    assert [window.used for window in (use.minute, use.hour, use.day)] == [8, 8, 8]
    assert use.minute.reset_after_seconds == 30 + 61


def test_more_than_the_limit_leaves_nothing_and_not_less() -> None:
    """After limits were lowered."""
    fields = {"=e": tally(Call(START_MS, 7), debt=7 * CALL)}
    (use,) = uses(fields, START_MS, "e", lambda _: RateLimitConfig(2, 3, 4, 1))
    assert [(one.used, one.limit, one.remaining) for one in (use.minute, use.hour, use.day, use.burst)] == [
        (7, 2, 0),
        (7, 3, 0),
        (7, 4, 0),
        (7, 1, 0),
    ]


def test_groups_come_in_order_with_their_own_limits_and_only_if_anything_is_used() -> None:
    """One that is asked for comes in any case."""
    fields = {"=b": tally(Call(START_MS, 1)), "=a": tally(Call(START_MS, 1)), "=old": tally(Call(1, 1))}
    limits = {"a": RateLimitConfig(1), "b": RateLimitConfig(2), "old": CONFIG, "none": RateLimitConfig(3)}
    found = uses(fields, START_MS, None, limits.__getitem__)
    assert [(use.group, use.minute.limit) for use in found] == [("a", 1), ("b", 2)]
    (none,) = uses(fields, START_MS, "none", limits.__getitem__)
    assert (none.minute.used, none.minute.limit, none.minute.reset_after_seconds, none.burst.used) == (0, 3, 0.0, 0)


def test_what_can_not_be_read_is_refused() -> None:
    """Also of one group among others."""
    with pytest.raises(ValueError, match="no tally"):
        uses({"=a": tally(Call(START_MS, 1)), "=b": b"garbage"}, START_MS, None, lambda _: CONFIG)
