"""Leaving out, on an operator's word, the one event that a view stands still before."""

from __future__ import annotations

from collections.abc import Sequence

from interrupts import InterruptService, Position
from interrupts.errors import ValidationError
from interrupts.views import Stopped
from projections import PROJECTIONS
from projections.folding import EVENT, HOLE
from projections.projection import Projection
from projections.rebuild import named
from projections.store import Views


async def skip(
    service: InterruptService, view: str, position: str | Position, *, projections: Sequence[Projection] = PROJECTIONS
) -> Stopped:
    """From now on this view leaves out this event; or, if events before it are missing, it passes over the hole.

    Only what the view stands still before can be skipped, so that nothing is by mistake. It goes on within seconds if a
    worker is running. Raises `ValidationError`, `UnavailableError`.
    """
    named(view, projections)
    at = Position.parse(position)
    views = Views(service.store)
    found: list[Stopped] = []
    for standing in await views.standings([view], range(views.keys.partitions)):
        generations = (standing.card.live, *standing.card.building)
        found += [generation.stopped for generation in generations if generation and generation.stopped]
    for stopped in found:
        if stopped.position == str(at) and stopped.problem not in (EVENT, HOLE):
            raise ValidationError(
                f"position: it is not the event at {at} that stands in the way, so it can't be skipped: "
                f"{stopped.error}",
                field="position",
            )
        if stopped.position == str(at):
            await views.skip(at.partition, view, at.stream_id, stopped.problem)
            return stopped
    where = ", ".join(sorted({stopped.position for stopped in found})) or "nowhere"
    raise ValidationError(
        f"position: the view {view!r} does not stand still before {at}, so there is nothing to skip. It stands "
        f"still: {where}.",
        field="position",
    )
