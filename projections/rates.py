"""How many interrupts each user has created: what the rate limits of creations are counted by."""

from __future__ import annotations

from collections.abc import Sequence

from interrupts.codec import Line
from interrupts.events import Created
from interrupts.rate_rules import CREATE
from interrupts.views import RATES, place_of
from projections.changes import Changes, Creation


class Rates:
    """Sliding windows for each user, in the user's partition (see `counting`)."""

    view = RATES

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """A creation counts in the groups that it says, and in that of all creations if it says nothing."""
        for line in lines:
            event = line.event
            if isinstance(event, Created) and event.terms.counted_in != ():
                groups = event.terms.counted_in or (CREATE,)
                changes.created(Creation(event.user_id, event.id, groups, place_of(line.stream_id)))
