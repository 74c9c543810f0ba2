"""A view in memory, folded batch by batch: its keys are a plain model of the few commands that changes are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interrupts.codec import Line
from interrupts.views import PENDING, Checkpoint, Stopped
from projections.changes import Changes
from projections.folding import Entry, Folded, fold, stretch
from projections.pending import Pending
from projections.projection import Projection

PARTITION = 3
REFUSED = "refused"
"""The id of the interrupt whose creation the projection below refuses."""


class Keyspace:
    """Sorted sets and hashes by name. A key that has nothing in it is not there."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}

    def apply(self, changes: Changes) -> None:
        """Does what Redis would do, one command after the other, for each of its keys."""
        for command, keys, arguments in changes.commands():
            for key in keys:
                there = self.keys.setdefault(key, {})
                self._do(there, command, *arguments)
                if not there:
                    del self.keys[key]

    def _do(self, there: dict[str, Any], command: str, *arguments: Any) -> None:
        match command, arguments:
            case "ZADD", (score, member):
                there[member] = score
            case ("ZREM", (name,)) | ("HDEL", (name,)):
                there.pop(name, None)
            case "ZREMRANGEBYRANK", (start, stop):
                ranks = sorted(there, key=lambda member: (there[member], member))
                for member in ranks[slice(start, stop + 1 or None)]:
                    del there[member]
            case "HSET", (field, value):
                there[field] = value
            case "HINCRBY", (field, by):
                there[field] = int(there.get(field, 0)) + by
            case _:
                raise AssertionError(f"{command} {arguments} is none that changes are made of")


class Choosy:
    """A projection that refuses one event, and notes what it folds."""

    view = PENDING

    def __init__(self, inner: Projection | None = None) -> None:
        self._inner = inner or Pending()

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """As the other one does, but for the one."""
        if any(line.event.id == REFUSED for line in lines):
            raise LookupError("not this one")
        self._inner.fold(lines, changes)


@dataclass
class View:
    """A view in memory, as one who folds it batch by batch leaves it."""

    projection: Projection
    skipped: Mapping[str, str]
    at: Checkpoint
    stopped: Stopped | None
    keys: Keyspace

    def fold(self, entries: Sequence[Entry]) -> Folded:
        """Folds what follows in these entries."""
        folded = fold(self.projection, self.at, self.skipped, stretch(PARTITION, entries))
        self.keys.apply(folded.changes)
        self.at, self.stopped = folded.to, folded.stopped
        return folded

    @property
    def state(self) -> tuple[Checkpoint, Stopped | None, dict[str, dict[str, object]]]:
        """All there is to it."""
        return self.at, self.stopped, self.keys.keys


def view(projection: Projection, skipped: Mapping[str, str] | None = None) -> View:
    """One that nothing was folded into."""
    return View(projection, skipped or {}, Checkpoint(), None, Keyspace())


def folded_in(view: View, entries: Sequence[Entry], batches: Iterable[tuple[int, int]]) -> View:
    """Folds batch by batch, to the end or until it stands still. A batch begins at or before what follows."""
    for start, end in batches:
        if view.stopped is None:
            view.fold(entries[start:end])
    return view
