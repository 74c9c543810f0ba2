"""Looking at lanes: what of an endpoint waits, was given up and was counted in one partition; and forgetting it all."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from interrupts.keys import Keys
from interrupts.scripts import script
from interrupts.store.grouping import by_partition, in_order
from interrupts.store.server import Server

DELIVERIES: Final = script("deliveries")
WAITING: Final = script("waiting")
LANES_KNOWN_MAX: Final = 10_000
LANE_KEYS: Final = ("waiting", "failed", "bodies", "tries", "results", "stats")


class Listed(msgspec.Struct, frozen=True):
    """What is there of a lane: the ids of what waits, with the time from which it may be sent, and of what was given
    up; those of both that were tried; and the last results."""

    waiting: dict[str, int]
    failed: list[str]
    tried: frozenset[str]
    results: list[bytes]


class LaneLooks:
    """The lanes of one namespace, to be looked at."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server, self._keys = server, keys
        self._lanes: dict[tuple[int, str], tuple[str, ...]] = {}

    def lane(self, partition: int, hook: str) -> tuple[str, ...]:
        """The keys of a lane, as the scripts want them."""
        names = self._lanes.get((partition, hook))
        if names is None:
            if len(self._lanes) >= LANES_KNOWN_MAX:
                self._lanes.clear()
            begin = self._keys.lanes(partition) + hook
            names = self._lanes[partition, hook] = tuple(f"{begin}:{name}" for name in LANE_KEYS)
        return names

    async def waiting_for(self, partition: int) -> list[str]:
        """The endpoints for which something may wait there. Raises `UnavailableError`."""
        keys = self._keys
        members = await self._server.command(keys.slots[partition], "SMEMBERS", keys.hooked(partition))
        return [member.decode() for member in members]

    async def listed(self, lanes: Sequence[tuple[int, str]]) -> list[Listed]:
        """What is there of lanes (partition, endpoint), which are of one server. Raises `UnavailableError`."""
        names = [name for lane in lanes for name in self.lane(*lane)]
        flat = iter(await self._server.read(WAITING, self._keys.slots[lanes[0][0]], names, []))
        found = []
        for _ in lanes:
            lines = [next(flat) for _ in range(2 * next(flat))]
            failed, tried, results = ([next(flat) for _ in range(next(flat))] for _ in range(3))
            found.append(
                Listed(
                    {id_.decode(): int(float(at)) for id_, at in zip(lines[::2], lines[1::2], strict=True)},
                    [id_.decode() for id_ in failed],
                    frozenset(id_.decode() for id_ in tried),
                    results,
                )
            )
        return found

    async def listed_anywhere(self, lanes: Sequence[tuple[int, str]]) -> list[Listed]:
        """The same of lanes that may be on several servers. Raises `UnavailableError`."""
        groups = {0: list(range(len(lanes)))} if self._server.route.one_server else by_partition(lanes)
        calls = (self.listed([lanes[index] for index in indexes]) for indexes in groups.values())
        return in_order(len(lanes), groups, [one for some in await asyncio.gather(*calls) for one in some])

    async def known_of(self, partition: int, hook: str, ids: Sequence[str]) -> list[tuple[bytes, bytes]]:
        """Of each of these what its tries have come to, and the event's name as it is kept.

        Raises `UnavailableError`.
        """
        slot = self._keys.slots[partition]
        flat = await self._server.read(DELIVERIES, slot, self.lane(partition, hook), list(ids))
        return list(zip(flat[::2], flat[1::2], strict=True))

    async def body(self, partition: int, hook: str, stream_id: str) -> bytes | None:
        """What is kept of a delivery to be sent; None if nothing is. Raises `UnavailableError`."""
        keys = self._keys
        body: bytes | None = await self._server.command(
            keys.slots[partition], "HGET", f"{keys.lanes(partition)}{hook}:bodies", stream_id
        )
        return body

    async def failed_ids(self, partition: int, hook: str) -> list[str]:
        """What was given up there, the oldest first. Raises `UnavailableError`."""
        slot = self._keys.slots[partition]
        ids = await self._server.command(slot, "ZRANGE", self.lane(partition, hook)[1], 0, -1)
        return [id_.decode() for id_ in ids]

    async def stats(self, partition: int, hook: str) -> dict[str, int]:
        """Counts of a lane, and how many wait and are given up. Raises `UnavailableError`."""
        keys, slot = self._keys, self._keys.slots[partition]
        lane = f"{keys.lanes(partition)}{hook}"
        flat = await self._server.command(slot, "HGETALL", f"{lane}:stats")
        counts = {name.decode(): int(float(value)) for name, value in zip(flat[::2], flat[1::2], strict=True)}
        for name in ("waiting", "failed"):
            counts[name] = await self._server.command(slot, "ZCARD", f"{lane}:{name}")
        return counts

    async def no_more_failing(self, partition: int, hook: str) -> None:
        """Begins anew to count for how long it has failed. Raises `UnavailableError`."""
        keys = self._keys
        await self._server.command(
            keys.slots[partition], "HDEL", f"{keys.lanes(partition)}{hook}:stats", "failing_since", writes=True
        )

    async def purge(self, partition: int, hook: str) -> None:
        """Forgets all of a lane. Raises `UnavailableError`."""
        slot = self._keys.slots[partition]
        await self._server.command(slot, "UNLINK", *self.lane(partition, hook), writes=True)
        await self._server.command(slot, "SREM", self._keys.hooked(partition), hook, writes=True)
