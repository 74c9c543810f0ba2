"""What a projection is: a view, and how events change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from interrupts.codec import Line
from interrupts.views import View
from projections.changes import Changes


class Projection(Protocol):
    """A fold. It must be pure: the same events always make the same changes, whoever folds them, however often.

    `view` names it; give it another version whenever what is in its keys changes meaning, and it is built anew.
    """

    view: View

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """Says what these events change. They are of one partition, in order, and follow those folded before.

        An event that it does not know it leaves alone; one that it can't fold it refuses by raising.
        """
