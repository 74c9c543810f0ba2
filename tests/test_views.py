"""What is written down about views: checkpoints, why one stands still, and cards, there and back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts.errors import CorruptLogError
from interrupts.limits import CHECKPOINT_EVENT_BYTES
from interrupts.views import Card, Checkpoint, Generation, Stopped, decode_stopped, place_of

NUMBERS = st.integers(0, 2**53)
STREAM_IDS = st.builds("{}-{}".format, NUMBERS, st.integers(0, 2**63))
EVENTS = st.one_of(st.binary(max_size=CHECKPOINT_EVENT_BYTES), st.just(b' a b\n["interrupt'))
CHECKPOINTS = st.builds(Checkpoint, STREAM_IDS, NUMBERS, EVENTS)
STOPPED = st.builds(Stopped, st.text(max_size=20), NUMBERS, st.text(max_size=50), st.sampled_from(["event", "hole"]))
GENERATIONS = st.builds(
    Generation,
    st.integers(1, 10**6),
    st.integers(1, 99),
    CHECKPOINTS,
    st.none() | STOPPED,
    st.booleans(),
    st.just("") | STREAM_IDS,
)
CARDS: st.SearchStrategy[Card] = st.lists(
    GENERATIONS,
    max_size=4,
    unique_by=lambda generation: generation.number,
).flatmap(
    lambda made: st.builds(
        Card,
        live=st.just(made[0] if made else None) if len(made) % 2 else st.none(),
        building=st.just(tuple(made[1:] if len(made) % 2 else made)),
        skipped=st.dictionaries(STREAM_IDS, st.sampled_from(["event", "hole"]), max_size=3),
        dropping=st.lists(st.integers(1, 10**6), max_size=3, unique=True).map(tuple),
        last=st.integers(0, 2**53),
        rebuilt=st.booleans(),
    ).map(lambda card: card if card.dropping else msgspec.structs.replace(card, rebuilt=False))
)
GARBAGE = [b"", b"garbage", b"1-0 1", b"1-0 one []", b"\xff-0 1 []", b"[] 1-0 1", b"1 1 []", b"a-b 1 []", b" 1 []"]


def fields_of(card: Card) -> dict[bytes, bytes]:
    """A card as its hash has it."""
    fields: dict[str, bytes] = {"last": str(card.last).encode()}
    if card.live is not None:
        fields["live"] = str(card.live.number).encode()
    for generation in card.generations:
        fields[f"{generation.number}:version"] = str(generation.version).encode()
        fields[f"{generation.number}:at"] = generation.at.encode()
        if generation.stopped is not None:
            fields[f"{generation.number}:stopped"] = msgspec.json.encode(generation.stopped)
    fields |= {f"skip:{stream_id}": what.encode() for stream_id, what in card.skipped.items()}
    fields |= dict.fromkeys((f"drop:{number}" for number in card.dropping), b"worker")
    if card.rebuilt:
        fields[f"drop:{card.dropping[-1]}"] = b"rebuild"
    return {name.encode(): value for name, value in fields.items()}


def standing_of(card: Card) -> list[Any]:
    """What the script tells of the generations, in threes."""
    return [
        part
        for generation in card.generations
        for part in (str(generation.number).encode(), int(generation.known), generation.next_id.encode())
    ]


def flat(fields: dict[bytes, bytes]) -> list[bytes]:
    """A hash as the server tells it."""
    return [part for pair in fields.items() for part in pair]


def card_of(changes: dict[bytes, bytes | None]) -> list[bytes]:
    """A live view's card with some fields changed, or (None) missing."""
    live = Generation(1, 1, Checkpoint("7-0", 7, b"[]"), Stopped("3:8-0", 8, "why"))
    fields: dict[bytes, Any] = fields_of(Card(live)) | changes
    return flat({name: value for name, value in fields.items() if value is not None})


@given(CHECKPOINTS)
def test_checkpoints_survive_storage(checkpoint: Checkpoint) -> None:
    """What is encoded is parsed again, whatever bytes the event begins with."""
    assert checkpoint == Checkpoint.parse(checkpoint.encode())


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=5))
def test_places_are_in_the_order_of_the_log(pairs: list[tuple[int, int]]) -> None:
    """Stream ids compare as numbers, milliseconds first, and so do checkpoints; not as texts."""
    ids = [f"{ms}-{number}" for ms, number in pairs]
    assert sorted(pairs) == sorted(place_of(stream_id) for stream_id in ids)
    assert sorted(pairs) == sorted(Checkpoint(stream_id).place for stream_id in ids)


