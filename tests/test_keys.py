"""The names of keys: one slot for each partition, spread evenly, the same in every process and for ever."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts.errors import ValidationError
from interrupts.ids import keyed_id, new_id
from interrupts.keys import SLOTS, Keys, check_namespace, check_partitions, meta_key, slot_of_tag
from interrupts.limits import NAMESPACE_CHARS_MAX

COUNTS = (1, 2, 3, 16, 100, 1024)

# Tags are part of the stored form: other ones would not find what is there.
TAGS_OF_16 = [
    ("interrupts:00-2d", 482),
    ("interrupts:01-2c", 1969),
    ("interrupts:02-a", 2179),
    ("interrupts:03-b", 4048),
    ("interrupts:04-2", 4277),
    ("interrupts:05-1", 6118),
    ("interrupts:06-00", 6760),
    ("interrupts:07", 8037),
    ("interrupts:08-0d", 8771),
    ("interrupts:09-0c", 9232),
    ("interrupts:10-3", 10976),
    ("interrupts:11-0", 11699),
    ("interrupts:12-0a", 12316),
    ("interrupts:13-0b", 14027),
    ("interrupts:14-20", 15155),
    ("interrupts:15-23", 15844),
]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [("123456789", 0x31C3), ("foo", 12182), ("bar", 5061), ("somekey", 11058), ("", 0), ("Zürich", 5420)],
)
def test_slots_are_those_of_redis(tag: str, expected: int) -> None:
    """CRC16 in the XMODEM form, as the cluster specification has it, over the tag's UTF-8."""
    assert expected == slot_of_tag(tag)


def test_tags_are_the_stored_ones() -> None:
    """The tags and slots of the default namespace are these, in every version of the library."""
    keys = Keys("interrupts", 16)
    assert list(zip(keys.tags, keys.slots, strict=True)) == TAGS_OF_16
    assert Keys("interrupts", 3).tags == ("interrupts:00-2", "interrupts:01-0", "interrupts:02-3")
    assert Keys("interrupts", 1).tags == ("interrupts:00",)


@pytest.mark.parametrize("count", COUNTS)
def test_partition_p_lies_in_the_pth_share_of_the_slots(count: int) -> None:
    """The slots are cut into as many shares as there are partitions, and each partition lies in its own."""
    keys = Keys("interrupts", count)
    assert list(range(count)) == [slot * count // SLOTS for slot in keys.slots]
    assert list(keys.slots) == [slot_of_tag(tag) for tag in keys.tags]
    assert all(first < second for first, second in pairwise(keys.slots))
    assert len(set(keys.tags)) == count


@pytest.mark.parametrize(("nodes", "expected"), [(1, [16]), (2, [8, 8]), (3, [5, 5, 6]), (4, [4] * 4), (16, [1] * 16)])
def test_partitions_spread_evenly_over_nodes(nodes: int, expected: list[int]) -> None:
    """16 partitions on nodes that share the slots out evenly, as `redis-cli --cluster create` does."""
    bounds = [round(SLOTS * node / nodes) for node in range(nodes + 1)]
    slots = Keys("interrupts", 16).slots
    assert expected == sorted(sum(low <= slot < high for slot in slots) for low, high in pairwise(bounds))


def test_keys_of_a_partition_share_its_tag() -> None:
    """Every key is the tag in braces and a role; the namespace's own record stands outside of all partitions."""
    keys = Keys("interrupts", 16)
    for partition, tag in enumerate(keys.tags):
        expected = tuple(f"{{{tag}}}:{role}" for role in ("log", "deadlines", "mark", "i:"))
        named = (keys.logs, keys.deadlines, keys.marks, keys.interrupts)
        assert expected == tuple(names[partition] for names in named)
    assert meta_key("interrupts") == "{interrupts}:meta"
    assert "interrupts" not in keys.tags


@given(session=st.text(min_size=1), key=st.text(min_size=1), count=st.sampled_from(COUNTS[:-1]))
def test_the_key_of_an_interrupt_lies_with_its_session(session: str, key: str, count: int) -> None:
    """An interrupt's key has the tag of its session's partition and ends in its id."""
    keys = Keys("n", count)
    for interrupt_id in (new_id(session), keyed_id(session, key)):
        partition = keys.partition_of_session(session)
        assert partition == keys.partition_of_id(interrupt_id)
        assert f"{{{keys.tags[partition]}}}:i:{interrupt_id}" == keys.interrupt(interrupt_id)


def test_namespaces_do_not_share_a_key() -> None:
    """No name of one namespace is a name of another, also where one begins like the other."""
    names: list[str] = []
    for namespace in ("a", "a-0", "a.b", "a_b", "A"):
        keys = Keys(namespace, 16)
        names += (meta_key(namespace), *keys.logs, *keys.deadlines, *keys.marks, *keys.interrupts)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("namespace", ["a", "0", "interrupts", "Team-1.staging_eu", "n" * NAMESPACE_CHARS_MAX])
def test_good_namespaces_pass(namespace: str) -> None:
    """Letters, digits, dots, dashes, underscores, up to the limit."""
    assert namespace == check_namespace(namespace)


@pytest.mark.parametrize(
    "namespace",
    [
        "",
        " ",
        "a b",
        "a{b",
        "a}b",
        "{a}",
        "a:b",
        "a*",
        "a\n",
        "-a",
        ".a",
        "_a",
        "é",
        "n" * (NAMESPACE_CHARS_MAX + 1),
        None,
        5,
        b"a",
    ],
)
def test_namespaces_that_could_reach_into_others_are_refused(namespace: object) -> None:
    """Braces, colons, spaces, patterns, control characters, nothing, too much: refused by name."""
    with pytest.raises(ValidationError, match="namespace") as refusal:
        check_namespace(namespace)
    assert refusal.value.field == "namespace"


@pytest.mark.parametrize("partitions", [0, -1, 1025, 1.0, True, "16", None])
def test_numbers_of_partitions_out_of_bounds_are_refused(partitions: object) -> None:
    """From 1 to 1,024, a whole number; refused by name."""
    with pytest.raises(ValidationError, match="partitions") as refusal:
        check_partitions(partitions)
    assert refusal.value.field == "partitions"
