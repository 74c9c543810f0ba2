"""Reading for a replay: the stretch of each partition, what is chosen of it, and how far that was handed on.

A replay ends where the log ended when it began. In each partition events come in its order; `merged` puts partitions
together by time. An event counts as handed on when that is said (`done`), not when it was read: so a replay that is
interrupted knows from where to go on (`places`) without leaving anything out.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import msgspec

from interrupts import CorruptLogError, InterruptService, Position
from interrupts.views import place_of
from projections.progress import Meter, Report
from workers.event import Event
from workers.log_entries import Entry, entries_between, event_of, id_of, newest_entry, number_of, size_of
from workers.replay_choice import Choice, Chooser

UNREADABLE_KEPT_MAX: Final = 1_000
"""Unreadable entries that are kept; all are counted and told."""
PAGE_FIRST: Final = 50
PAGE_MAX: Final = 500
PAGE_BYTES: Final = 512 * 1024
"""What a page of a partition should have at most, as far as the sizes of the one before let expect."""
Tell = Callable[[str], None]
"""Says something to whoever watches."""


class Unreadable(msgspec.Struct, frozen=True):
    """An entry of the log that can't be read, and why."""

    position: str
    error: str


class _Stretch(msgspec.Struct):
    """One partition: what is to be looked at, and how far that is. `undone` has for each event that was read, and not
    handed on, how many entries of the log it stands for."""

    first: tuple[int, int]
    last: str | None
    reached: tuple[int, int] | None = None
    undone: dict[str, int] = {}


class Replay:
    """One replay of one choice. Call `begin` first. `upto` bounds partitions besides, by the last stream id."""

    def __init__(
        self,
        service: InterruptService,
        choice: Choice,
        *,
        wanted: Callable[[str], bool] | None = None,
        upto: Mapping[int, str] | None = None,
        report: Report | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._service, self._choice, self._report, self._tell = service, choice, report, tell
        self._upto = upto or {}
        self._chosen = Chooser(choice)
        self._wanted = wanted
        self._stretches: dict[int, _Stretch] = {}
        self._meter = Meter("replaying", 0, report)
        self.looked_at = 0
        self.types: Counter[str] = Counter()
        """What was handed on, by type."""
        self.unreadables = 0
        self.unreadable: list[Unreadable] = []

    async def begin(self) -> None:
        """Finds out how much there is to look at. Raises `ValidationError`, `UnavailableError`."""
        partitions = self._choice.partitions(self._service)
        total = sum(await asyncio.gather(*map(self._find, partitions)))
        self._meter = Meter("replaying", total, self._report)

    @property
    def partitions(self) -> list[int]:
        """Those in which there is something to look at."""
        return [partition for partition, stretch in self._stretches.items() if stretch.last is not None]

    @property
    def count(self) -> int:
        """How many events were handed on."""
        return self.types.total()

    async def _find(self, partition: int) -> int:
        choice, service = self._choice, self._service
        first, last = choice.first_in(partition), choice.last_in(partition)
        stretch = self._stretches[partition] = _Stretch(first, None)
        begin = f"{first[0]}-{first[1]}"
        upto = self._upto.get(partition)
        newest = await newest_entry(service, partition, last, begin)
        if newest is not None and upto is not None and place_of(id_of(newest)) > place_of(upto):
            newest = await newest_entry(service, partition, upto, begin)
        if newest is None:
            return 0
        stretch.last = id_of(newest)
        (oldest,) = await entries_between(service, partition, begin, stretch.last, 1)
        return max(1, (number_of(newest) or 0) - (number_of(oldest) or 0) + 1)

    async def pages(self, partition: int) -> AsyncIterator[list[Event]]:
        """What is chosen of a partition, some at a time. Raises `UnavailableError`."""
        stretch, count = self._stretches[partition], PAGE_FIRST
        if stretch.last is None:
            return
        begin = f"{stretch.first[0]}-{stretch.first[1]}"
        while entries := await entries_between(self._service, partition, begin, stretch.last, count):
            chosen = self._choose(partition, stretch, entries)
            if chosen:
                yield chosen
            if len(entries) < count:
                return
            begin = f"({entries[-1][0].decode()}"
            mean = sum(map(size_of, entries)) // len(entries)
            count = max(1, min(PAGE_MAX, PAGE_BYTES // max(1, mean)))

    async def merged(self) -> AsyncIterator[Event]:
        """What is chosen of all partitions, by time; events of one moment by partition. Raises `UnavailableError`."""
        pages = {partition: self.pages(partition) for partition in self.partitions}
        ready: dict[int, deque[Event]] = {}
        heads: list[tuple[int, int]] = []

        async def fill(partition: int) -> bool:
            ready[partition] = deque(await anext(pages[partition], None) or ())  # a tuple as its default breaks anext
            return bool(ready[partition])

        for partition in pages:
            if await fill(partition):
                heapq.heappush(heads, (_ms(ready[partition][0]), partition))
        while heads:
            _, partition = heads[0]
            waiting = ready[partition]
            yield waiting.popleft()
            if waiting or await fill(partition):
                heapq.heapreplace(heads, (_ms(ready[partition][0]), partition))
            else:
                heapq.heappop(heads)

    def done(self, event: Event) -> None:
        """It was handed on."""
        self.types[event.event_type] += 1
        self.passed(event)

    def passed(self, event: Event) -> None:
        """It need not be looked at again."""
        self._look(self._stretches[event.partition].undone.pop(event.stream_id))

    def refused(self, event: Event, error: CorruptLogError) -> None:
        """It can't be read, as was found when all of it was needed."""
        self._unreadable(event.position, error)
        self.passed(event)

    def end(self) -> None:
        """Reports once more how far it is."""
        self._meter.tell()

    def places(self) -> list[str]:
        """From where to go on, for each partition: the first event there that was not handed on, or what comes."""
        found = []
        for partition, stretch in sorted(self._stretches.items()):
            if stretch.undone:
                place = place_of(next(iter(stretch.undone)))
            elif stretch.reached is not None:
                place = stretch.reached[0], stretch.reached[1] + 1
            else:
                place = stretch.first
            found.append(str(Position(partition, *place)))
        return found

    def _choose(self, partition: int, stretch: _Stretch, entries: Sequence[Entry]) -> list[Event]:
        chosen, weight = [], 0
        for entry in entries:
            weight += 1
            try:
                event = event_of(partition, entry)
                if (self._wanted is None or self._wanted(event.event_type)) and self._chosen(event):
                    stretch.undone[event.stream_id] = weight
                    chosen.append(event)
                    weight = 0
            except CorruptLogError as error:
                self._unreadable(f"{partition}:{entry[0].decode()}", error)
        stretch.reached = place_of(entries[-1][0].decode())
        if weight:
            self._look(weight)
        return chosen

    def _unreadable(self, position: str, error: CorruptLogError) -> None:
        self.unreadables += 1
        if len(self.unreadable) < UNREADABLE_KEPT_MAX:
            self.unreadable.append(Unreadable(position, str(error)[:500]))
        if self._tell is not None:
            self._tell(f"left out: {position} can't be read: {str(error)[:500]}")

    def _look(self, count: int) -> None:
        self.looked_at += count
        self._meter.add(count)


def _ms(event: Event) -> int:
    return int(event.stream_id.partition("-")[0])
