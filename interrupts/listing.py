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
from interrupts.evolve import as_of, fold
from interrupts.limits import PAGE_BYTES_MAX, PAGE_SCAN_MAX
from interrupts.merging import Item, Merged, Part, merge, place
from interrupts.model import FlowInterrupt, InterruptKind, InterruptStatus
from interrupts.scripts import script
from interrupts.store.log import Log
from interrupts.store.lookup import ViewLookup
from interrupts.views import COUNTED, COUNTS, View

PAGE: Final = script("page")
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
        alone = len(asked.partitions) == 1
        merged, now_ms = await self._next(asked, limit, numbers, bodies=alone)
        if alone:
            (partition,) = asked.partitions
            found = [as_of(fold(item.body, partition), now_ms) for item in merged.items]
        else:
            found = await self.read(merged.items)
        return found, None if merged.numbers is None else encode_cursor(asked.fingerprint, merged.numbers)

    async def ids(self, asked: Asked, limit: int, numbers: dict[int, int]) -> Merged:
        """Only where the next ones are, after these numbers."""
        return (await self._next(asked, limit, numbers, bodies=False))[0]

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
            told, now_ms = await self._next(asked, 1, numbers, bodies=False)
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
                kind, _, status = field.decode().partition(":")
                of_kind = by.setdefault(InterruptKind(kind), dict.fromkeys(InterruptStatus, 0))
                of_kind[InterruptStatus(status)] += int(number)
        return by, overdue

    async def _next(self, asked: Asked, limit: int, numbers: dict[int, int], *, bodies: bool) -> tuple[Merged, int]:
        status = "closed" if asked.view.name == "closed" else "pending"
        sizes = [len(asked.groups), *map(len, asked.groups)]

        def layout(partition: int, generation: int) -> tuple[list[str], list[Any]]:
            bounds = [numbers.get(partition, ""), limit, PAGE_SCAN_MAX + limit, PAGE_BYTES_MAX, "1" if bodies else ""]
            interrupts = self._keys.interrupts[partition]
            return self._indexes(asked, partition, generation), [interrupts, status, *bounds, *sizes]

        told = await self._ask(asked, PAGE, layout)
        parts = [_part(partition, tail, bodies=bodies) for partition, (_, tail) in told.items()]
        now_ms = max((now_ms for now_ms, _ in told.values()), default=0)
        if len(parts) == 1:  # in the order of its script, which for what is closed is another one
            (part,) = parts
            ended = not part.more or part.scanned is None
            return Merged(list(part.items), None if ended else {part.partition: part.scanned or 0}), now_ms
        return merge(parts, numbers, limit, PAGE_BYTES_MAX), now_ms

    def _indexes(self, asked: Asked, partition: int, generation: int) -> list[str]:
        begin = self._keys.generation(partition, asked.view.name, generation)
        return [begin + key for group in asked.groups for key in group]

    async def _ask(self, asked: Asked, read: Any, layout: Any) -> dict[int, tuple[int, list[Any]]]:
        return await self._lookup.ask(asked.view, read, asked.partitions, layout, after=asked.after, wait=asked.wait)


def _part(partition: int, tail: Sequence[Any], *, bodies: bool) -> Part:
    """What a partition told."""
    if not tail:
        return Part(partition)
    scanned, reached, more, *rows = tail
    items = []
    for sequence, interrupt_id, stream_id, there in rows:
        size, body = (len(there), there) if bodies else (int(there), b"")
        where = place(partition, stream_id.decode())
        items.append(Item(int(sequence), interrupt_id.decode(), where, size, body))
    return Part(
        partition,
        items,
        int(scanned) if scanned else None,
        place(partition, reached.decode()) if reached else None,
        bool(more),
    )
