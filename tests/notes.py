"""Projections for tests: one that uses every sort of change, and one that refuses events."""

from __future__ import annotations

from collections.abc import Sequence

from interrupts.codec import Line
from interrupts.events import Cancelled, Created, Expired, Resolved
from interrupts.views import View
from projections import PROJECTIONS, Projection
from projections.changes import Changes
from tests.plain_views import NEWEST


class Notes:
    """A projection that uses every sort of change: who waits for what, how often, and the newest of each session."""

    def __init__(self, version: int = 1, name: str = "notes") -> None:
        self.view = View(name, version)

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """Each event says something to each key."""
        for line in lines:
            event = line.event
            if isinstance(event, Created):
                changes.write("waits", event.id, event.session_id)
                changes.put([f"new:{event.session_id}"], event.id, line.sequence or 0)
                changes.keep_newest(f"new:{event.session_id}", NEWEST)
                changes.count("users", event.user_id)
            elif isinstance(event, Resolved | Cancelled | Expired):
                changes.erase("waits", event.id)
                changes.remove([f"new:{event.session_id}"], event.id)
                changes.count("users", event.user_id, -1)
                changes.count("users", f"{event.user_id} closed", 1)


class Refusing(Notes):
    """It can't fold some numbers of the log, until it is mended."""

    def __init__(self, *numbers: int, name: str = "refusing") -> None:
        super().__init__(name=name)
        self.numbers = set(numbers)

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """Raises for the chosen numbers."""
        for line in lines:
            if line.sequence in self.numbers:
                raise LookupError(f"no room for number {line.sequence}")
        super().fold(lines, changes)


ALL: tuple[Projection, ...] = (*PROJECTIONS, Notes())
