"""Groups: named readers of the log that remember how far they are, whoever reads for them, and what they could not do.

Of a group there are three keys in each partition: its card (how far it is, and who has the lease), what is held (events
that are handled by themselves, because they failed, or take long, or stand behind one that does), and what is parked
(events that were given up for now). Only who has the lease writes how far it is: each new lease has a higher number,
and the script refuses an older one. So a process that was frozen, and comes back when others have its work, can't
acknowledge anything.

How far a group is need not be more durable than the server makes it: what is lost of it at a failover comes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interrupts.keys import Keys, slot_of_tag
from interrupts.limits import HELD_MAX, LEASE_S, PARKED_MAX, RELEASE_BATCH_MAX
from interrupts.scripts import script
from interrupts.store.server import Server
from interrupts.views import Checkpoint, place_of

LEASE: Final = script("lease")
PROGRESS: Final = script("progress")
ENLIST: Final = script("enlist")
RELEASE: Final = script("release")
_LEASE_MS: Final = round(LEASE_S * 1000)


class Leased(msgspec.Struct, frozen=True):
    """A lease, and what whoever had it before has written down. `at` None: the group is not there (any more). `begun`:
    a stream id, or ""."""

    number: int
    at: Checkpoint | None
    begun: str
    news: int


class Step(msgspec.Struct):
    """What is to be written down of a group in a partition: under this lease the `number`th, from 1 on.

    `changes` are (what, stream id, text) as the script has them.
    """

    partition: int
    lease: int
    number: int
    at: Checkpoint | None
    begun: str
    changes: list[tuple[str, str, str]]


class Noted(msgspec.Struct, frozen=True):
    """What became of a step.

    `news` None: the lease is another's, or what was written under it was lost, or (`broken`) what is there was not
    written by us. `full`: there is no room to park anything.
    """

    news: int | None
    full: bool = False
    broken: str | None = None


class Held(msgspec.Struct, frozen=True):
    """An event that is held: how often it was begun, whether it is begun and not ended (and, being a suspect, alone),
    and its last error."""

    stream_id: str
    attempts: int
    begun: bool
    error: str
    alone: bool = False


class Parked(msgspec.Struct, frozen=True):
    """Why an event was parked, and when (milliseconds of the server that parked it)."""

    attempts: int
    error: str
    at_ms: int


def held_text(attempts: int, error: str = "", *, begun: bool = False, alone: bool = False) -> str:
    """How what is held is stored."""
    return f"{attempts} {('a' if alone else 'b') if begun else 'w'} {error}"


class Groups:
    """The groups of one namespace."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server, self._keys = server, keys

    async def register(self, group: str, about: bytes) -> None:
        """Writes down that there is such a group, and what it is. Raises `UnavailableError`."""
        namespace = self._keys.namespace
        key = self._keys.groups
        await self._server.command(slot_of_tag(namespace), "HSET", key, group, about, writes=True)

    async def registered(self) -> dict[str, bytes]:
        """All groups, and what was written down of them. Raises `UnavailableError`."""
        flat = await self._server.command(slot_of_tag(self._keys.namespace), "HGETALL", self._keys.groups)
        return {name.decode(): about for name, about in zip(flat[::2], flat[1::2], strict=True)}

    async def enlist(self, group: str, partition: int, start: str) -> Checkpoint:
        """Where the group stands; it starts as `enlist.lua` says if it is new. Raises `UnavailableError`."""
        keys = self._keys
        names = [keys.logs[partition], keys.group(partition, group)]
        return Checkpoint.parse((await self._server.run(ENLIST, keys.slots[partition], names, [start])).reply)

    async def lease(self, group: str, partition: int, owner: str) -> Leased | None:
        """The lease for this owner; None if another has it. Raises `UnavailableError`."""
        number, at, begun, news = await self._lease(group, partition, owner, _LEASE_MS)
        if number is None:
            return None
        standing = Checkpoint.parse(at) if at else None
        return Leased(number, standing, (begun or b"").decode(), int(news or 0))

    async def give_back(self, group: str, partition: int, owner: str) -> None:
        """Ends this owner's lease. Raises `UnavailableError`."""
        await self._lease(group, partition, owner, 0)

    async def progress(self, group: str, steps: Sequence[Step]) -> list[Noted]:
        """Writes steps down, each if its lease is still the youngest. All are of one server. Raises
        `UnavailableError`."""
        keys, names, args, changes = self._keys, list[str](), list[Any](), list[str]()
        for step in steps:
            card = keys.group(step.partition, group)
            names += (card, f"{card}:held", f"{card}:parked")
            args += (
                step.lease,
                step.number,
                "" if step.at is None else step.at.encode(),
                step.begun,
                len(step.changes),
            )
            for change in step.changes:
                changes += change
        args = [_LEASE_MS, PARKED_MAX, *args, *changes]
        reply = (await self._server.run(PROGRESS, keys.slots[steps[0].partition], names, args, derived=True)).reply
        return [
            Noted(None, broken=str(news)) if isinstance(news, Exception) else Noted(news, bool(full))
            for news, full in zip(reply[::2], reply[1::2], strict=True)
        ]

    async def standing(self, group: str, partition: int) -> tuple[Checkpoint, dict[str, str]]:
        """Where the group stands in a partition, and its card. Raises `UnavailableError`."""
        flat = await self._server.command(self._keys.slots[partition], "HGETALL", self._keys.group(partition, group))
        card = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        at = Checkpoint.parse(card["at"]) if "at" in card else Checkpoint()
        return at, {name: value.decode(errors="replace") for name, value in card.items()}

    async def held(self, group: str, partition: int) -> list[Held]:
        """What is held, in the order of the log. Raises `UnavailableError`."""
        found = []
        for stream_id, text in await self._pairs(f"{self._keys.group(partition, group)}:held", partition):
            attempts, state, error = text.split(" ", 2)
            found.append(Held(stream_id, int(attempts), state != "w", error, state == "a"))
        return sorted(found, key=lambda held: place_of(held.stream_id))

    async def parked(self, group: str, partition: int) -> list[tuple[str, Parked]]:
        """What is parked, by stream id, in the order of the log. Raises `UnavailableError`."""
        pairs = await self._pairs(f"{self._keys.group(partition, group)}:parked", partition)
        found = [(stream_id, msgspec.json.decode(text, type=Parked)) for stream_id, text in pairs]
        return sorted(found, key=lambda pair: place_of(pair[0]))

    async def release(self, group: str, partition: int, what: str, stream_ids: Sequence[str]) -> list[str]:
        """Does with these what `release.lua` says; returns those with which it was done. Raises `UnavailableError`."""
        card, slot = self._keys.group(partition, group), self._keys.slots[partition]
        names, done = [card, f"{card}:held", f"{card}:parked"], list[str]()
        for at in range(0, len(stream_ids), RELEASE_BATCH_MAX):
            args = [what, HELD_MAX, *stream_ids[at : at + RELEASE_BATCH_MAX]]
            done += [name.decode() for name in (await self._server.run(RELEASE, slot, names, args)).reply]
        return done

    async def _pairs(self, key: str, partition: int) -> list[tuple[str, str]]:
        flat = await self._server.command(self._keys.slots[partition], "HGETALL", key)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return [(name.decode(), text.decode(errors="replace")) for name, text in pairs]

    async def _lease(self, group: str, partition: int, owner: str, lease_ms: int) -> Any:
        keys = self._keys
        card = keys.group(partition, group)
        return (await self._server.run(LEASE, keys.slots[partition], [card], [owner, lease_ms], derived=True)).reply