@given(EVENTS | st.binary(min_size=CHECKPOINT_EVENT_BYTES, max_size=2 * CHECKPOINT_EVENT_BYTES))
def test_a_checkpoint_remembers_how_its_event_begins(event: bytes) -> None:
    """Of the event it keeps so many bytes, and all of a short one."""
    checkpoint = Checkpoint.after("7-1", 3, event)
    assert (checkpoint.stream_id, checkpoint.sequence) == ("7-1", 3)
    assert event.startswith(checkpoint.event)
    assert min(len(event), CHECKPOINT_EVENT_BYTES) == len(checkpoint.event)


def test_the_first_checkpoint_is_before_everything() -> None:
    """A view that was just begun stands on no event, and is stored as the script that begins one writes it."""
    assert Checkpoint().encode() == b"0-0 0 "
    assert Checkpoint().place == (0, 0)


@pytest.mark.parametrize("raw", GARBAGE)
def test_a_damaged_checkpoint_is_refused(raw: bytes) -> None:
    """What we did not write is never taken for a place in the log."""
    with pytest.raises(CorruptLogError, match="checkpoint"):
        Checkpoint.parse(raw)


@given(st.none() | STOPPED)
def test_why_a_view_stands_still_survives_storage(stopped: Stopped | None) -> None:
    """What is encoded is decoded again; nothing stored, or an empty text, is nothing."""
    assert stopped == decode_stopped(None if stopped is None else msgspec.json.encode(stopped))
    assert decode_stopped(b"") is None


@given(CARDS, st.randoms())
def test_cards_survive_storage(card: Card, random: Any) -> None:
    """Every field is found again, in whatever order a hash has them: live, building, stopped, skip, drop, by whom, and
    last; and of each generation what the script has found out about it."""
    fields = list(fields_of(card).items())
    random.shuffle(fields)
    found = Card.parse(flat(dict(fields)), standing_of(card))
    assert card.live == found.live
    assert set(card.building) == set(found.building)
    assert card.skipped == found.skipped
    assert set(card.dropping) == set(found.dropping)
    assert len(card.building) == len(found.building)
    assert (card.last, card.rebuilt) == (found.last, found.rebuilt)
    assert set(card.generations) == set(found.generations)
    assert len(card.generations) == len(found.generations)


@given(CARDS)
def test_the_generations_are_the_live_one_and_those_being_built(card: Card) -> None:
    """All of them, each once; what is being thrown away is none."""
    assert [*([card.live] if card.live else []), *card.building] == list(card.generations)


@given(CARDS)
def test_without_what_a_script_tells_a_card_is_taken_as_it_is(card: Card) -> None:
    """Only the script knows the log: without it each generation is known, and has nothing before it."""
    plain = [msgspec.structs.replace(generation, known=True, next_id="") for generation in card.generations]
    assert set(plain) == set(Card.parse(flat(fields_of(card))).generations)


@pytest.mark.parametrize("changes", [{b"1:at": None}, {b"1:at": b""}], ids=["missing", "empty"])
def test_a_checkpoint_that_was_lost_is_before_everything(changes: dict[bytes, bytes | None]) -> None:
    """So that the view can be built again; the script says that it is not known. All else is as it was."""
    (whole,) = Card.parse(card_of({})).generations
    (found,) = Card.parse(card_of(changes), [b"1", 0, b"5-0"]).generations
    assert msgspec.structs.replace(whole, at=Checkpoint(), known=False, next_id="5-0") == found


@pytest.mark.parametrize(
    "told", [[b"1"], [b"1", 1], [b"1", 1, b"", b"2"], [b"one", 1, b""], [b"1", 1, b"\xff"]], ids=repr
)
def test_what_a_script_never_tells_is_refused(told: list[Any]) -> None:
    """Threes, of numbers and a stream id."""
    with pytest.raises(CorruptLogError):
        Card.parse(card_of({}), told)


def test_no_card_is_a_view_that_was_never_begun() -> None:
    """Nothing is live, being built, skipped or thrown away."""
    assert Card() == Card.parse([])


def test_what_a_card_says_besides_is_left_alone() -> None:
    """Fields of a younger version of the library do not make it unreadable."""
    assert Card.parse(card_of({})) == Card.parse(card_of({b"owner": b"somebody", b"1:size": b"\xff", b"note:1": b""}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"1:at", b"garbage"),
        (b"last", b"nine"),
        (b"last", b""),
        (b"1:version", b"one"),
        (b"1:stopped", b"garbage"),
        (b"1:stopped", b"[]"),
        (b"live", b"\xff"),
        (b"x:version", b"1"),
        (b"drop:x", b""),
        (b"skip:\xff", b"event"),
        (b"skip:1-0", b"\xff"),
    ],
)
def test_a_damaged_card_is_refused(name: bytes, value: bytes | None) -> None:
    """A field that can't be read is an error that says so, as for everything stored."""
    with pytest.raises(CorruptLogError):
        Card.parse(card_of({name: value}))
