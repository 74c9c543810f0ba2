"""Reading lists from the views: which scripts are asked for what, and how their answers become interrupts.

One partition's page is one round trip: the script returns the interrupts themselves. A page over all partitions is two:
each partition tells the next ids in its order; then the winners are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from interrupts.cursors import decode_cursor, encode_cursor, fingerprint
from interrupts.errors import CorruptLogError
from interrupts.evolve import as_of, fold
from interrupts.limits import PAGE_BYTES_MAX, PAGE_SCAN_MAX
from interrupts.merging import Item, Merged, Part, merge, place
from interrupts.model import FlowInterrupt, InterruptKind, InterruptStatus
from interrupts.scripts import Script, script
from interrupts.store.log import Log
from interrupts.store.lookup import Layout, ViewLookup
from interrupts.views import CLOSED, COUNTED, COUNTS, View

PAGE: Final = script("page")
HEADS: Final = script("heads")
TOTAL: Final = script("total")
COUNT: Final = script("counts")


class Asked(msgspec.Struct, frozen=True):
    """What is asked for: interrupts that are in one index of each group of a view, in some partitions."""

    view: View
    partitions: Sequence[int]
    groups: Sequence[Sequence[str]]
    after: Mapping[int, tuple[int, int]]
    """What the view has to show, by partition."""
    wait: bool

    @property
    def status(self) -> str:
        """What the interrupts of this view are."""
        return "closed" if self.view == CLOSED else "pending"

    @property
    def fingerprint(self) -> int:
        """A number for it, that its cursors carry."""
        return fingerprint([self.view.name, self.groups])


class Listing:
    """Lists of one namespace."""

    def __init__(self, log: Log, lookup: ViewLookup) -> None:
        self._log = log
        self._keys = log.keys
        self._lookup = lookup

    async def page(self, asked: Asked, limit: int, cursor: str | None) -> tuple[list[FlowInterrupt], str | None]:
        """The interrupts of a page, and the next one's cursor."""
        numbers = decode_cursor(cursor, asked.fingerprint, asked.partitions)
        if len(asked.partitions) == 1:
            found, next_numbers = await self._whole(asked, limit, numbers)
        else:
            merged, _ = await self._merged(asked, limit, numbers)
            found, next_numbers = await self.read(merged.items), merged.numbers
        return found, None if next_numbers is None else encode_cursor(asked.fingerprint, next_numbers)

    async def ids(self, asked: Asked, limit: int, numbers: dict[int, int]) -> Merged:
        """Only where the next ones are, after these numbers."""
        return (await self._merged(asked, limit, numbers))[0]

    async def read(self, items: Sequence[Item]) -> list[FlowInterrupt]:
        """The interrupts themselves, without those that were closed since the view told of them."""
        reads = await asyncio.gather(*(self._log.read(item.interrupt_id) for item in items))
        found = [as_of(fold(read.there, read.partition), read.now_ms) for read in reads if read.there is not None]
        return [interrupt for interrupt in found if interrupt.is_pending]

    async def total(self, asked: Asked) -> tuple[int, bool]:
        """How many there are, and whether that is exact."""
        sizes = [PAGE_SCAN_MAX, len(asked.groups), *map(len, asked.groups)]

        def layout(partition: int, generation: int) -> tuple[list[str], list[Any]]:
            return [self._keys.deadlines[partition], *self._indexes(asked, partition, generation)], sizes

        told = await self._ask(asked, TOTAL, layout)
        counted = [tail for _, tail in told.values() if tail]
        return sum(total for total, _ in counted), all(exact for _, exact in counted)

    async def oldest(self, asked: Asked) -> tuple[int | None, int]:
        """When the oldest one was created, in milliseconds, and the time now."""
        numbers: dict[int, int] | None = {}
        while numbers is not None:
            told, now_ms = await self._merged(asked, 1, numbers)
            if told.items:
                return told.items[0].place[0], now_ms
            numbers = told.numbers
        return None, 0

    async def counts(self, asked: Asked) -> tuple[dict[InterruptKind, dict[InterruptStatus, int]], int]:
        """The numbers by kind and status, and how many of the pending ones are overdue."""

        def layout(partition: int, generation: int) -> tuple[list[str], list[Any]]:
            counted = self._keys.generation(partition, COUNTS.name, generation) + COUNTED
            return [self._keys.deadlines[partition], counted], []

        by: dict[InterruptKind, dict[InterruptStatus, int]] = {}
        overdue = 0
        for _, tail in (await self._ask(asked, COUNT, layout)).values():
            if not tail:
                continue
            overdue += tail[0]
            for field, number in zip(tail[1][::2], tail[1][1::2], strict=True):
                try:
                    kind, _, status = field.decode().partition(":")
                    of_kind = by.setdefault(InterruptKind(kind), dict.fromkeys(InterruptStatus, 0))
                    of_kind[InterruptStatus(status)] += int(number)
                except ValueError as error:
                    raise CorruptLogError(
                        f"The counts have {field[:64]!r}, which this library does not know: update it."
                    ) from error
        return by, overdue

    async def _whole(
        self, asked: Asked, limit: int, numbers: dict[int, int]
    ) -> tuple[list[FlowInterrupt], dict[int, int] | None]:
        """The next ones of one partition, themselves, and the number after which it goes on."""
        (partition,) = asked.partitions
        _, tail = (await self._ask(asked, PAGE, self._next(asked, limit, numbers)))[partition]
        if not tail:
            return [], None
        scanned, more, *texts = tail
        found = [fold(text, partition).interrupt for text in texts]  # overdue ones the script has left out
        return found, {partition: int(scanned)} if more else None

    async def _merged(self, asked: Asked, limit: int, numbers: dict[int, int]) -> tuple[Merged, int]:
        """Where the next ones of all partitions are, and the time."""
        told = await self._ask(asked, HEADS, self._next(asked, limit, numbers))
        parts = [_part(partition, tail) for partition, (_, tail) in told.items()]
        return merge(parts, numbers, limit, PAGE_BYTES_MAX), max(now_ms for now_ms, _ in told.values())

    def _next(self, asked: Asked, limit: int, numbers: dict[int, int]) -> Layout:
        """How the scripts are asked that find the next ones."""
        sizes = [len(asked.groups), *map(len, asked.groups)]

        def layout(partition: int, generation: int) -> tuple[list[str], list[Any]]:
            bounds = [numbers.get(partition, ""), limit, PAGE_SCAN_MAX + limit, PAGE_BYTES_MAX]
            interrupts = self._keys.interrupts[partition]
            return self._indexes(asked, partition, generation), [interrupts, asked.status, *bounds, *sizes]

        return layout

    def _indexes(self, asked: Asked, partition: int, generation: int) -> list[str]:
        begin = self._keys.generation(partition, asked.view.name, generation)
        return [begin + key for group in asked.groups for key in group]

    async def _ask(self, asked: Asked, read: Script, layout: Layout) -> dict[int, tuple[int, list[Any]]]:
        return await self._lookup.ask(asked.view, read, asked.partitions, layout, after=asked.after, wait=asked.wait)


def _part(partition: int, tail: Sequence[Any]) -> Part:
    """What a partition told."""
    if not tail:
        return Part(partition)
    scanned, reached, more, *flat = tail
    items = [
        Item(int(sequence), interrupt_id.decode(), place(partition, stream_id.decode()), int(size))
        for sequence, interrupt_id, stream_id, size in zip(*[iter(flat)] * 4, strict=True)
    ]
    return Part(
        partition,
        items,
        int(scanned) if scanned else None,
        place(partition, reached.decode()) if reached else None,
        bool(more),
    )
