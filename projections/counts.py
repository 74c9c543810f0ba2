"""How many there are, by kind and status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from interrupts.codec import Line
from interrupts.events import Cancelled, Created, Event, Expired, Resolved
from interrupts.model import InterruptStatus
from interrupts.views import COUNTED, COUNTS
from projections.changes import Changes

STATUS_AFTER: Final[dict[type[Event], InterruptStatus]] = {
    Created: InterruptStatus.PENDING,
    Resolved: InterruptStatus.RESOLVED,
    Cancelled: InterruptStatus.CANCELLED,
    Expired: InterruptStatus.EXPIRED,
}


class Counts:
    """One hash with a number for each kind and status."""

    view = COUNTS

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """A creation is one more that is pending; an end is one less, and one more that is closed."""
        seen = Counter((type(line.event), line.event.kind) for line in lines)
        for (event, kind), number in seen.items():
            after = STATUS_AFTER.get(event)
            if after is None:
                continue
            changes.count(COUNTED, f"{kind.value}:{after.value}", number)
            if after is not InterruptStatus.PENDING:
                changes.count(COUNTED, f"{kind.value}:pending", -number)
