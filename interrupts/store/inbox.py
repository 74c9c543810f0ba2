"""Commands of producers, as they lie in Redis: by partition a stream of commands and one of replies.

A command is in its stream until it is decided, and deciding takes it away, in the same step that writes its event and
its reply (`decided.lua`). So the stream itself says up to where everything is done, and whatever is interrupted finds
there what is still to do.

Besides the two streams a partition has: a card, with the lease of whoever decides there (see `lease.lua`); the refusals
of the last day by command, a hash, and the order in which they may be forgotten; and what was parked, a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interrupts.keys import Keys, commands_key, slot_of_tag
from interrupts.limits import (
    COMMANDS_PARKED_MAX,
    LEASE_S,
    REFUSALS_KEPT_MAX,
    REFUSALS_KEPT_S,
    REPLIES_MAX,
)
from interrupts.scripts import script
from interrupts.store.groups import LEASE
from interrupts.store.log import READ, Log

DECIDED: Final = script("decided")
_LEASE_MS: Final = round(LEASE_S * 1000)
_KEPT: Final = (REPLIES_MAX, REFUSALS_KEPT_MAX, REFUSALS_KEPT_S, COMMANDS_PARKED_MAX)


class Lease(msgspec.Struct, frozen=True):
    """The right to decide in a partition: who has it, and which one it is."""

    owner: str
    number: int


class Written(msgspec.Struct, gc=False):
    """What is to be written down about one command: as `decided.lua` has it. `interrupt_id` is what `terms` are of."""

    stream_id: bytes
    id: str
    outcome: str
    body: bytes | str
    remember: str = ""
    park: bytes | str = ""
    terms: str = ""
    ttl_ms: int | str = ""
    event: bytes = b""
    interrupt_id: str = ""


class Done(msgspec.Struct, frozen=True, gc=False):
    """What became of a step: so many commands are done, the last event has this number. `why`: it ended early."""

    count: int
    now_ms: int
    sequence: int
    offset: int
    why: str
    confirmed: bool


class Looked(msgspec.Struct, frozen=True, gc=False):
    """The time in a partition, what the keys of interrupts hold, and the refusals that are remembered."""

    now_ms: int
    there: list[Any]
    refused: list[bytes | None]


class Inbox:
    """The commands of one namespace."""

    def __init__(self, log: Log) -> None:
        self._server = log.server
        self.keys: Keys = log.keys

    async def announce(self) -> None:
        """Writes down for producers where commands and replies go. Raises `UnavailableError`."""
        keys, said = self.keys, list[Any]()
        for partition in range(keys.partitions):
            said += (partition, keys.commands[partition], f"replies:{partition}", keys.replies[partition])
        command = ("HSET", commands_key(keys.namespace), "partitions", keys.partitions, *said)
        await self._server.command(slot_of_tag(keys.namespace), *command, writes=True)

    async def lease(self, partition: int, owner: str) -> Lease | None:
        """The lease for this owner; None if another has it. Raises `UnavailableError`."""
        number = await self._lease(partition, owner, _LEASE_MS)
        return None if number is None else Lease(owner, number)

    async def give_back(self, partition: int, owner: str) -> None:
        """Ends this owner's lease. Raises `UnavailableError`."""
        await self._lease(partition, owner, 0)

    async def look(self, partition: int, interrupt_ids: Sequence[str], names: Sequence[str]) -> Looked:
        """What these interrupts hold, and what is remembered under these names. Raises `UnavailableError`."""
        keys, server, slot = self.keys, self._server, self.keys.slots[partition]
        stored = [keys.logs[partition], *(keys.interrupts[partition] + name for name in interrupt_ids)]
        reading = server.read(READ, slot, stored, [1, len(interrupt_ids)])
        if not names:
            now_ms, *there = await reading
            return Looked(now_ms, there, [])
        asking = server.command(slot, "HMGET", f"{keys.commands[partition]}:refused", *names)
        looked, refused = await asyncio.gather(reading, asking)
        return Looked(looked[0], looked[1:], refused)

    async def write(
        self, partition: int, lease: Lease, first: str, decided: Sequence[Written], *, tell: bool, confirm: bool
    ) -> Done | None:
        """Writes down what was decided, as far as it still holds; None if the lease is another's, or the commands are
        gone. `confirm`: with the durability that is asked for. Raises `UnavailableError`."""
        keys, commands = self.keys, self.keys.commands[partition]
        names = [keys.logs[partition], keys.deadlines[partition], keys.marks[partition], commands, f"{commands}:card"]
        names += (keys.replies[partition], f"{commands}:refused", f"{commands}:refused:at", f"{commands}:parked")
        prefix = keys.interrupts[partition]
        args: list[Any] = [
            lease.owner,
            lease.number,
            _LEASE_MS,
            "1" if confirm else "",
            first,
            "1" if tell else "",
            *_KEPT,
        ]
        for one in decided:
            args += (
                one.stream_id,
                one.id,
                one.outcome,
                one.body,
                one.remember,
                one.park,
                one.terms,
                one.ttl_ms,
                one.event,
            )
            if one.terms:
                names.append(prefix + one.interrupt_id)
        written = await self._server.run(DECIDED, keys.slots[partition], names, args, derived=not confirm)
        count, now_ms, sequence, offset, why = written.reply
        if count is None:
            return None
        return Done(count, now_ms, sequence, offset, why.decode(errors="replace"), written.confirmed)

    async def parked(self, partition: int, count: int) -> list[tuple[str, bytes]]:
        """What was parked last, at most so many, the oldest of them first: by its id. Raises `UnavailableError`."""
        slot, name = self.keys.slots[partition], f"{self.keys.commands[partition]}:parked"
        entries = await self._server.command(slot, "XREVRANGE", name, "+", "-", "COUNT", count)
        return [(stream_id.decode(), fields[1]) for stream_id, fields in reversed(entries)]

    async def drop(self, partition: int, stream_ids: Sequence[str]) -> int:
        """Forgets these of what was parked; how many there were. Raises `UnavailableError`."""
        slot, name = self.keys.slots[partition], f"{self.keys.commands[partition]}:parked"
        return int(await self._server.command(slot, "XDEL", name, *stream_ids, writes=True)) if stream_ids else 0

    async def waiting(self, partition: int) -> int:
        """How many commands are not decided yet. Raises `UnavailableError`."""
        return int(await self._server.command(self.keys.slots[partition], "XLEN", self.keys.commands[partition]))

    async def _lease(self, partition: int, owner: str, lease_ms: int) -> int | None:
        card = f"{self.keys.commands[partition]}:card"
        slot = self.keys.slots[partition]
        number: int | None = (await self._server.run(LEASE, slot, [card], [owner, lease_ms], derived=True)).reply[0]
        return number
