"""Building a view again, beside the live one.

A new generation is folded from the start of the log, while the live one is read and folded as before. It takes over, in
each partition in one step, when it is not behind the live one. Then the old one is thrown away. Whatever interrupts
this, before or after the step: called again, it goes on where it stopped, since the new generation has its checkpoint
and the old one its mark on the card.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from interrupts import InterruptService
from interrupts.errors import ValidationError, ViewStoppedError
from interrupts.limits import FOLLOWERS_MAX
from projections import PROJECTIONS
from projections.follower import Follower
from projections.loading import Building
from projections.progress import Meter, Report
from projections.projection import Projection
from projections.store import Mark, Views


class Rebuilt(msgspec.Struct, frozen=True):
    """What was done: how many events were folded, and how many keys of old generations thrown away."""

    view: str
    events: int
    keys_dropped: int


def named(view: str, projections: Sequence[Projection]) -> Projection:
    """The projection of this view. Raises `ValidationError`."""
    for projection in projections:
        if projection.view.name == view:
            return projection
    names = ", ".join(projection.view.name for projection in projections)
    raise ValidationError(f"view: there is no {view[:64]!r}. There are: {names}.", field="view")


async def rebuild(
    service: InterruptService,
    view: str,
    *,
    projections: Sequence[Projection] = PROJECTIONS,
    from_start: bool = False,
    report: Report | None = None,
) -> Rebuilt:
    """Builds a view again from the log, under load or not, and lets it take over from the one that is live.

    It goes on with what was begun before and not finished; with `from_start` it begins anew. Raises `ViewStoppedError`
    if an event can't be folded, or if the view has a younger version than this library; `UnavailableError`.
    """
    projection = named(view, projections)
    views = Views(service.store)
    partitions = range(views.keys.partitions)
    for partition in partitions:
        if not await views.begin(partition, view, projection.view.version, from_start=from_start):
            raise ViewStoppedError(
                f"The view {view!r} of partition {partition} has a younger version than this library's "
                f"{projection.view.version}. Update the library. Nothing was changed.",
                view=view,
                partition=partition,
                reason="version",
            )
    total = 0
    for standing in await views.standings([view], partitions):
        begun = max((generation.at.sequence for generation in standing.card.building), default=0)
        total += standing.last_sequence - begun
    meter = Meter(f"building {view}", total, report)
    together = FOLLOWERS_MAX if views.server.route.one_server else len(partitions)
    shares = [list(partitions[number::together]) for number in range(together)]
    await asyncio.gather(*(_build(service, views, projection, share, meter) for share in shares if share))
    meter.tell()
    marks: set[Mark] = set()
    for standing in await views.standings([view], partitions):
        for generation in standing.card.building:
            raise ViewStoppedError(
                f"The view {view!r} of partition {standing.partition} could not be built: it stands before event "
                f"{generation.stopped.position if generation.stopped else generation.at.stream_id}"
                f"{f': {generation.stopped.error}' if generation.stopped else ''}. The live one was not changed.",
                view=view,
                partition=standing.partition,
                reason=generation.stopped.problem if generation.stopped else "event",
            )
        marks.update((standing.partition, view, number) for number in standing.card.dropping)
    return Rebuilt(view, meter.done, await views.drop(marks))


async def _build(
    service: InterruptService, views: Views, projection: Projection, partitions: Sequence[int], meter: Meter
) -> None:
    follower = Follower(views, Building(views, projection), service.say)
    follower.want(partitions)
    try:
        folded = 0
        while await follower.step(block=False):
            meter.add(follower.folded - folded)
            folded = follower.folded
    finally:
        await follower.end()
