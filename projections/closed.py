"""What is closed: by session, the newest first, and of each session only the newest."""

from __future__ import annotations

from collections.abc import Sequence

from interrupts.codec import Line
from interrupts.events import Cancelled, Expired, Resolved
from interrupts.limits import CLOSED_PER_SESSION_MAX
from interrupts.views import BY_SESSION, CLOSED
from projections.changes import Changes


class Closed:
    """A sorted set for each session, by the number of the event that closed."""

    view = CLOSED

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """An end puts it in."""
        for line in lines:
            event = line.event
            if isinstance(event, Resolved | Cancelled | Expired):
                key = BY_SESSION + event.session_id
                assert line.sequence is not None  # it was read from the log
                changes.put([key], event.id, line.sequence)
                changes.keep_newest(key, CLOSED_PER_SESSION_MAX)
