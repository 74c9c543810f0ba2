"""What is pending: by kind, session, request and user, in the order in which it came."""

from __future__ import annotations

from collections.abc import Sequence

from interrupts.codec import Line
from interrupts.events import Cancelled, Created, Expired, Resolved
from interrupts.views import BY_KIND, BY_REQUEST, BY_SESSION, BY_USER, PENDING
from projections.changes import Changes


class Pending:
    """Four sorted sets that an interrupt is in, by the number of its creation, until it is closed."""

    view = PENDING

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """A creation puts it in, an end takes it out."""
        put = changes.put
        for line in lines:
            event = line.event
            if isinstance(event, Created):
                number = line.sequence
            elif isinstance(event, Resolved | Cancelled | Expired):
                number = None
            else:
                continue
            put(BY_KIND + event.kind, event.id, number)
            put(BY_SESSION + event.session_id, event.id, number)
            put(BY_REQUEST + event.request_id, event.id, number)
            put(BY_USER + event.user_id, event.id, number)
