"""The views in Redis, as those who fold them see them: cards, applied changes, generations begun and thrown away."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from interrupts.keys import Keys
from interrupts.ports import Ports
from interrupts.scripts import script
from interrupts.store.log import Log
from interrupts.store.server import ScriptCall
from interrupts.views import Card
from projections.counting import Counting, Say, with_targets
from projections.folding import Folded
from projections.names import key_names
from projections.units import Unit

VIEWS: Final = script("views")
APPLY: Final = script("apply")
BEGIN: Final = script("begin")

Section = tuple[Unit, Folded, str]
"""What was folded into a unit, and by whom it may take over, if it may."""
default_say: Final[Say] = Ports().say
Outcome = int | bytes | Exception
"""As `apply.lua` has it: 1 done and live, 0 done; the checkpoint that is there instead; an error."""


class Standing(msgspec.Struct, frozen=True):
    """How one view stands in one partition. `first_id`: the first event of the log; "" if there is none."""

    partition: int
    view: str
    now_ms: int
    last_id: str
    last_sequence: int
    first_id: str
    card: Card


class Views:
    """All views of one namespace."""

    def __init__(self, log: Log, say: Say = default_say) -> None:
        self.keys: Keys = log.keys
        self.server = log.server
        self._counting = Counting(log.keys, log.server, say)

    async def standings(self, views: Sequence[str], partitions: Iterable[int]) -> list[Standing]:
        """How these views stand, partition by partition. Raises `UnavailableError`, `CorruptLogError`."""
        keys, asked = self.keys, list(partitions)
        calls: list[ScriptCall] = [
            (keys.slots[p], [keys.logs[p], *(keys.card(p, view) for view in views)], []) for p in asked
        ]
        found: list[Standing] = []
        for partition, reply in zip(asked, await self.server.read_all(VIEWS, calls), strict=True):
            now_ms, last_id, last_sequence, first_id = reply[:4]
            for number, view in enumerate(views):
                card = Card.parse(*reply[4 + 2 * number : 6 + 2 * number])
                found.append(
                    Standing(partition, view, now_ms, last_id.decode(), int(last_sequence), first_id.decode(), card)
                )
        return found

    async def begin(self, partition: int, view: str, version: int, *, from_start: bool = False) -> int | None:
        """The number of the generation in which this version is built; None where a younger version is there.

        One that was begun is gone on with, unless the log was rolled back meanwhile, or `from_start` is asked for.
        """
        keys = [self.keys.logs[partition], self.keys.card(partition, view)]
        args = [version, "1" if from_start else ""]
        written = await self.server.run(BEGIN, self.keys.slots[partition], keys, args, derived=True)
        return written.reply if written.reply is None else int(written.reply)

    async def apply(self, sections: Sequence[Section]) -> list[Outcome]:
        """Applies what was folded, for each unit all or nothing; the word says by whom it may take over.

        All units must be of one partition, or the namespace on one server. Raises `UnavailableError`.
        """
        keys = self.keys
        # First of all: the checkpoint moves when they are counted.
        crossing = [(unit, folded) for unit, folded, _ in sections if unit.projection.view.crosses]
        if crossing:
            await asyncio.gather(*(self._counting.step(unit, folded) for unit, folded in crossing))
        names: list[str] = []
        args: list[Any] = [len(sections)]
        own = [with_targets(folded.changes, keys) for _, folded, _ in sections]
        for (unit, folded, whole), changes in zip(sections, own, strict=True):
            names += (keys.logs[unit.partition], keys.card(unit.partition, unit.name))
            stopped = msgspec.json.encode(folded.stopped) if folded.stopped else b""
            args += (unit.generation, unit.at.encode(), folded.to.encode(), whole, stopped)
            args += (changes.length, len(changes.keys), len(changes.arguments))
        for (unit, _, _), changes in zip(sections, own, strict=True):
            begin = keys.generation(unit.partition, unit.name, unit.generation)
            names += [begin + key for key in changes.keys]
            args += changes.arguments
        slot = keys.slots[sections[0][0].partition]
        outcomes: list[Outcome] = (await self.server.run(APPLY, slot, names, args, derived=True)).reply
        return outcomes

    async def skip(self, partition: int, view: str, stream_id: str, what: str) -> None:
        """Writes down that an operator wants this event left out, or the hole before it passed over."""
        card = self.keys.card(partition, view)
        await self.server.command(self.keys.slots[partition], "HSET", card, f"skip:{stream_id}", what, writes=True)

    async def sweep(self, view: str, partitions: Collection[int]) -> int:
        """Throws away all data of a view that are of no generation on its card; returns how many keys.

        That is what others have taken over from, and what is left of a card that was lost. Interrupted, it can be
        called again. Raises `UnavailableError`.
        """
        keys, server, removed = self.keys, self.server, 0
        cards = {standing.partition: standing.card for standing in await self.standings([view], partitions)}
        stems = {partition: f"{keys.card(partition, view)}:" for partition in partitions}
        async for found in key_names(server, keys, partitions, f":view:{view}:*"):
            doomed = {
                partition: [name for name in names if _is_left(name.removeprefix(stems[partition]), cards[partition])]
                for partition, names in found.items()
            }
            if server.route.one_server:  # in a cluster each slot has a command of its own
                doomed = {next(iter(doomed)): [name for names in doomed.values() for name in names]}
            for partition, names in doomed.items():
                if names:
                    removed += await server.command(keys.slots[partition], "UNLINK", *names, writes=True)
        for partition, card in cards.items():
            marks = [f"drop:{number}" for number in card.dropping]
            if marks:
                name = keys.card(partition, view)
                await server.command(keys.slots[partition], "HDEL", name, *marks, writes=True)
        return removed


def _is_left(name: str, card: Card) -> bool:
    """Whether a key, without its stem, is of no generation on the card. Later ones than the card has are not."""
    number = name.partition(":")[0]
    kept = {generation.number for generation in card.generations}
    return number.isdecimal() and int(number) <= card.last and int(number) not in kept
