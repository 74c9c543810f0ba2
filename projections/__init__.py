"""Views: how the log looks from one side. Folding an event into a view happens here; reading a view does not.

A projection is a class with a view (its name and version) and a `fold`: it gets events of one partition, in order, and
says what they change. Whatever else there is to it, it gets for nothing: every event is folded exactly once, whatever
crashes and whoever runs twice; a new version is built beside the old one and takes over; it can be built again and
compared with the log.

One of your own, which keeps the number of questions that each user was ever asked:

    from interrupts.events import Created
    from interrupts.views import View

    class Asked:
        view = View("asked", 1)

        def fold(self, lines, changes):
            for line in lines:
                if isinstance(line.event, Created):
                    changes.count("users", line.event.user_id)

Run it along with the others: `workers.running(service, projections=[*PROJECTIONS, Asked()])`. What it keeps is in the
partition of the session, in keys that begin with `service.store.keys.generation(partition, "asked", 1)`; so what is
asked for is the sum over the partitions.

- `changes` has sorted sets (`put`, `remove`, `keep_newest`), hashes (`write`, `erase`), numbers in hashes (`count`).
- A fold is pure: no clock, no randomness, nothing but the events. It must give the same result however the events are
  split into batches.
- Give the view another version whenever what is in its keys changes. The next worker that starts builds it anew.
- An event that it does not know it leaves alone. One that it can't fold it refuses by raising: the view then stands
  still in that partition, and says so, until the code is mended. Nothing is left out by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from projections.closed import Closed
from projections.counts import Counts
from projections.pending import Pending
from projections.projection import Projection
from projections.rates import Rates

PROJECTIONS: Final[Sequence[Projection]] = (Pending(), Closed(), Counts(), Rates())
"""Those that every worker runs."""

__all__ = ["PROJECTIONS", "Projection"]
