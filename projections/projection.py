"""What a projection is: a view, and how events change it."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from typing import Final, Protocol

from interrupts.codec import Line
from interrupts.errors import ValidationError
from interrupts.views import View
from projections.changes import Changes

_NAME: Final = re.compile(r"[a-z][a-z0-9_\-]{0,63}", re.ASCII)


class Projection(Protocol):
    """A fold. It must be pure: the same events always make the same changes, whoever folds them, however often.

    `view` names it; give it another version whenever what is in its keys changes meaning, and it is built anew.
    """

    view: View

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """Says what these events change. They are of one partition, in order, and follow those folded before.

        An event that it does not know it leaves alone; one that it can't fold it refuses by raising.
        """


def check_projections(projections: Sequence[Projection]) -> Sequence[Projection]:
    """Projections that can be folded side by side. Raises `ValidationError`."""
    names: set[str] = set()
    for projection in projections:
        view = projection.view
        if not isinstance(view.name, str) or not _NAME.fullmatch(view.name):
            raise ValidationError(
                f"projections: {str(view.name)[:64]!r} can't be a view's name. Use small letters, digits, dashes and "
                "underscores, the first a letter, at most 64.",
                field="projections",
            )
        if isinstance(view.version, bool) or not isinstance(view.version, int) or view.version < 1:
            raise ValidationError(
                f"projections: the version of {view.name!r} must be a whole number from 1.", field="projections"
            )
        if view.name in names:
            raise ValidationError(f"projections: there are two with the name {view.name!r}.", field="projections")
        names.add(view.name)
    return projections


def work_of(projections: Sequence[Projection]) -> str:
    """The same for processes that fold the same views in the same versions, and short."""
    views = sorted(f"{projection.view.name}:{projection.view.version}" for projection in projections)
    return f"{binascii.crc32(','.join(views).encode()):08x}"
