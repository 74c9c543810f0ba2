"""The views in Redis, as those who fold them see them: cards, applied changes, generations begun and thrown away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from interrupts.keys import Keys
from interrupts.scripts import script
from interrupts.store.log import Log
from interrupts.store.server import ScriptCall
from interrupts.views import Card, place_of
from projections.folding import Folded
from projections.names import VIEWS as VIEW_KEYS
from projections.names import key_names
from projections.units import Unit

VIEWS: Final = script("views")
APPLY: Final = script("apply")
BEGIN: Final = script("begin")

Mark = tuple[int, str, int]
"""A generation: partition, view and number."""
Outcome = int | bytes | Exception
"""As `apply.lua` has it: 1 done and live, 0 done; the checkpoint that is there instead; an error."""


class Standing(msgspec.Struct, frozen=True):
    """How one view stands in one partition. `there`: the live checkpoint's event is still in the log."""

    partition: int
    view: str
    now_ms: int
    last_id: str
    last_sequence: int
    card: Card
    there: bool
    next_id: str
    """The first event that the live generation has not folded; "" if there is none."""

    @property
    def went_back(self) -> bool:
        """Whether the log is behind the view, or another one than was folded: it was rolled back."""
        return not self.there

    @property
    def behind_ms(self) -> int:
        """For how long the first event that is not folded has been waiting."""
        return max(0, self.now_ms - place_of(self.next_id)[0]) if self.next_id else 0


class Views:
    """All views of one namespace."""

    def __init__(self, log: Log) -> None:
        self.keys: Keys = log.keys
        self.server = log.server

    async def standings(self, views: Sequence[str], partitions: Iterable[int]) -> list[Standing]:
        """How these views stand, partition by partition. Raises `UnavailableError`, `CorruptLogError`."""
        keys, asked = self.keys, list(partitions)
        calls: list[ScriptCall] = [
            (keys.slots[p], [keys.logs[p], *(keys.card(p, view) for view in views)], []) for p in asked
        ]
        found: list[Standing] = []
        for partition, reply in zip(asked, await self.server.read_all(VIEWS, calls), strict=True):
            now_ms, last_id, last_sequence = reply[0], reply[1].decode(), int(reply[2])
            for number, view in enumerate(views):
                flat, there, next_id = reply[3 + 3 * number : 6 + 3 * number]
                card = Card.parse(flat)
                found.append(
                    Standing(partition, view, now_ms, last_id, last_sequence, card, bool(there), next_id.decode())
                )
        return found

    async def begin(self, partition: int, view: str, version: int, *, from_start: bool = False) -> bool:
        """Sees to it that a generation of this version is being built; False where a younger version is there.

        One that was begun is gone on with, unless the log was rolled back meanwhile, or `from_start` is asked for.
        """
        keys = [self.keys.logs[partition], self.keys.card(partition, view)]
        args = [version, "1" if from_start else ""]
        written = await self.server.run(BEGIN, self.keys.slots[partition], keys, args, derived=True)
        return written.reply is not None

    async def apply(self, sections: Sequence[tuple[Unit, Folded, bool]]) -> list[Outcome]:
        """Applies what was folded, for each unit all or nothing; the flag: it may take over. Raises `UnavailableError`.

        All units must be of one partition, or the namespace on one server.
        """
        keys = self.keys
        names: list[str] = []
        args: list[Any] = [len(sections)]
        for unit, folded, whole in sections:
            names += (keys.logs[unit.partition], keys.card(unit.partition, unit.name))
            stopped = msgspec.json.encode(folded.stopped) if folded.stopped else b""
            changes = folded.changes
            args += (unit.generation, unit.at.encode(), folded.to.encode(), "1" if whole else "", stopped)
            args += (changes.length, len(changes.keys), len(changes.arguments))
        for unit, folded, _ in sections:
            begin = keys.generation(unit.partition, unit.name, unit.generation)
            names += [begin + key for key in folded.changes.keys]
            args += folded.changes.arguments
        slot = keys.slots[sections[0][0].partition]
        outcomes: list[Outcome] = (await self.server.run(APPLY, slot, names, args, derived=True)).reply
        return outcomes

    async def skip(self, partition: int, view: str, stream_id: str, what: str) -> None:
        """Writes down that an operator wants this event left out, or the hole before it passed over."""
        card = self.keys.card(partition, view)
        await self.server.command(self.keys.slots[partition], "HSET", card, f"skip:{stream_id}", what, writes=True)

    async def drop(self, marks: Collection[Mark]) -> int:
        """Throws away generations that are marked for it; returns how many keys. Interrupted, it can be called again.

        Raises `UnavailableError`.
        """
        removed = 0
        keys, server = self.keys, self.server
        begins = tuple(keys.generation(*mark) for mark in marks)
        async for found in key_names(server, keys, {partition for partition, _, _ in marks}, VIEW_KEYS):
            doomed = {p: [name for name in names if name.startswith(begins)] for p, names in found.items()}
            if server.route.one_server:  # in a cluster each slot has a command of its own
                doomed = {next(iter(doomed)): [name for names in doomed.values() for name in names]}
            for partition, names in doomed.items():
                if names:
                    removed += await server.command(keys.slots[partition], "UNLINK", *names, writes=True)
        for partition, view, generation in marks:
            card = keys.card(partition, view)
            await server.command(keys.slots[partition], "HDEL", card, f"drop:{generation}", writes=True)
        return removed

    async def all_names(self, partition: int) -> list[str]:
        """The names of all keys of a partition."""
        found: set[str] = set()
        async for names in key_names(self.server, self.keys, [partition]):
            found.update(names[partition])
        return sorted(found)
