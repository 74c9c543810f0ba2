"""Folding a stretch of the log into one generation of a view: the pure part, which finds out what can't be folded.

What stops a view, in one partition: an event that can't be read, or that the projection refuses; a hole in the log's
numbers; an entry that is no event. What comes before it is folded and kept. The view then stands still, and says why,
until the code is mended or an operator says that this one event may be left out (or this one hole passed over).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from interrupts.codec import Line, LogLine, PublishedLine, decode_entry
from interrupts.errors import CorruptLogError
from interrupts.views import Checkpoint, Stopped, place_of
from projections.changes import Changes
from projections.projection import Projection

Entry = tuple[bytes, list[bytes]]
"""A stream id and its fields, as the server tells them."""
ERROR_CHARS_MAX = 500
EVENT = "event"
HOLE = "hole"
FOREIGN = "foreign"


class Unreadable(msgspec.Struct, frozen=True):
    """In place of an event that can't be read."""

    stream_id: str
    sequence: int
    error: str


class Stretch(msgspec.Struct):
    """Events that follow each other in one partition's log."""

    partition: int
    entries: Sequence[Entry]
    events: list[LogLine | Unreadable]
    whole: bool
    """Whether all can be read, and no number is missing."""

    @property
    def lines(self) -> list[Line]:
        """Those that can be read."""
        return [event for event in self.events if isinstance(event, Line)]

    @property
    def first(self) -> int:
        """The number of the first one."""
        return self.events[0].sequence or 0

    def checkpoint(self, index: int) -> Checkpoint:
        """The checkpoint on this event."""
        event, fields = self.events[index], self.entries[index][1]
        return Checkpoint.after(event.stream_id, event.sequence or 0, fields[3] if len(fields) == 4 else b"")


class Folded(msgspec.Struct):
    """What has to be changed to get to a checkpoint, and what stops the view there, if anything does."""

    to: Checkpoint
    changes: Changes
    stopped: Stopped | None = None


def stretch(partition: int, entries: Sequence[Entry]) -> Stretch:
    """The events in some entries of a partition's log."""
    events: list[LogLine | Unreadable] = []
    readable = True
    for stream_id, fields in entries:
        try:
            events.append(decode_entry(stream_id, fields))
        except CorruptLogError as error:
            readable = False
            events.append(Unreadable(stream_id.decode(), _number(fields), str(error)))
    first, last = events[0].sequence or 0, events[-1].sequence or 0
    return Stretch(partition, entries, events, readable and last - first + 1 == len(events))


def fold(projection: Projection, at: Checkpoint, skipped: Mapping[str, str], read: Stretch) -> Folded:
    """Folds what follows the checkpoint; nothing, if the stretch ends before it."""
    # By place and not by number: numbers begin again where somebody has tampered with the log, and that is a hole.
    start = bisect_right(read.events, at.place, key=lambda event: place_of(event.stream_id))
    if start >= len(read.events):
        return Folded(at, Changes())
    events = read.events[start:] if start else read.events
    asked_for = not skipped or all(event.stream_id not in skipped for event in events)
    if asked_for and read.whole and read.first + start == at.sequence + 1:
        changes = Changes()
        try:
            projection.fold(_of_interrupts(events), changes)
            changes.check()
            return Folded(read.checkpoint(-1), changes.seal())
        except Exception:  # noqa: BLE001, S110 - whatever it was: the second go finds out which event it was
            pass
    return _fold_singly(projection, at, skipped, read, start)


def _of_interrupts(events: Sequence[LogLine | Unreadable]) -> Sequence[Line]:
    """What views are made of. What was published is in the log and in no view. All must be readable."""
    if any(type(event) is PublishedLine for event in events):
        return [event for event in events if type(event) is Line]
    return events  # type: ignore[return-value]


def _fold_singly(
    projection: Projection, at: Checkpoint, skipped: Mapping[str, str], read: Stretch, start: int
) -> Folded:
    """Event by event, up to the first that can't be folded."""
    changes, stopped = Changes(), None
    for index in range(start, len(read.events)):
        event = read.events[index]
        problem = _problem(at, skipped, event) or _add(projection, skipped, event, changes)
        if problem is not None:
            what, error = problem
            error = error.encode(errors="replace").decode()[:ERROR_CHARS_MAX]
            stopped = Stopped(f"{read.partition}:{event.stream_id}", event.sequence or 0, error, what)
            break
        at = read.checkpoint(index)
    return Folded(at, changes.seal(), stopped)


def _problem(at: Checkpoint, skipped: Mapping[str, str], event: LogLine | Unreadable) -> tuple[str, str] | None:
    """Why this event can't come after that checkpoint, or can't be read: the sort of problem, and a sentence."""
    allowed, number = skipped.get(event.stream_id), event.sequence or 0
    if number == 0 and isinstance(event, Unreadable):
        return FOREIGN, event.error
    if number != at.sequence + 1 and allowed is None:
        return HOLE, (
            f"the log has a hole: number {number} follows number {at.sequence}. Events are missing there, or the log "
            "was rolled back and has grown again"
        )
    if isinstance(event, Unreadable) and allowed != EVENT:
        return EVENT, event.error
    return None


def _add(
    projection: Projection, skipped: Mapping[str, str], event: LogLine | Unreadable, changes: Changes
) -> tuple[str, str] | None:
    """Folds one event, or leaves it out if an operator has said so; returns why it can't be folded."""
    if skipped.get(event.stream_id) == EVENT:
        return None
    assert not isinstance(event, Unreadable)  # that is a problem before
    own = Changes()
    try:
        projection.fold(_of_interrupts([event]), own)
        own.check()
        changes.check_apart(own)
    except Exception as error:  # noqa: BLE001 - a fold may be anybody's code
        return EVENT, f"{type(error).__name__}: {error}"
    changes.add(own)
    return None


def _number(fields: Any) -> int:
    """The number of an entry whose event can't be read; 0 where even that is not there."""
    try:
        return int(dict(zip(fields[::2], fields[1::2], strict=False))[b"s"])
    except (KeyError, ValueError, TypeError):
        return 0
