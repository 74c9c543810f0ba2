"""What the view `rates` holds: the creations that are counted of users, read from Redis' own mouth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interrupts import InterruptService
from interrupts.rings import CREATED, SIZES_MS, Tally, oldest_cell
from projections.names import key_names

WINDOWS: Final = len(SIZES_MS)


class Cells:
    """Creations in one group by window and cell, as seen at a time. Two are equal that are the same later on.

    What has left its window counts nowhere, and nobody is bound to keep it: so cells are compared at the later time.
    """

    def __init__(self, rings: tuple[Mapping[int, int], ...], now_ms: int = 0) -> None:
        self.rings = rings
        self.now_ms = now_ms

    def at(self, now_ms: int) -> list[dict[int, int]]:
        """What is in each window at a time."""
        return [
            {cell: count for cell, count in ring.items() if count and cell >= oldest_cell(window, now_ms)}
            for window, ring in enumerate(self.rings)
        ]

    def __eq__(self, other: object) -> bool:
        now_ms = max(self.now_ms, other.now_ms) if isinstance(other, Cells) else 0
        return isinstance(other, Cells) and self.at(now_ms) == other.at(now_ms)

    def __repr__(self) -> str:
        return f"Cells{tuple(self.at(self.now_ms))}"

    __hash__ = None  # type: ignore[assignment]


class Counter:
    """Counts creations by window and cell, one at a time."""

    def __init__(self) -> None:
        self.cells: dict[str, Cells] = {}

    def add(self, user: str, group: str, ms: int) -> None:
        """One more."""
        empty: tuple[dict[int, int], ...] = tuple({} for _ in range(WINDOWS))
        for ring, size in zip(self.cells.setdefault(key_of(user, group), Cells(empty)).rings, SIZES_MS, strict=True):
            assert isinstance(ring, dict)
            ring[ms // size] = ring.get(ms // size, 0) + 1


def key_of(user: str, group: str) -> str:
    """The name under which the tests hold what is counted of a user in a group."""
    return f"{user} {group}"


async def now_ms(service: InterruptService, partition: int = 0) -> int:
    """The time of the server that has a partition."""
    seconds, micros = await service.store.server.command(service.store.keys.slots[partition], "TIME")
    return int(seconds) * 1000 + int(micros) // 1000


async def fields_of(service: InterruptService, user: str) -> dict[str, bytes]:
    """What is stored of a user."""
    keys, partition = service.store.keys, service.store.keys.partition_of_user(user)
    flat = await service.store.server.command(keys.slots[partition], "HGETALL", keys.rates[partition] + user)
    return pairs_of(flat)


def pairs_of(flat: Any) -> dict[str, bytes]:
    """A hash's fields and values."""
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


async def users_of(service: InterruptService, partition: int) -> list[str]:
    """The users of whom something is stored in a partition."""
    keys = service.store.keys
    found: set[str] = set()
    async for names in key_names(service.store.server, keys, [partition], ":rate:*"):
        found.update(name.removeprefix(keys.rates[partition]) for name in names[partition])
    return sorted(found)


async def counted(service: InterruptService, partition: int) -> dict[str, Cells]:
    """The creations that are counted in a partition, by user and group."""
    found: dict[str, Tally] = {}
    for user in await users_of(service, partition):
        for field, text in (await fields_of(service, user)).items():
            if field.startswith(CREATED):
                found[key_of(user, field[1:])] = Tally.parse(text)
    seen_ms = await now_ms(service, partition)
    return {key: Cells(tally.rings, seen_ms) for key, tally in found.items() if tally.at(2, seen_ms)}


async def forget(service: InterruptService) -> None:
    """Everything that is counted of users is gone, and up to where, as if nothing had ever been counted."""
    keys = service.store.keys
    for partition in range(service.log.partitions):
        names = [keys.counted[partition], *(keys.rates[partition] + u for u in await users_of(service, partition))]
        await service.store.server.command(keys.slots[partition], "DEL", *names, writes=True)


async def marks_of(service: InterruptService, partition: int) -> dict[int, str]:
    """By source partition, up to where it is counted in this one."""
    keys = service.store.keys
    flat = await service.store.server.command(keys.slots[partition], "HGETALL", keys.counted[partition])
    return {int(source): mark.decode() for source, mark in pairs_of(flat).items()}


async def reserved(service: InterruptService, user: str) -> dict[str, int]:
    """A user's reservations, and the times that they count at."""
    keys, partition = service.store.keys, service.store.keys.partition_of_user(user)
    flat = await service.store.server.command(
        keys.slots[partition], "ZRANGE", keys.reserved[partition] + user, 0, -1, "WITHSCORES"
    )
    return {name.decode(): int(float(score)) for name, score in zip(flat[::2], flat[1::2], strict=True)}
