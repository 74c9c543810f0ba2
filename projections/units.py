"""What is folded: one generation of one view in one partition, with its checkpoint."""

from __future__ import annotations

import msgspec

from interrupts.views import Card, Checkpoint, Generation, Stopped
from projections.projection import Projection


class Unit(msgspec.Struct):
    """A generation, as far as this process knows it. `live`: readers read it, so nothing has to take over any more."""

    partition: int
    projection: Projection
    generation: int
    at: Checkpoint
    live: bool
    skipped: dict[str, str] = {}
    stopped: Stopped | None = None
    """Why it stood still when it was last tried, as its card says."""
    resting: bool = False
    """It can't go on, and is left alone until it is looked at again."""

    @property
    def name(self) -> str:
        """The view's."""
        return self.projection.view.name


def unit(partition: int, projection: Projection, card: Card, generation: Generation) -> Unit:
    """A generation that stands on a card."""
    live = card.live is not None and card.live.number == generation.number
    return Unit(partition, projection, generation.number, generation.at, live, card.skipped, generation.stopped)
