"""Comparing what is counted of users with the log, and putting it right.

The log of the last day is counted in memory. Then some users' counts are read by one script, together with up to where
each log is counted when they are what they are; the count in memory is brought exactly there; then they are compared.
What is wrong is put right only if it still is what it was found to be: as whatever is counted changes it, nothing was
counted in between. So the views go on being folded and used, and a limit is never looser meanwhile than the counts are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from interrupts.errors import UnavailableError
from interrupts.rates import WINDOWS
from interrupts.rings import CREATED, DAY_MS, SIZES_MS, Tally
from interrupts.scripts import script
from interrupts.views import RATES, place_of
from projections.changes import Creation
from projections.counting import START, TARGETS, Place, created
from projections.folding import EVENT
from projections.names import key_names
from projections.progress import Meter
from projections.store import Standing, Views
from projections.view_check import Difference, Differs, entries

TALLIED: Final = script("tallied")
MEND: Final = script("mend")
USERS_AT_ONCE: Final = 50
TRIES_MAX: Final = 300
"""How often a user whose counts move meanwhile is looked at again."""

Marks = Mapping[int, Place]
"""By source partition, up to where its log is counted."""


class _Target(msgspec.Struct):
    """What should be counted in a partition, by user and group, up to some marks; and what comes after them."""

    marks: dict[int, Place] = {}
    users: dict[str, dict[str, Tally]] = {}
    later: dict[int, list[Creation]] = msgspec.field(default_factory=lambda: defaultdict(list))

    def add(self, source: int, creation: Creation) -> None:
        """One more of the log, in its order."""
        if creation.place > self.marks.get(source, START):
            self.later[source].append(creation)
            return
        groups = self.users.setdefault(creation.user_id, {})
        for group in creation.groups:
            groups.setdefault(group, Tally.parse(None)).add(creation.place[0])

    def to(self, marks: Marks) -> None:
        """Brings it forward."""
        for source, place in marks.items():
            self.marks[source] = max(place, self.marks.get(source, START))
        for source, waiting in list(self.later.items()):
            self.later[source] = []
            for creation in waiting:
                self.add(source, creation)


class RatesCheck:
    """One comparison of all partitions' counts."""

    def __init__(self, views: Views, meter: Meter, differs: Differs, *, mends: bool = False) -> None:
        self._views = views
        self._keys = views.keys
        self._meter = meter
        self._differs = differs
        self._mends = mends
        self._targets = {target: _Target() for target in range(views.keys.partitions)}
        self._read: dict[int, str] = {}
        self._left_out: dict[int, set[str]] = {}
        self.mended = 0

    async def run(self) -> int:
        """Compares, and puts right if that is wanted; returns how many users it looked at. Raises
        `UnavailableError`."""
        views, keys = self._views, self._keys
        standings = await views.standings([RATES.name], range(keys.partitions))
        # What the sources say first: what they have counted is noted where it is counted before they say so.
        said = {standing.partition: await self._said(standing) for standing in standings}
        readable = [target for target in self._targets if await self._mark(target)]
        for standing in standings:
            source = standing.partition
            await self._compare_marks(source, {target: said[source].get(target, START) for target in readable})
            self._left_out[source] = {place for place, what in standing.card.skipped.items() if what == EVENT}
            self._read[source] = f"{max(0, standing.now_ms - DAY_MS)}-0"
            await self._read_on(source, standing.last_id)
        users: dict[int, set[str]] = {target: set(counts.users) for target, counts in self._targets.items()}
        async for names in key_names(views.server, keys, range(keys.partitions), ":rate:*"):
            for target, found in names.items():
                users[target].update(name.removeprefix(keys.rates[target]) for name in found)
        for target in readable:
            ordered = sorted(users[target])
            for first in range(0, len(ordered), USERS_AT_ONCE):
                left: Sequence[str] = ordered[first : first + USERS_AT_ONCE]
                for _ in range(TRIES_MAX):
                    left = await self._check(target, left)
                    if not left:
                        break
                else:
                    raise UnavailableError(
                        f"The counts of {len(left)} users, {left[0][:64]!r} for one, changed {TRIES_MAX} times while "
                        "they were put right. Called again, this goes on."
                    )
        return sum(map(len, users.values()))

    async def _mark(self, target: int) -> bool:
        """Notes up to where the logs are counted in a partition; returns whether that can be read."""
        (reply,) = (await self._views.server.read(TALLIED, self._keys.slots[target], [self._keys.counted[target]], []))[
            1:
        ]
        try:
            self._targets[target].marks.update(_marks(reply))
        except (ValueError, TypeError):
            found = f"what can't be read ({reply!r:.64})"
            self._say(target, "counted", None, "up to where the logs are counted", found)
            return False
        return True

    async def _said(self, standing: Standing) -> dict[int, Place]:
        """By target, up to where a source says that it is counted."""
        if standing.card.live is None:
            return {}
        source = standing.partition
        name = self._keys.generation(source, RATES.name, standing.card.live.number) + TARGETS
        return _marks(await self._views.server.command(self._keys.slots[source], "HGETALL", name))

    async def _compare_marks(self, source: int, said: Marks) -> None:
        """Compares up to where a source says that it is counted with what stands beside the counts."""
        for target, place in said.items():
            marks = self._targets[target].marks
            mark = marks.get(source, START)
            if place > mark:
                expected, found = f"counted up to {place[0]}-{place[1]}", f"up to {mark[0]}-{mark[1]}"
                self._say(target, f"log of partition {source}", None, expected, found)
                marks[source] = place
                if self._mends:
                    self.mended += 1
                    command = "HSET", self._keys.counted[target], source, f"{place[0]} {place[1]}"
                    await self._views.server.command(self._keys.slots[target], *command, writes=True)

    async def _read_on(self, source: int, upto: str) -> None:
        """Counts a log up to an event."""
        if place_of(upto) <= place_of(self._read[source]):
            return
        async for found in entries(self._views, source, self._read[source], upto):
            kept = [entry for entry in found if entry[0].decode() not in self._left_out[source]]
            for creation in created(source, kept):
                self._targets[self._keys.partition_of_user(creation.user_id)].add(source, creation)
            self._meter.add(len(found))
        self._read[source] = upto

    async def _check(self, target: int, users: Sequence[str]) -> list[str]:
        """Compares some users; returns those who are to be looked at again, as they have moved on meanwhile."""
        keys, counts = self._keys, self._targets[target]
        names = [keys.counted[target], *(keys.rates[target] + user for user in users)]
        now_ms, flat, *fields = await self._views.server.read(TALLIED, keys.slots[target], names, [])
        marks = _marks(flat)
        for source, place in marks.items():
            await self._read_on(source, f"{place[0]}-{place[1]}")
        counts.to(marks)
        again: list[str] = []
        for user, found in zip(users, fields, strict=True):
            if isinstance(found, Exception):
                self._say(target, user, None, "counts", f"a key that can't be read ({found})")
                if self._mends:
                    await self._views.server.command(
                        keys.slots[target], "UNLINK", keys.rates[target] + user, writes=True
                    )
                    again.append(user)
                continue
            stored = _stored(found)
            should = counts.users.get(user, {})
            for group in sorted(should.keys() | stored.keys()):
                right, there = should.get(group) or Tally.parse(None), stored.get(group)
                differences = list(_differing(right, there, now_ms))
                if differences and self._mends:
                    if not await self._mend(target, user, group, there, right.text(now_ms)):
                        again.append(user)
                        break
                    self.mended += 1
                for window, expected, counted in differences:
                    self._say(target, f"{user} {group}", window, expected, counted)
        return again

    async def _mend(self, target: int, user: str, group: str, there: bytes | None, right: str) -> bool:
        args = [group, there or b"", right]
        name = self._keys.rates[target] + user
        written = await self._views.server.run(MEND, self._keys.slots[target], [name], args, derived=True)
        return bool(written.reply) or written.again

    def _say(self, target: int, key: str, member: str | None, expected: str, found: str) -> None:
        upto = max(self._targets[target].marks.values(), default=START)
        self._differs(Difference("rates", target, key, member, expected, found, f"{upto[0]}-{upto[1]}"))


