"""Counting creations where their users are: the one projection whose changes lie in other partitions than its events.

An event is in its session's partition, and what is counted of a user in the user's. One script can't do both. So what
was folded is first counted there, and only then the checkpoint moves here. Why each creation counts exactly once:

- beside the counts of a partition stands, for each source partition, up to where that one's log is counted, and both
  move in one script. So a step that is done again, by whomever, finds what it has done already, and leaves it out;
- the checkpoint moves when all of the step is counted, so nothing before it is missing anywhere.

A partition that has no creations in a step is not told of it. So beside the checkpoint here stands, for each target,
the last creation that was counted there. If a target has been rolled back to before that, the script says so at the
next creation, and what is missing is read from the log again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from interrupts.keys import Keys
from interrupts.limits import FOLD_EVENTS_MAX
from interrupts.rate_rules import reservation
from interrupts.rings import DAY_MS
from interrupts.scripts import script
from interrupts.store.server import Server
from interrupts.views import Checkpoint, place_of
from projections.changes import Changes, Creation
from projections.folding import Entry, Folded, stretch
from projections.rates import Rates
from projections.units import Unit

COUNT: Final = script("count")
TARGETS: Final = "targets"
"""The key of what was counted where, in a source's own view."""

Say = Callable[..., None]
Place = tuple[int, int]
START: Final[Place] = (0, 0)


def with_targets(changes: Changes, keys: Keys) -> Changes:
    """What a step changes in its own partition: the last creation that was counted in each of the others."""
    if not changes.creations:
        return changes
    last = {keys.partition_of_user(creation.user_id): creation.place for creation in changes.creations}
    noted = Changes()
    noted.add(changes)
    for target, place in sorted(last.items()):
        noted.write(TARGETS, str(target), _text(place))
    return noted


class Counting:
    """Counts the creations of a namespace's logs."""

    def __init__(self, keys: Keys, server: Server, say: Say) -> None:
        self._keys = keys
        self._server = server
        self._say = say
        self._counted: dict[int, dict[int, str]] = {}
        """By source and target, the last creation that was counted there."""
        self._at: dict[int, Checkpoint] = {}
        """By source the checkpoint at which that is so. At another one, others have gone on meanwhile."""

    async def step(self, unit: Unit, folded: Folded) -> None:
        """Counts the creations of a step. Raises `UnavailableError`."""
        source, creations = unit.partition, folded.changes.creations
        if creations:
            if self._at.get(source) != unit.at:
                name = self._keys.generation(source, unit.name, unit.generation) + TARGETS
                flat = await self._server.command(self._keys.slots[source], "HGETALL", name)
                pairs = zip(flat[::2], flat[1::2], strict=True)
                self._counted[source] = {int(target): place.decode() for target, place in pairs}
            await self._count(source, creations)
        elif self._at.get(source) != unit.at:
            return
        self._at[source] = folded.to

    async def _count(self, source: int, creations: Sequence[Creation]) -> None:
        by_target: dict[int, list[Creation]] = defaultdict(list)
        for creation in creations:
            by_target[self._keys.partition_of_user(creation.user_id)].append(creation)
        if self._server.route.one_server:
            parts: list[Mapping[int, Sequence[Creation]]] = [by_target]
        else:
            parts = [{target: some} for target, some in by_target.items()]
        await asyncio.gather(*(self._call(source, part) for part in parts if part))

    async def _call(self, source: int, by_target: Mapping[int, Sequence[Creation]]) -> None:
        keys = self._keys
        names = [keys.counted[target] for target in by_target]
        args: list[Any] = [source, len(by_target)]
        for target, creations in by_target.items():
            args += (len(creations), self._counted[source].get(target, ""), _text(creations[-1].place))
        for target, creations in by_target.items():
            rates, reserved = keys.rates[target], keys.reserved[target]
            for creation in creations:
                names += (rates + creation.user_id, reserved + creation.user_id)
                groups = "\n".join(creation.groups)
                args += (reservation(creation.interrupt_id, groups), groups, *creation.place)
        slot = keys.slots[next(iter(by_target))]
        reply = (await self._server.run(COUNT, slot, names, args, derived=True)).reply
        for (target, creations), outcome, damaged in zip(by_target.items(), reply[::2], reply[1::2], strict=True):
            for name in damaged:
                self._say(
                    "error",
                    "projections.counts_damaged",
                    key=name.decode(errors="backslashreplace"),
                    meaning="what this user creates is not counted; build it again: python -m workers rebuild rates",
                )
            if outcome:
                await self._again(source, target, outcome.decode(), creations[-1].place)
            else:
                self._counted[source][target] = _text(creations[-1].place)

    async def _again(self, source: int, target: int, mark: str, upto: Place) -> None:
        """Counts what a partition has lost: what the log has after the mark that is there."""
        self._counted[source].pop(target, None)
        # What is more than a day older than the last one counts nowhere.
        start = max(place_of(mark.replace(" ", "-")), (max(0, upto[0] - DAY_MS), 0))
        after, last = f"{start[0]}-{start[1]}", f"{upto[0]}-{upto[1]}"
        while found := await self._entries(source, after, last):
            creations = [
                creation
                for creation in created(source, found)
                if self._keys.partition_of_user(creation.user_id) == target
            ]
            if creations:
                await self._call(source, {target: creations})
            after = found[-1][0].decode()

    async def _entries(self, source: int, after: str, last: str) -> list[Entry]:
        command = "XRANGE", self._keys.logs[source], f"({after}", last, "COUNT", FOLD_EVENTS_MAX
        entries: list[Entry] = await self._server.command(self._keys.slots[source], *command)
        return entries


def created(source: int, entries: Sequence[Entry]) -> list[Creation]:
    """The creations in some entries of a log. What can't be read is left out: it has stopped the view before."""
    changes = Changes()
    Rates().fold(stretch(source, entries).lines, changes)
    return changes.creations


def _text(place: Place) -> str:
    return f"{place[0]} {place[1]}"
