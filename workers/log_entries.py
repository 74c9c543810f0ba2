"""Entries of the log as they are stored: at given places, or in a stretch. For what operators ask about reactions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from interrupts import InterruptService
from interrupts.glance import glance
from workers.event import Event

Entry = tuple[bytes, list[bytes]]
AT_ONCE: Final = 100
"""Entries that are asked for by their places in one go."""


async def entries_between(
    service: InterruptService, partition: int, first: str, last: str, count: int
) -> Sequence[Entry]:
    """At most so many from `first` up to and with `last`, which are as XRANGE takes them. Raises `UnavailableError`."""
    slot, log = _where(service, partition)
    found: Sequence[Entry] = await service.store.server.command(slot, "XRANGE", log, first, last, "COUNT", count)
    return found


async def entries_at(service: InterruptService, partition: int, stream_ids: Sequence[str]) -> dict[str, Entry]:
    """Those at these places, by stream id; one that is not in the log is left out. Raises `UnavailableError`."""
    found: dict[str, Entry] = {}
    for at in range(0, len(stream_ids), AT_ONCE):
        asked = stream_ids[at : at + AT_ONCE]
        for entries in await asyncio.gather(*(entries_between(service, partition, one, one, 1) for one in asked)):
            found |= {entry[0].decode(): entry for entry in entries}
    return found


async def newest_entry(service: InterruptService, partition: int, last: str = "+", first: str = "-") -> Entry | None:
    """The last one from `first` to `last`; None if there is none. Raises `UnavailableError`."""
    slot, log = _where(service, partition)
    found: Sequence[Entry] = await service.store.server.command(slot, "XREVRANGE", log, last, first, "COUNT", 1)
    return found[0] if found else None


def id_of(entry: Entry) -> str:
    """Its stream id."""
    return entry[0].decode()


def number_of(entry: Entry) -> int | None:
    """Its number in the partition; None of what is no event of ours."""
    try:
        return int(entry[1][1])
    except (IndexError, ValueError):
        return None


def size_of(entry: Entry) -> int:
    """How many bytes its event has."""
    return len(entry[1][-1])


def event_of(partition: int, entry: Entry) -> Event:
    """The event that it is. Raises `CorruptLogError`."""
    name, session_id = glance(entry[1][-1])
    return Event(partition, entry[0].decode(), name, session_id, entry[1][-1])


def _where(service: InterruptService, partition: int) -> tuple[int, str]:
    return service.store.keys.slots[partition], service.store.keys.logs[partition]
