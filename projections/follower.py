"""Following the log: the loop that keeps views equal to it.

One round: read what comes after the checkpoints, fold it, and let one script apply the changes together with the new
checkpoints. Why the views are right, whatever happens:

- a crash, a lost reply, a time-out: before the script nothing has changed; after it the changes and the checkpoint are
  both there. Whoever goes on reads the checkpoint and continues behind it. A script that is sent again finds another
  checkpoint than the one it starts from, and changes nothing.
- two processes on one partition, or one that was frozen and comes back: for the same reason only one of them gets each
  step done. The other is told the checkpoint that is there, looks again, and goes on from it. That costs work, no more,
  so who folds which partition needs no lock, only an agreement (see `workers.sharing`).
- a log that was rolled back: the script looks whether the event of the checkpoint is still in the log. If not, the view
  stands still and says so; so do those who read it. It has to be built again (`rebuild`).
- an event that can't be folded: see `folding`. It stops one view in one partition; the others go on.

A view that is far behind the others of its partition (a new one, a new version, one that stood still) would hold them
up, as all are fed by one read. It catches up in a task of its own, until it is near enough to join them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from interrupts.errors import CorruptLogError, UnavailableError
from interrupts.limits import (
    CATCH_UP_EVENTS,
    FOLD_BYTES_MAX,
    FOLD_EVENTS_FIRST,
    FOLD_EVENTS_MAX,
    LOOK_AGAIN_S,
    LOOK_AT_ALL_EVERY,
    RETRY_PAUSE_FIRST_S,
    RETRY_PAUSE_MAX_S,
)
from interrupts.store.follow import Follow
from interrupts.store.lanes import UnreachableError
from interrupts.views import Stopped
from projections.apart import Apart
from projections.changes import Changes
from projections.folding import ERROR_CHARS_MAX, Entry, Folded, Stretch, fold, stretch
from projections.loading import Building, Loading
from projections.store import Outcome, Section, Views
from projections.units import Unit

Say = Callable[..., None]


class Follower:
    """Folds the events of some partitions into the units that `loading` names."""

    def __init__(self, views: Views, loading: Loading, say: Say) -> None:
        self._views = views
        self._loading = loading
        self._say = say
        self._tail = Follow(views.server, views.keys)
        self._wanted: frozenset[int] = frozenset()
        self._units: dict[int, list[Unit]] = {}
        self._apart = Apart(views, say)
        self._look_again_at = 0.0
        self._looks = 0
        self._told: dict[tuple[int, str], Stopped] = {}
        self._fresh: set[int] = set()
        """Partitions that were read to their end since it was found out what there is to fold."""
        self._event_bytes = FOLD_BYTES_MAX // FOLD_EVENTS_FIRST
        self._ending = False
        self.settled = asyncio.Event()
        """Set once all that is wanted is being folded, and what was in the log is in the views."""
        self.folded = 0
        """Events that were read and folded so far."""

    @property
    def resting(self) -> bool:
        """Whether something of it can't go on."""
        return any(unit.resting for units in self._units.values() for unit in units)

    def want(self, partitions: Iterable[int]) -> None:
        """From now on it folds these partitions. What is under way is brought to its end."""
        wanted = frozenset(partitions)
        if wanted != self._wanted:
            self._wanted = wanted
            self._units = {partition: units for partition, units in self._units.items() if partition in wanted}
            self._tail.wake()

    def stop(self) -> None:
        """Lets `run` return after the step in hand."""
        self._ending = True
        self._tail.wake()

    async def run(self) -> None:
        """Follows the log until it is stopped. What waiting can mend it waits for.

        Cancelled, a step that is on its way to the server is done or not, as a whole.
        """
        pause_s = RETRY_PAUSE_FIRST_S
        try:
            while not self._ending:
                try:
                    await self.step(block=True)
                    pause_s = RETRY_PAUSE_FIRST_S
                except (UnavailableError, UnreachableError, CorruptLogError) as error:
                    if pause_s == RETRY_PAUSE_FIRST_S:
                        self._say("warning", "projections.waiting", partitions=sorted(self._wanted), why=str(error))
                    self._units.clear()
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
        finally:
            await self.end()

    async def end(self) -> None:
        """Ends what it has begun besides."""
        await self._apart.end()
        await self._tail.close()

    async def step(self, *, block: bool) -> bool:
        """One round; returns whether there was something to do. Raises `UnavailableError`, `CorruptLogError`."""
        await self._load()
        starts = {
            partition: min((unit.at for unit in going), key=lambda at: at.sequence).stream_id
            for partition, units in self._units.items()
            if (going := [unit for unit in units if not unit.resting])
        }
        live = all(unit.live or unit.resting for units in self._units.values() for unit in units)
        fresh = live and starts.keys() <= self._fresh
        if fresh and self._wanted <= self._units.keys() and not self._apart.catching_up:
            self.settled.set()
        events = min(FOLD_EVENTS_MAX, FOLD_BYTES_MAX // self._event_bytes)
        count = max(1, events // max(1, len(starts)))
        found = await self._tail.read(starts, count, block=block and fresh, until_s=self._look_again_at)
        sections: list[Section] = []
        for partition in starts:
            entries = found.get(partition)
            read = stretch(partition, entries) if entries else None
            if entries:
                self._measure(entries)
            whole = entries is None or len(entries) < count
            sections += self._sections(partition, read, whole=whole)
            if whole:
                self._fresh.add(partition)
        if sections:
            noted = self._settle(sections, await self._views.apply(sections))
            if noted:  # what could not be applied is said on the card, for those who read the view
                await self._views.apply(noted)
        return bool(found or sections)

    def _measure(self, entries: Sequence[Entry]) -> None:
        """Counts what was read, and how large events are: the next read asks for as many as may be held at once."""
        self.folded += len(entries)
        size = sum(len(fields[-1]) for _, fields in entries) // len(entries)
        self._event_bytes = max(1, size, self._event_bytes // 2)

    def _sections(self, partition: int, read: Stretch | None, *, whole: bool) -> Iterable[Section]:
        for unit in self._units.get(partition, ()):
            if unit.resting:
                continue
            folded = fold(unit.projection, unit.at, unit.skipped, read) if read else Folded(unit.at, Changes())
            takes_over = whole and folded.stopped is None
            if folded.to != unit.at or folded.stopped != unit.stopped or (takes_over and not unit.live):
                yield unit, folded, self._loading.by if takes_over else ""
            elif folded.stopped is not None:
                unit.resting = True
            if folded.stopped is not None and self._told.get((partition, unit.name)) != folded.stopped:
                self._told[partition, unit.name] = folded.stopped
                self._tell(unit, "projections.stopped", folded.stopped.error, position=folded.stopped.position)

    def _settle(self, sections: Sequence[Section], outcomes: Sequence[Outcome]) -> list[Section]:
        """What became of each section; returns what is to be noted of those that failed."""
        noted: list[Section] = []
        for (unit, folded, _), outcome in zip(sections, outcomes, strict=True):
            if isinstance(outcome, int):
                took_over = outcome == 1 and not unit.live
                unit.at, unit.live, unit.resting = folded.to, outcome == 1, folded.stopped is not None
                unit.stopped = folded.stopped
                if folded.stopped is None:
                    self._told.pop((unit.partition, unit.name), None)
                if took_over:
                    self._units.pop(unit.partition, None)  # looked at again: there may be something to throw away
            elif isinstance(outcome, Exception) and not str(outcome).startswith("ROLLEDBACK"):
                unit.resting = True
                where = f"{unit.partition}:{folded.to.stream_id}"
                why = Stopped(where, folded.to.sequence, f"Redis refused: {outcome}"[:ERROR_CHARS_MAX], "key")
                if self._told.get((unit.partition, unit.name)) != why:
                    self._told[unit.partition, unit.name] = why
                    self._tell(unit, "projections.can_not_apply", why.error)
                noted.append((unit, Folded(unit.at, Changes(), why), ""))
            else:
                # Somebody else was quicker, the generation is gone, or the log was rolled back: it is looked at again.
                self._units.pop(unit.partition, None)
        return noted

    def _tell(self, unit: Unit, event: str, why: str, **fields: Any) -> None:
        self._say(
            "error",
            event,
            projection=unit.name,
            partition=unit.partition,
            why=why,
            meaning="this view stands still in this partition; the others go on"
            if unit.live
            else "the generation that is being built stands still in this partition; what is read does not change",
            **fields,
        )

    async def _load(self) -> None:
        """Finds out what there is to fold, where that is not known (any more), and now and then for all."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_again_at:
            self._look_again_at = now + LOOK_AGAIN_S
            self._looks += 1
            all_of_them = self._looks % LOOK_AT_ALL_EVERY == 0
            for partition, units in list(self._units.items()):
                if all_of_them or any(unit.resting for unit in units):
                    del self._units[partition]
        missing = sorted(self._wanted - self._units.keys())
        if not missing:
            return
        for partition, units in (await self._loading.units(missing)).items():
            if partition not in self._wanted:
                continue
            self._fresh.discard(partition)
            front = max((unit.at.sequence for unit in units if not unit.resting), default=0)
            near = [unit for unit in units if unit.resting or front - unit.at.sequence <= CATCH_UP_EVENTS]
            self._units[partition] = near
            for unit in units:
                if unit not in near:
                    self._apart.begin((partition, unit.name, unit.generation), self._catch_up(unit))
        self._apart.sweep(self._loading.take_marked())

    async def _catch_up(self, behind: Unit) -> None:
        """Folds one unit until it is at the end of the log; then it joins the others of its partition."""
        alone = Follower(self._views, Building(self._views, behind.projection, self._say, behind.generation), self._say)
        alone.want([behind.partition])
        try:
            while await alone.step(block=False):
                pass
        except Exception as error:  # noqa: BLE001 - whatever it was, it is said, and it is tried again
            self._say("warning", "projections.waiting", partitions=[behind.partition], why=repr(error)[:500])
            await asyncio.sleep(RETRY_PAUSE_MAX_S)
        finally:
            await alone.end()
            if alone.resting and behind.partition in self._units:
                behind.resting = True
                self._units[behind.partition].append(behind)
            else:
                self._units.pop(behind.partition, None)
                self._tail.wake()