def _marks(flat: Sequence[bytes]) -> dict[int, Place]:
    pairs = zip(flat[::2], flat[1::2], strict=True)
    return {int(source): place_of(mark.decode().replace(" ", "-")) for source, mark in pairs}


def _stored(flat: Sequence[Any]) -> dict[str, bytes]:
    """The tallies of creations in a user's counts, by group."""
    pairs = zip(flat[::2], flat[1::2], strict=True)
    fields = {name.decode(errors="backslashreplace"): text for name, text in pairs}
    return {name[1:]: text for name, text in fields.items() if name.startswith(CREATED)}


def _differing(right: Tally, there: bytes | None, now_ms: int) -> Iterable[tuple[str | None, str, str]]:
    """In which window what is counted is not what should be, and both in words."""
    try:
        stored = Tally.parse(there)
    except (ValueError, IndexError) as error:
        yield None, "creations", f"what can't be read ({error})"
        return
    for ring, window in enumerate(WINDOWS):
        expected, found = right.at(ring, now_ms), stored.at(ring, now_ms)
        if expected != found:
            yield window, _in_words(expected, ring), _in_words(found, ring)


def _in_words(cells: Mapping[int, int], ring: int) -> str:
    when = f", the latest in second {max(cells) * SIZES_MS[ring] // 1000}" if cells else ""
    return f"{sum(cells.values())} creations{when}"
