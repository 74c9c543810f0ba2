"""What is pending: by kind, session, request and user, in the order in which it came."""

from __future__ import annotations

from collections.abc import Sequence

from interrupts.codec import Line
from interrupts.events import Cancelled, Created, Event, Expired, Resolved
from interrupts.views import BY_KIND, BY_REQUEST, BY_SESSION, BY_USER, PENDING
from projections.changes import Changes


class Pending:
    """Four sorted sets that an interrupt is in, by the number of its creation, until it is closed."""

    view = PENDING

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """A creation puts it in, an end takes it out."""
        for line in lines:
            event = line.event
            if isinstance(event, Created):
                assert line.sequence is not None  # it was read from the log
                changes.put(_keys(event), event.id, line.sequence)
            elif isinstance(event, Resolved | Cancelled | Expired):
                changes.remove(_keys(event), event.id)


def _keys(event: Event) -> tuple[str, str, str, str]:
    return (
        BY_KIND + event.kind,
        BY_SESSION + event.session_id,
        BY_REQUEST + event.request_id,
        BY_USER + event.user_id,
    )
