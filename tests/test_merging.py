"""Merging the partitions' parts of a list, against a plain model: nothing skipped, nothing twice, always forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts.merging import Item, Merged, Part, Place, merge, place

BYTES_MAX = 1_000_000


@dataclass
class Row:
    """One in an index: its number, when it was made, its bytes, and whether the other filters show it."""

    sequence: int
    ms: int
    size: int = 1
    shown: bool = True


@dataclass
class World:
    """The indexes of some partitions, and how many rows one look goes over."""

    partitions: list[list[Row]]
    scan: int
    bytes_max: int = BYTES_MAX

    def place(self, partition: int, row: Row) -> Place:
        """Where a row stands in the list."""
        return place(partition, f"{row.ms}-{row.sequence}")

    def look(self, partition: int, after: int, limit: int) -> Part:
        """What a partition tells, as the script does: bounded, and at a bound it may not know that nothing is left."""
        items: list[Item] = []
        scanned, reached = None, None
        for looked, row in enumerate(row for row in self.partitions[partition] if row.sequence > after):
            if looked == self.scan or len(items) == limit:
                return Part(partition, items, scanned, reached, True)
            scanned, reached = row.sequence, self.place(partition, row)
            if row.shown:
                items.append(Item(row.sequence, f"{partition}/{row.sequence}", reached, row.size))
        ended_at_bound = len(items) == limit
        return Part(partition, items, scanned, reached, ended_at_bound)

    def page(self, numbers: dict[int, int], limit: int) -> Merged:
        """The next page."""
        parts = [self.look(partition, numbers.get(partition, 0), limit) for partition in range(len(self.partitions))]
        return merge(parts, numbers, limit, self.bytes_max)

    def pages(self, limit: int, between: Callable[[], None] = lambda: None) -> Iterator[list[Item]]:
        """All pages to the end, with what happens between them. Each tells something or moves on."""
        numbers: dict[int, int] | None = {}
        while numbers is not None:
            before = numbers
            merged = self.page(before, limit)
            numbers = merged.numbers
            assert merged.items or numbers != before
            yield merged.items
            between()

    def there(self) -> dict[str, Place]:
        """Everything that the list has now, with its place."""
        return {
            f"{partition}/{row.sequence}": self.place(partition, row)
            for partition, rows in enumerate(self.partitions)
            for row in rows
            if row.shown
        }


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Some partitions with some rows each; numbers and times go up together, and times meet across partitions."""
    partitions = []
    for _ in range(draw(st.integers(1, 4))):
        ms, sequence, rows = 0, 0, []
        for more_ms, more, size, shown in draw(
            st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 5), st.booleans()), max_size=8)
        ):
            ms, sequence = ms + more_ms, sequence + more
            rows.append(Row(sequence, ms, size, shown))
        partitions.append(rows)
    return World(partitions, draw(st.integers(1, 5)))


LIMITS, INDEXES = st.integers(1, 5), st.integers(0, 20)


@given(worlds(), LIMITS)
def test_paging_tells_everything_once_and_in_order(world: World, limit: int) -> None:
    """While nothing changes, the pages together are the list: by time, then partition, then number."""
    told = [item for page in world.pages(limit) for item in page]
    assert sorted(world.there().items(), key=lambda pair: pair[1]) == [(item.interrupt_id, item.place) for item in told]


@given(worlds(), LIMITS, st.data())
def test_what_was_there_all_along_is_told_exactly_once(world: World, limit: int, data: st.DataObject) -> None:
    """Whatever comes, with higher numbers, and goes between the pages."""
    all_along, ever = set(world.there()), set(world.there())
    left = data.draw(INDEXES, "changes") % 7

    def change() -> None:
        nonlocal left
        if left == 0:
            return
        left -= 1
        rows = world.partitions[data.draw(INDEXES, "partition") % len(world.partitions)]
        if rows and data.draw(INDEXES, "remove or insert") % 2:
            rows.pop(data.draw(INDEXES, "row") % len(rows))
        else:
            # Beyond what was ever there, although what was last may be gone.
            rows.append(Row(1_000 - left, 100 + data.draw(INDEXES) % 2 - 2 * left))
        all_along.intersection_update(world.there())
        ever.update(world.there())

    told = [item.interrupt_id for page in world.pages(limit, change) for item in page]
    assert len(told) == len(set(told))
    assert all_along <= set(told) <= ever


@given(worlds(), LIMITS, st.integers(1, 12))
def test_pages_keep_to_their_bounds(world: World, limit: int, bytes_max: int) -> None:
    """So many items at most; and none is added once the bytes are used up, but a page may be one large item."""
    world.bytes_max = bytes_max
    for page in world.pages(limit):
        assert len(page) <= limit
        assert sum(item.size for item in page[:-1]) < bytes_max


@given(worlds())
def test_a_page_that_has_room_for_everything_is_the_last(world: World) -> None:
    """Nobody asks again for nothing, if each partition knew that it was at its end."""
    world.scan = 1_000
    merged = world.page({}, 1_000)
    assert merged.numbers is None
    assert len(world.there()) == len(merged.items)


def test_nothing_is_told_beyond_where_a_partition_may_have_more() -> None:
    """A partition that has looked up to a place and may have more could still tell something before the rest."""
    behind = Part(0, [], 5, (10, 0, 5), True)
    ahead = Part(1, [Item(1, "early", (10, 0, 4), 1), Item(2, "late", (11, 1, 2), 1)], 2, (11, 1, 2), False)
    merged = merge([behind, ahead], {}, 10, BYTES_MAX)
    assert [item.interrupt_id for item in merged.items] == ["early"]


def test_a_partition_goes_on_behind_the_last_one_told() -> None:
    """Not behind what it has looked at, if something of that is left for the next page."""
    items = [Item(4, "a", (1, 0, 4), 1), Item(6, "b", (2, 0, 6), 1)]
    parts = [Part(0, items, 9, (3, 0, 9), True), Part(1, [Item(2, "c", (5, 1, 2), 1)], 2, (5, 1, 2), False)]
    assert merge(parts, {0: 3, 1: 1}, 1, BYTES_MAX).numbers == {0: 4, 1: 1}
    assert merge(parts, {0: 3, 1: 1}, 5, BYTES_MAX).numbers == {0: 9, 1: 1}


def test_partitions_without_anything_are_at_their_end() -> None:
    """Nothing anywhere is one empty page, the last."""
    assert Merged([], None) == merge([], {}, 5, BYTES_MAX) == merge([Part(0), Part(1)], {1: 7}, 5, BYTES_MAX)


@pytest.mark.parametrize("limit", [1, 5])
def test_a_page_moves_on_although_it_is_not_known_where_a_partition_has_looked(limit: int) -> None:
    """The last one that it looked at may be gone, with its time: what it told before that is told all the same."""
    parts = [Part(0, [Item(4, "a", (1, 0, 4), 1)], 9, None, True), Part(1, [Item(2, "b", (2, 1, 2), 1)], 2, (2, 1, 2))]
    merged = merge(parts, {}, limit, BYTES_MAX)
    assert merged.items or merged.numbers != {}
