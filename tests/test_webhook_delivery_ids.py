"""A delivery's id, which is made of where its event stands and of its endpoint; and how its body and tries are kept."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts.event_names import check_emitted_name
from interrupts.positions import Position
from interrupts.signatures import sign
from workers.webhooks.registered import id_of
from workers.webhooks.scopes import Scope
from workers.webhooks.telling import delivery_id, name_in, packed, parse_delivery_id, unpacked
from workers.webhooks.tries import NO_TRY, Tried, encoded, tried

POSITIONS = st.builds(Position, st.integers(0, 255), st.integers(0, 10**15 - 1), st.integers(0, 2**62))
HOOKS = st.builds(id_of, st.just("ns"), st.just(Scope()), st.text())
WORDS = st.text(st.characters(codec="utf-8"))
TRIES = st.builds(
    Tried,
    st.integers(0, 1_000),
    st.none() | st.integers(100, 599),
    st.none() | WORDS,
    st.none() | WORDS,
    st.floats(0, 1e6),
    st.integers(0, 2**50),
    st.integers(0, 2**50),
    WORDS,
    WORDS,
)


@given(POSITIONS, HOOKS)
def test_an_id_tells_where_the_event_is_and_whose_delivery_it_is(position: Position, hook: str) -> None:
    """And can be signed: there is no dot in it."""
    made = delivery_id(str(position), hook)
    assert parse_delivery_id(made) == (position.partition, position.stream_id, hook)
    assert sign(b"", made, 1, ["a secret of mine"])["webhook-id"] == made


def test_the_same_delivery_has_the_same_id_for_ever() -> None:
    """Receivers keep them."""
    assert delivery_id("7:1735689600000-3", "wh_a") == "7-1735689600000-3-wh_a"
    assert parse_delivery_id("7-1735689600000-3-wh_a-b") == (7, "1735689600000-3", "wh_a-b")


@given(st.tuples(POSITIONS, HOOKS), st.tuples(POSITIONS, HOOKS))
def test_other_deliveries_have_other_ids(first: tuple[Position, str], second: tuple[Position, str]) -> None:
    """Another place, or another endpoint."""
    ids = {delivery_id(str(position), hook) for position, hook in (first, second)}
    assert len(ids) == len({first, second})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "---",
        "1-2-3",
        "a-2-3-wh",
        "1-b-3-wh",
        "1-2-c-wh",
        "-1-2-3-wh",
        "1--3-wh",
        "\u0661-2-3-wh",
        "1 -2-3-wh",
        "+1-2-3-wh",
        "1.0-2-3-wh",
        "1:2-3-wh",
        f"1-{'2' * 20}-3-wh",
        f"{'1' * 5000}-2-3-wh",
    ],
)
def test_what_can_be_no_id_is_none(text: str) -> None:
    """Whatever callers give."""
    assert parse_delivery_id(text) is None


@given(WORDS, st.binary())
def test_a_body_is_kept_behind_the_name_of_its_event(name: str, body: bytes) -> None:
    """To the byte, and the name can be read without the rest: it is in the first line."""
    stored = packed(name, body)
    assert unpacked(stored) == (name, body)
    assert name_in(stored.partition(b"\n")[0]) == name
    assert json.loads(stored.partition(b"\n")[0]) == name


@pytest.mark.parametrize("stored", [b"", b"\n", b"no json", b"\xff", b"{", b'"a'])
def test_a_name_that_can_not_be_read_is_none(stored: bytes) -> None:
    """The body is what it is."""
    assert name_in(stored) == ""
    assert unpacked(stored + b"\nbody") == ("", b"\nbody" if stored == b"\n" else b"body")


@given(TRIES)
def test_what_tries_have_come_to_is_read_again(one: Tried) -> None:
    """As it was written down."""
    assert tried(encoded(one)) == one


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]", b"null", b"no json", b"\xff", b'{"attempt":"x"}'])
def test_tries_that_can_not_be_read_are_none(stored: bytes) -> None:
    """The delivery is sent from its first try."""
    assert tried(stored) == NO_TRY


@pytest.mark.parametrize("name", ["a.b", "session.chat.completed", "a.b.c.d.e.f"])
def test_the_name_of_what_was_left_out_stands_where_it_can_be_read(name: str) -> None:
    """The script puts the kept name behind the beginning of the tries."""
    begin = encoded(Tried(error="no room"))[:-1] + b',"name":'
    left_out = begin + packed(check_emitted_name(name), b"{}").partition(b"\n")[0] + b"}"
    assert tried(left_out) == Tried(error="no room", name=name)
