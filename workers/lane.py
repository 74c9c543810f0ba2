"""What a group of reactions has in hand of one partition: bookkeeping, without input or output.

Events come in the order of the log, and are done in any order but their session's. Three things follow from that:

- The *window* has what was read and is not settled. The place up to which everything is settled is what is written
  down; whoever goes on after a crash begins there.
- What fails, takes long, or stands behind such an event in its session is *held*: written down by itself, so that the
  window can move on past it. It is settled, and not done.
- `begun` says up to where handlers may have been started. It is written down before they are, so that after a crash it
  is known which events may have been the reason.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

from interrupts.limits import HELD_MAX, REACT_BYTES_MAX, REACT_UNDONE_MAX
from interrupts.store.groups import Held, Leased, Step, held_text
from interrupts.views import Checkpoint
from workers.event import Event
from workers.item import Entry, Item, Session

_DIGITS_MAX = 16


class Lane:
    """One partition, under one lease."""

    def __init__(self, partition: int, leased: Leased, at: Checkpoint) -> None:
        self.partition = partition
        self.lease = leased.number
        self.news = leased.news
        self.read_to: Entry | Checkpoint = at
        self.good_until = 0.0
        """Until when the lease is surely ours, on the loop's clock."""
        self.lost = False
        self.closing = False
        self.held = 0
        self.bytes = 0
        """Of the events that are in hand here."""
        self.starved = False
        """It was not read from, as there was no room."""
        self.told_full = False
        self.sessions: dict[str, Session] = {}
        self.held_ids: set[str] = set()
        self.left_ids: set[str] | None = None
        """What was held and is not any more, since it is being asked what is held."""
        self.in_hand: set[Item] = set()
        self._emptied = asyncio.Event()
        self._window: deque[Item] = deque()
        self.written = at
        """Up to where all is settled, as it was last written down."""
        self._begun = leased.begun
        self._steps = 0
        self._changes: list[tuple[str, str, str]] = []

    def is_given_up(self) -> bool:
        """Whether nothing is begun any more."""
        return self.lost or self.closing

    @property
    def full(self) -> bool:
        """Whether so much is held, or so large, that it reads no further."""
        return self.held >= HELD_MAX or self.bytes >= REACT_BYTES_MAX

    @property
    def hungry(self) -> bool:
        """Whether it may read on."""
        return not (self.closing or self.lost or self.full) and len(self._window) < REACT_UNDONE_MAX

    @property
    def undone(self) -> int:
        """How many events were read and are not settled."""
        return len(self._window)

    @property
    def read_id(self) -> str:
        """The stream id of the last event that was read."""
        read_to = self.read_to
        return read_to.stream_id if isinstance(read_to, Checkpoint) else read_to[0].decode()

    @property
    def dirty(self) -> bool:
        """Whether there is something to write down."""
        if self._changes or self._begun != self.read_id:
            return True
        return bool(self._window and self._window[0].settled) or (not self._window and self._is_behind())

    def _is_behind(self) -> bool:
        return self.written.stream_id != self.read_id

    def came(self, event: Event, before: Entry | Checkpoint) -> Item:
        """An event was read. Its place is in the window; it is queued when `begun` is written down."""
        item = Item(event, before)
        self.bytes += event.size
        self._window.append(item)
        return item

    def queue(self, item: Item) -> Session:
        """It may be begun when all before it in its session are done."""
        session = item.session = self._session(item.event.session_id)
        item.queued = True
        if session.held:
            self.hold(item)
        session.items.append(item)
        return session

    def returned(self, event: Event, held: Held) -> Item:
        """An event that is held, be it by others before, is in hand again. It has its place in its session's order."""
        session = self._session(event.session_id)
        item = Item(event, None)
        self.bytes += event.size
        item.session = session
        item.attempts, item.suspect = held.attempts, held.begun
        item.queued = item.held = item.settled = True
        self._is_held(item)
        items = session.items
        if not items or _place(items[-1]) < _place(item):
            items.append(item)
        else:
            # What is being handled stays in front.
            first = 1 if session.waits else 0
            waiting = sorted([*list(items)[first:], item], key=_place)
            session.items = deque([*list(items)[:first], *waiting])
        return item

    def hold(self, item: Item, error: str = "", *, begun: bool = False) -> None:
        """It is written down by itself, with all that follow it in its session. `begun`: its handler is at work."""
        self.note("hold", item, held_text(item.attempts, error, begun=begun, alone=item.alone))
        if item.held:
            return
        item.held = item.settled = True
        self._is_held(item)
        for other in item.session.items:
            if not other.held:
                self.note("hold", other, held_text(0))
                other.held = other.settled = True
                self._is_held(other)

    def done(self, item: Item) -> None:
        """It has been handled."""
        self._leaves(item)
        if item.held:
            self.note("done", item, "")

    def parked(self, item: Item, text: str) -> None:
        """It is given up for now."""
        self._leaves(item)
        self.note("park", item, text)

    def out_of_hand(self, item: Item) -> None:
        """Its handler is not at work any more."""
        self.in_hand.discard(item)
        if not self.in_hand:
            self._emptied.set()

    async def idle(self, within_s: float) -> bool:
        """Waits until nothing is in hand; whether that was in time."""
        self._emptied.clear()
        if self.in_hand:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._emptied.wait()
        return not self.in_hand

    def refused(self, stream_id: str, text: str) -> None:
        """What can't be handled, as it can't be read, is parked as it is."""
        self._changes.append(("park", stream_id, text))

    def note(self, what: str, item: Item, text: str) -> None:
        """To be written down with the next step."""
        self._changes.append((what, item.event.stream_id, text))

    def step(self) -> Step:
        """What is to be written down now; it counts as written from here on."""
        window = self._window
        while window and window[0].settled:
            window.popleft()
        reached = checkpoint((window[0].before if window else None) or self.read_to)
        moved = reached if reached.stream_id != self.written.stream_id else None
        self.written = reached
        self._begun = self.read_id
        changes, self._changes = self._changes, []
        self._steps += 1
        return Step(self.partition, self.lease, self._steps, moved, self._begun, changes)

    def let_go(self) -> None:
        """At the end: whatever is not done is held, so that nothing that is done comes again."""
        for item in list(self._window):
            if not item.queued:
                self.queue(item)
            if not item.settled:
                self.hold(item)

    def _session(self, key: str) -> Session:
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = Session(key, self)
        return session

    def _is_held(self, item: Item) -> None:
        item.session.held += 1
        self.held += 1
        self.held_ids.add(item.event.stream_id)

    def _leaves(self, item: Item) -> None:
        session = item.session
        item.settled = True
        self.bytes -= item.event.size
        session.items.popleft()
        if item.held:
            session.held -= 1
            self.held -= 1
            self.held_ids.discard(item.event.stream_id)
            if self.left_ids is not None:
                self.left_ids.add(item.event.stream_id)
        if not session.items:
            self.sessions.pop(session.key, None)


def checkpoint(before: Entry | Checkpoint) -> Checkpoint:
    """The checkpoint on an entry of the log, also on one that is no event."""
    if isinstance(before, Checkpoint):
        return before
    stream_id, fields = before
    sequence = int(fields[1]) if fields[1].isdigit() and len(fields[1]) < _DIGITS_MAX else 0
    return Checkpoint.after(stream_id.decode(), sequence, fields[3] if len(fields) > 3 else b"")


def _place(item: Item) -> tuple[int, int]:
    ms, _, number = item.event.stream_id.partition("-")
    return int(ms), int(number)
