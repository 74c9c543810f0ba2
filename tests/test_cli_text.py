"""What strangers have written does nothing to a terminal, and times are told as people tell them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.cli.text import json_text, left, moment, plain, plain_lines, span

UNSAFE = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u202e", "\u2066", "\u200f", "\ud800"]


@pytest.mark.parametrize("unsafe", UNSAFE, ids=ascii)
def test_nothing_that_a_terminal_acts_on_is_left(unsafe: str) -> None:
    """Not in a line, not in lines, and in JSON only as an escape that reads back."""
    assert unsafe not in plain(f"a{unsafe}b")
    assert all(unsafe not in line for line in plain_lines(f"a{unsafe}b"))
    if unsafe != "\ud800":  # can't be stored
        shown = json_text({"a": f"x{unsafe}y"}, indent=2)
        assert unsafe not in shown.replace("\n", "")
        assert json.loads(shown) == {"a": f"x{unsafe}y"}


@given(st.text())
def test_a_line_stays_one_and_its_words_stay_apart(text: str) -> None:
    """Whatever it is; and what was made safe stays as it is."""
    shown = plain(text)
    assert len(shown.splitlines()) <= 1
    assert plain(shown) == shown
    shown.encode()


def test_what_can_be_read_is_kept() -> None:
    """Markup is text like any other, and so are letters of all languages."""
    assert plain("[bold]ü[/bold] 東京 \N{FAMILY}") == "[bold]ü[/bold] 東京 \N{FAMILY}"
    assert plain("a\r\nb\tc") == "a b c"
    assert plain("\x1b[31mred\x1b[0m") == "[31mred[0m"


@given(st.recursive(st.none() | st.text(st.characters(exclude_categories=["Cs"])), st.lists))
def test_json_reads_back_as_it_was(value: object) -> None:
    """With all that it escapes."""
    assert json.loads(json_text({"a": value})) == {"a": value}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 ms"),
        (0.0451, "45 ms"),
        (2.5, "2.5 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3_600, "1 h"),
        (14_700, "4 h 5 min"),
        (90_000, "1 d 1 h"),
        (86_400 * 3_660, "3,660 d"),
        (-1, "0 ms"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, said: str) -> None:
    """From milliseconds to years."""
    assert span(seconds) == said


def test_times_are_in_utc_to_the_millisecond() -> None:
    """Wherever they come from; and a deadline says how long is left, or over."""
    at = datetime(2026, 11, 20, 23, 30, 1, 5_999, tzinfo=timezone(timedelta(hours=2)))
    assert moment(at) == "2026-11-20T21:30:01.005Z"
    now = datetime(2026, 11, 20, tzinfo=UTC)
    assert left(None, now) == "no deadline"
    assert left(now + timedelta(seconds=200), now) == "3 min 20 s left"
    assert left(now - timedelta(seconds=5), now) == "5.0 s over"
