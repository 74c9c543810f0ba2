"""Comparing one live view, in one partition, with what the log says it should be."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from interrupts.scripts import script
from interrupts.views import Checkpoint, Generation, Stopped
from projections.counting import with_targets
from projections.folding import Entry, fold, stretch
from projections.model import Model
from projections.progress import Meter
from projections.projection import Projection
from projections.store import Standing, Views

SNAPSHOT: Final = script("snapshot")
READ_EVENTS: Final = 250
KEYS_AT_ONCE: Final = 50
MEMBERS_AT_ONCE: Final = 1_000
LOWEST: Final = "-inf"
HIGHEST: Final = "+inf"
ALL: Final = -1
HELD: Final = ("zset", "hash", "none")
WHOLE: Final = "as a whole"
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
            self.model.apply(with_targets(folded.changes, self._views.keys))
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
    view = projection.view
    for _ in range(TRIES_MAX):
        (standing,) = await views.standings([view.name], [partition])
        live = standing.card.live
        if live is None and standing.last_sequence == 0:
            return 0
        goal = f"version {view.version} up to event {standing.last_sequence}"
        found = None if live is None else f"version {live.version} up to event {live.at.sequence}"
        if live is not None and not live.known:
            found = f"{found} of a log that was rolled back since"
        elif live is not None and live.stopped is not None:
            found = f"{found}, and it stands still before {live.stopped.position}: {live.stopped.error}"
        if live is None or live.version != view.version or not live.known or live.stopped is not None:
            differs(
                Difference(f"view {view.name}", partition, WHOLE, None, goal, found, f"{partition}:{standing.last_id}")
            )
        if live is None or live.version != view.version or not live.known:
            return 0
        with contextlib.suppress(_Gone):
            return await _Check(views, projection, standing, live, meter).run(there, differs)
    why = "not compared: it was built anew again and again meanwhile"
    differs(Difference(f"view {view.name}", partition, WHOLE, None, "a view that stays", why, f"{partition}:0-0"))
    return 0


class _Check:
    """The comparison of one generation."""

    def __init__(
        self, views: Views, projection: Projection, standing: Standing, live: Generation, meter: Meter
    ) -> None:
        self._views = views
        self._what = f"view {projection.view.name}"
        self._partition = standing.partition
        self._generation = live.number
        self._card = views.keys.card(standing.partition, projection.view.name)
        self._begin = views.keys.generation(standing.partition, projection.view.name, live.number)
        self._expected = _Expected(views, projection, standing.partition, standing.card.skipped)
        self._at = live.at
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
            replies = await self._read(keys, LOWEST, HIGHEST, MEMBERS_AT_ONCE)
            for key, kind, held in zip(keys, replies[::2], replies[1::2], strict=True):
                await self._compare(key, kind.decode(), held)
        for difference in self._found.values():
            differs(difference)
        return len(ordered)

    async def _read(self, keys: Sequence[str], low: str, high: str, members: int) -> list[Any]:
        """Of each key its type and what it holds; what is expected is brought to the same event."""
        names = [self._card, *(self._begin + key for key in keys)]
        slot = self._views.keys.slots[self._partition]
        reply = await self._views.server.read(SNAPSHOT, slot, names, [self._generation, low, high, members])
        if reply[0] is None:
            raise _Gone
        goal = Checkpoint.parse(reply[0])
        await self._expected.to(goal, self._meter)
        if self._expected.at.sequence != goal.sequence:
            why = "" if self._expected.stopped is None else f" ({self._expected.stopped.error})"
            self._differs(
                WHOLE, None, f"a stop at event {self._expected.at.sequence}{why}", f"event {goal.sequence} as folded"
            )
        return list(reply[1:])

    async def _compare(self, key: str, kind: str, held: Any) -> None:
        """One key. A large sorted set comes in slices: each begins at the score with which the one before ended."""
        low = -math.inf
        while True:
            wanted = self._expected.model.keys.get(key, {})
            should_be = "zset" if any(isinstance(value, float) for value in wanted.values()) else "hash"
            if (wanted and kind != should_be) or kind not in HELD:
                should = f"a {should_be} of {len(wanted)}" if wanted else None
                self._differs(key, None, should, None if kind == "none" else f"a {kind}")
                return
            there = _pairs(held, scores=kind == "zset")
            whole = kind != "zset" or len(there) < MEMBERS_AT_ONCE
            high = math.inf if whole else max(there.values())
            if high == low:  # a whole slice of one score: all with that score at once
                _, held = await self._read([key], f"{low!r}", f"{low!r}", ALL)
                there, high = _pairs(held, scores=True), math.nextafter(low, math.inf)
            self._slice(key, there, low, high)
            if whole:
                return
            low = high
            raw, held = await self._read([key], f"{low!r}", HIGHEST, MEMBERS_AT_ONCE)
            kind = raw.decode()

    def _slice(self, key: str, there: dict[str, Any], low: float, high: float) -> None:
        """Compares what is there and what should be there, from one score on and up to another."""

        def inside(value: Any) -> bool:
            return (low == -math.inf or low <= value) and (high == math.inf or value < high)

        wanted = self._expected.model.keys.get(key, {})
        members = {name for held in (there, wanted) for name, value in held.items() if inside(value)}
        for member in sorted(members):
            if wanted.get(member) != there.get(member):
                self._differs(key, member, _shown(wanted.get(member)), _shown(there.get(member)))

    def _differs(self, key: str, member: str | None, should: str | None, there: str | None) -> None:
        known = self._found.get((key, member))
        if known is None or known.found is None:  # it may have been missed in one slice, and be in another
            position = f"{self._partition}:{self._expected.at.stream_id}"
            self._found[key, member] = Difference(self._what, self._partition, key, member, should, there, position)


def _pairs(held: Sequence[bytes] | None, *, scores: bool) -> dict[str, Any]:
    """Members with scores, or fields with values."""
    texts = [part.decode(errors="backslashreplace") for part in held or ()]
    return {name: float(value) if scores else value for name, value in zip(texts[::2], texts[1::2], strict=True)}


def _shown(value: object) -> str | None:
    return None if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)
