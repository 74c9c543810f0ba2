"""Putting the partitions' parts of a list together, in order, with nothing skipped or told twice.

Each partition tells its next ones in order, and how far it has looked. A partition that may have more has said nothing
about what comes after that place, so nothing later than the nearest such place is told yet; it comes on the next page.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from interrupts.views import place_of

Place = tuple[int, int, int]
"""milliseconds, partition, number: the order of a list"""
_FIRST: Place = (0, 0, 0)
_LAST: Place = (1 << 64, 0, 0)


class Item(msgspec.Struct, frozen=True):
    """One of a list: the number that it is listed by, its id, its place, and how many bytes it has."""

    sequence: int
    interrupt_id: str
    place: Place
    size: int


class Part(msgspec.Struct, frozen=True):
    """What one partition told: some items, and up to where it has looked."""

    partition: int
    items: Sequence[Item] = ()
    scanned: int | None = None
    reached: Place | None = None
    more: bool = False


class Merged(msgspec.Struct, frozen=True):
    """The items of a page, and by partition the number after which the next page goes on; None: there is none."""

    items: list[Item]
    numbers: dict[int, int] | None


def place(partition: int, stream_id: str) -> Place:
    """Where an interrupt stands among those of all partitions."""
    ms, number = place_of(stream_id)
    return ms, partition, number


def _reached(part: Part) -> Place:
    """How far a partition has looked. Where that is not known, since the key is gone: to its last item."""
    return part.reached or (part.items[-1].place if part.items else _FIRST)


def merge(parts: Sequence[Part], before: dict[int, int], limit: int, bytes_max: int) -> Merged:
    """At most so many items, and no more once there are so many bytes; one at least, where one can be told."""
    horizon = min((_reached(part) for part in parts if part.more), default=_LAST)
    in_order = sorted((item for part in parts for item in part.items), key=lambda item: item.place)
    told: list[Item] = []
    for item in in_order:
        if item.place > horizon or len(told) == limit or (told and bytes_max <= 0):
            break
        told.append(item)
        bytes_max -= item.size
    numbers = dict(before)
    last = {item.place[1]: item.sequence for item in told}
    for part in parts:
        if part.items and last.get(part.partition) != part.items[-1].sequence:
            if part.partition in last:
                numbers[part.partition] = last[part.partition]
        elif part.scanned is not None:
            numbers[part.partition] = part.scanned
    ended = len(told) == len(in_order) and not any(part.more for part in parts)
    return Merged(told, None if ended else numbers)
