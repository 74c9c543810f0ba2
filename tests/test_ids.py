"""The ids of interrupts: where one lives is written in it, and it sorts by time or stands for an idempotency key."""

from __future__ import annotations

import hashlib
import string
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts import ids
from interrupts.ids import is_id, keyed_id, new_command_id, new_id, partition_of_id, partition_of_session, session_hash
from interrupts.limits import PARTITIONS_MAX

VECTOR_PARTITIONS = (1, 2, 3, 16, 100, 1024)

# Public test vectors for producers in other languages: session, hash, and its partition of 1, 2, 3, 16, 100, 1024.
# The first hash is the upper half of CRC32's check value, 0xCBF43926.
VECTORS: list[tuple[str, str, tuple[int, ...]]] = [
    ("123456789", "cbf4", (0, 1, 2, 12, 79, 815)),
    ("s", "1b0e", (0, 0, 0, 1, 10, 108)),
    ("session-1", "23c0", (0, 0, 0, 2, 13, 143)),
    ("sess_789", "5767", (0, 0, 1, 5, 34, 349)),
    ("user@example.com/42", "3ddf", (0, 0, 0, 3, 24, 247)),
    ("Zürich", "d30b", (0, 1, 2, 13, 82, 844)),
    ("会議", "4ce4", (0, 0, 0, 4, 30, 307)),
    ("🙂", "f258", (0, 1, 2, 15, 94, 969)),
    ("a\u0301", "4ba4", (0, 0, 0, 4, 29, 302)),
    ("x" * 512, "3b0b", (0, 0, 0, 3, 23, 236)),
]

# Public test vectors for ids made from keys: session, key, id.
KEYED_VECTORS = [
    ("s", "k", "1b0ef85e238288c85c3282f1ecb482da"),
    ("sess_789", "order-42", "5767f03c2bc1cd647b5e646cb8ce38a1"),
    ("Zürich", "schlüssel", "d30bf3b4326f64dcde289139712fe402"),
]

sessions = st.text(min_size=1)
partition_counts = st.integers(1, PARTITIONS_MAX)


@pytest.mark.parametrize(("session", "expected_hash", "expected_partitions"), VECTORS)
def test_sessions_lie_where_the_public_vectors_say(
    session: str, expected_hash: str, expected_partitions: tuple[int, ...]
) -> None:
    """Session to hash to partition, in the numbers that other languages compute."""
    assert expected_hash == f"{session_hash(session):04x}"
    assert expected_partitions == tuple(partition_of_session(session, count) for count in VECTOR_PARTITIONS)


@pytest.mark.parametrize(("session", "key", "expected"), KEYED_VECTORS)
def test_keyed_ids_are_those_of_the_public_vectors(session: str, key: str, expected: str) -> None:
    """An id made from a key is the session's hash, an `f`, and the beginning of SHA-256(session, NUL, key)."""
    assert expected == keyed_id(session, key)
    digest = hashlib.sha256(f"{session}\0{key}".encode()).hexdigest()
    assert f"{session_hash(session):04x}f{digest}"[:32] == expected


@given(session=sessions, key=st.text(min_size=1))
def test_ids_are_32_hexadecimal_digits(session: str, key: str) -> None:
    """Both sorts of id have the one form by which an id is known."""
    for made in (new_id(session), keyed_id(session, key)):
        assert is_id(made)
        assert len(made) == 32
        assert set(made) <= set(string.digits + "abcdef")


@given(session=sessions, key=st.text(min_size=1), partitions=partition_counts)
def test_an_id_lies_in_the_partition_of_its_session(session: str, key: str, partitions: int) -> None:
    """For any number of partitions: an id alone is enough to go straight to its interrupt."""
    expected = partition_of_session(session, partitions)
    assert 0 <= expected < partitions
    assert expected == partition_of_id(new_id(session), partitions)
    assert expected == partition_of_id(keyed_id(session, key), partitions)


def test_every_partition_gets_its_even_share_of_hashes() -> None:
    """Of the 65,536 hashes no partition has more than one more than another, for any of the vectors' numbers."""
    for partitions in VECTOR_PARTITIONS:
        shares = [0] * partitions
        for session_bits in range(1 << 16):
            shares[partition_of_id(f"{session_bits:04x}", partitions)] += 1
        assert max(shares) - min(shares) <= 1


def test_ids_of_a_session_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later id of the same session is a greater text, from today to the year 10000."""
    made = []
    for ms in (0, 1, 1_700_000_000_000, 1_700_000_000_001, 1_800_000_000_000, 253_402_300_799_999):
        monkeypatch.setattr(ids, "time", SimpleNamespace(time_ns=lambda ms=ms: ms * 1_000_000))
        made.append(new_id("session-1"))
        assert f"23c0{ms:012x}" == made[-1][:16]
    assert sorted(made) == made
    assert {made_id[4] for made_id in made} <= set("0123456789abcde")  # f marks an id made from a key


def test_new_ids_are_new() -> None:
    """Ids made in the same millisecond differ, and so do command ids."""
    assert len({new_id("s") for _ in range(10_000)}) == 10_000
    assert len({new_command_id() for _ in range(10_000)}) == 10_000


@given(session=sessions, key=st.text(min_size=1))
def test_a_key_gives_the_same_id_each_time(session: str, key: str) -> None:
    """An id made from a key depends on nothing but its session and the key."""
    assert keyed_id(session, key) == keyed_id(session, key)


@given(st.lists(st.tuples(st.text(string.printable[:95], min_size=1), st.text(min_size=1)), unique=True, max_size=20))
def test_keys_belong_to_their_session(pairs: list[tuple[str, str]]) -> None:
    """Other sessions' keys, and other keys, give other ids, however the two texts are cut."""
    assert len({keyed_id(session, key) for session, key in pairs}) == len(pairs)
    assert keyed_id("ab", "c") != keyed_id("a", "bc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1b0e",
        "1b0ef85e238288c85c3282f1ecb482d",
        "1b0ef85e238288c85c3282f1ecb482daa",
        "1b0ef85e238288c85c3282f1ecb482d ",
        "1b0ef85e238288c85c3282f1ecb482da\n",
        "1B0EF85E238288C85C3282F1ECB482DA",
        "1b0ef85e238288c85c3282f1ecb482dg",
        "1b0ef85e-2382-88c8-5c32-82f1ecb482da",
        "\u0661" * 32,
        b"1b0ef85e238288c85c3282f1ecb482da",
        None,
        32,
    ],
)
def test_what_cannot_be_an_id_is_none(text: object) -> None:
    """Wrong length, letters, case, digits of other scripts, or no text at all: not an id."""
    assert not is_id(text)
