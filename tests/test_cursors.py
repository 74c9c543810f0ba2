"""Cursors: they come back as they were made, and nothing else is taken for one."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interrupts.cursors import decode_cursor, encode_cursor, fingerprint
from interrupts.errors import ValidationError
from interrupts.limits import CURSOR_CHARS_MAX, PARTITIONS_MAX

ASKED = fingerprint(["pending", [["session:s"]]])
NUMBERS = st.dictionaries(st.integers(0, 15), st.integers(0, 2**53), max_size=16)


def made(*parts: Any) -> str:
    """A cursor of these parts, whatever they are."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


def refusal(cursor: object, asked: int = ASKED, partitions: range = range(16)) -> str:
    """Why this cursor is refused, as a bad argument of that name."""
    with pytest.raises(ValidationError) as caught:
        decode_cursor(cursor, asked, partitions)
    assert caught.value.field == "cursor"
    return str(caught.value)


@given(NUMBERS)
def test_a_cursor_comes_back_as_it_was_made(numbers: dict[int, int]) -> None:
    """By partition the number after which to go on; as text that can be in a url without being quoted."""
    cursor = encode_cursor(ASKED, numbers)
    assert numbers == decode_cursor(cursor, ASKED, range(16))
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert made(1, ASKED, numbers) == cursor


def test_no_cursor_is_the_beginning() -> None:
    """None goes on after nothing, in every partition."""
    assert decode_cursor(None, ASKED, range(16)) == {}


def test_the_longest_cursor_is_taken() -> None:
    """One of the most partitions, with numbers as high as there are, is within the bound."""
    numbers = dict.fromkeys(range(PARTITIONS_MAX), 2**64 - 1)
    assert numbers == decode_cursor(encode_cursor(2**32 - 1, numbers), 2**32 - 1, range(PARTITIONS_MAX))


@pytest.mark.parametrize(
    "other",
    [
        ["closed", [["session:s"]]],
        ["pending", [["session:t"]]],
        ["pending", [["session:s"], ["user:u"]]],
        ["pending", []],
    ],
)
def test_a_cursor_of_another_list_is_refused(other: list[object]) -> None:
    """What was asked for with other filters, or of another view, goes on nowhere here."""
    assert "another list" in refusal(encode_cursor(fingerprint(other), {0: 1}))


def test_a_cursor_of_other_partitions_is_refused() -> None:
    """A list of one session does not go on where one of all sessions was, whatever the fingerprint says."""
    assert "another list" in refusal(encode_cursor(ASKED, {3: 1, 4: 1}), partitions=range(4))


def test_a_text_too_long_for_a_cursor_is_refused() -> None:
    """Longer than any that we make is none, be it well formed."""
    partitions = range(2 * PARTITIONS_MAX)
    cursor = encode_cursor(ASKED, dict.fromkeys(partitions, 2**64 - 1))
    assert len(cursor) > CURSOR_CHARS_MAX
    assert "next_cursor" in refusal(cursor, partitions=partitions)


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "x", "None", "…", "a b", "!!!!", "\ud800", "A" * (CURSOR_CHARS_MAX + 1)),
        *(0, 1.5, True, b"kwHOAAAAAYA", ["a"], {}),
        *(made(2, ASKED, {}), made(0, ASKED, {}), made(1, ASKED), made(1, ASKED, [1]), made(1, "x", {}), made()),
        *(made(1, ASKED, {0: -1}), made(1, ASKED, {0: 1.5}), made(1, ASKED, {"0": 1}), made(1, ASKED, {0: None})),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: object) -> None:
    """Another type, another version, other contents, too long a text: none is one, and the refusal says what to do."""
    assert "next_cursor" in refusal(cursor)


@given(NUMBERS, st.data())
def test_a_cursor_that_was_cut_or_lengthened_is_refused(numbers: dict[int, int], data: st.DataObject) -> None:
    """A part of one is none, and neither is one with something behind it."""
    cursor = encode_cursor(ASKED, numbers)
    refusal(cursor[: data.draw(st.integers(0, len(cursor) - 1))])
    refusal(cursor + made(*data.draw(st.lists(st.integers(0, 99), max_size=3))))


@given(st.one_of(st.text(max_size=50), st.binary(max_size=50).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
@example(made(1, ASKED, {0: 2**64 - 1}))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    """Nothing that a caller sends raises anything else, and what is taken are numbers of the partitions asked for."""
    try:
        numbers = decode_cursor(text, ASKED, range(16))
    except ValidationError:
        refusal(text)
    else:
        assert all(partition in range(16) and number >= 0 for partition, number in numbers.items())
