"""Comparing one live view, in one partition, with what the log says it should be."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from interrupts.scripts import script
from interrupts.views import Checkpoint, Stopped
from projections.folding import Entry, fold, stretch
from projections.model import Model
from projections.progress import Meter
from projections.projection import Projection
from projections.store import Standing, Views

SNAPSHOT: Final = script("snapshot")
READ_EVENTS: Final = 1_000
KEYS_AT_ONCE: Final = 200
MEMBERS_AT_ONCE: Final = 5_000
_LOWEST: Final = "-inf"
TRIES_MAX: Final = 5
"""How often a comparison begins again because the view was built anew meanwhile."""


class Difference(msgspec.Struct, frozen=True):
    """One thing that is not as the log says: where, what was expected and what found (None: nothing), and when."""

    what: str
    partition: int
    key: str
    member: str | None
    expected: str | None
    found: str | None
    position: str

    def __str__(self) -> str:
        member = "" if self.member is None else f" {self.member}"
        return (
            f"{self.what}, partition {self.partition}, {self.key}{member}: the log says "
            f"{'nothing' if self.expected is None else self.expected}, stored is "
            f"{'nothing' if self.found is None else self.found} (at {self.position})"
        )


Differs = Callable[[Difference], None]


async def entries(views: Views, partition: int, after: str, upto: str) -> Any:
    """The log's entries after one place and up to and with another, some at a time."""
    while after != upto:
        found: list[Entry] = await views.server.command(
            views.keys.slots[partition], "XRANGE", views.keys.logs[partition], f"({after}", upto, "COUNT", READ_EVENTS
        )
        if not found:
            return
        yield found
        after = found[-1][0].decode()


class _Expected:
    """A view in memory, which can be brought forward along the log."""

    def __init__(self, views: Views, projection: Projection, partition: int, skipped: dict[str, str]) -> None:
        self._views = views
        self._projection = projection
        self._partition = partition
        self._skipped = skipped
        self.model = Model()
        self.at = Checkpoint()
        self.stopped: Stopped | None = None

    async def to(self, goal: Checkpoint, meter: Meter) -> None:
        """Folds up to the goal, or to where it can't be folded any further."""
        async for found in entries(self._views, self._partition, self.at.stream_id, goal.stream_id):
            folded = fold(self._projection, self.at, self._skipped, stretch(self._partition, found))
            self.model.apply(folded.changes)
            self.at, self.stopped = folded.to, folded.stopped
            meter.add(len(found))
            if self.stopped is not None:
                return


class _Gone(Exception):  # noqa: N818 - it is no error, and never leaves this file
    """The generation that was looked at is no more: the view was built anew."""


async def check_view(
    views: Views, projection: Projection, partition: int, there: Iterable[str], meter: Meter, differs: Differs
) -> int:
    """Compares the live generation, by the log and by the keys that are there; returns how many keys it looked at."""
    for _ in range(TRIES_MAX):
        (standing,) = await views.standings([projection.view.name], [partition])
        live, version = standing.card.live, projection.view.version
        if live is None and standing.last_sequence == 0:
            return 0
        if live is None or live.version != version or standing.went_back:
            found = f"version {live.version} up to event {live.at.sequence}" if live else None
            found = f"{found} of a log that was rolled back since" if standing.went_back else found
            goal = f"version {version} up to event {standing.last_sequence}"
            what = f"view {projection.view.name}"
            differs(Difference(what, partition, "as a whole", None, goal, found, f"{partition}:{standing.last_id}"))
            return 0
        with contextlib.suppress(_Gone):
            return await _Check(views, projection, standing, meter).run(there, differs)
    return 0


class _Check:
    """The comparison of one generation."""

    def __init__(self, views: Views, projection: Projection, standing: Standing, meter: Meter) -> None:
        assert standing.card.live is not None  # looked at before
        self._views = views
        self._what = f"view {projection.view.name}"
        self._partition = standing.partition
        self._generation = standing.card.live.number
        self._card = views.keys.card(standing.partition, projection.view.name)
        self._begin = views.keys.generation(standing.partition, projection.view.name, self._generation)
        self._expected = _Expected(views, projection, standing.partition, standing.card.skipped)
        self._at = standing.card.live.at
        self._meter = meter
        self._found: dict[tuple[str, str | None], Difference] = {}

    async def run(self, there: Iterable[str], differs: Differs) -> int:
        """Compares all keys; returns how many."""
        await self._expected.to(self._at, self._meter)
        begin = self._begin
        ordered = sorted(
            self._expected.model.keys.keys() | {name.removeprefix(begin) for name in there if name.startswith(begin)}
        )
        for first in range(0, len(ordered), KEYS_AT_ONCE):
            keys = ordered[first : first + KEYS_AT_ONCE]
            for key, held in zip(keys, await self._read(keys, _LOWEST), strict=True):
                await self._compare(key, held)
        for difference in self._found.values():
            differs(difference)
        return len(ordered)

    async def _read(self, keys: Sequence[str], above: str) -> list[Any]:
        """What the keys hold; what is expected is brought to the same event."""
        names = [self._card, *(self._begin + key for key in keys)]
        slot = self._views.keys.slots[self._partition]
        reply = await self._views.server.read(SNAPSHOT, slot, names, [self._generation, above, MEMBERS_AT_ONCE])
        if reply[0] is None:
            raise _Gone
        goal = Checkpoint.parse(reply[0])
        await self._expected.to(goal, self._meter)
        if self._expected.at.sequence != goal.sequence:
            why = "" if self._expected.stopped is None else f" ({self._expected.stopped.error})"
            stop = f"a stop at event {self._expected.at.sequence}{why}"
            self._differs("as a whole", None, stop, f"event {goal.sequence} as folded")
        return list(reply[1:])

    async def _compare(self, key: str, held: Any) -> None:
        """One key; a large sorted set slice by slice."""
        above = _LOWEST
        while True:
            more = isinstance(held, list) and len(held) == 2 * MEMBERS_AT_ONCE
            upto = float(held[-1]) if more else float("inf")
            wanted = self._expected.model.keys.get(key, {})
            if more or above != _LOWEST:
                low = float("-inf") if above == _LOWEST else float(above[1:])
                wanted = {member: score for member, score in wanted.items() if low < score <= upto}
            for member, should, there in _differing(wanted, held):
                self._differs(key, member, should, there)
            if not more:
                return
            above = f"({held[-1].decode()}"
            (held,) = await self._read([key], above)

    def _differs(self, key: str, member: str | None, should: str | None, there: str | None) -> None:
        position = f"{self._partition}:{self._expected.at.stream_id}"
        self._found.setdefault(
            (key, member), Difference(self._what, self._partition, key, member, should, there, position)
        )


def _differing(wanted: dict[str, Any], held: Any) -> Iterable[tuple[str | None, str | None, str | None]]:
    """Member or field, what it should be, and what it is."""
    if not isinstance(held, list):
        if held or wanted:
            yield None, f"{len(wanted)} members" if wanted else None, f"a {held.decode()}" if held else None
        return
    scores = any(isinstance(value, float) for value in wanted.values())
    there: dict[str, Any] = {}
    for name, value in zip(held[::2], held[1::2], strict=True):
        there[name.decode()] = float(value) if scores else value.decode()
    for member in sorted(wanted.keys() | there.keys()):
        if wanted.get(member) != there.get(member):
            yield member, _shown(wanted.get(member)), _shown(there.get(member))


def _shown(value: object) -> str | None:
    return None if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)
