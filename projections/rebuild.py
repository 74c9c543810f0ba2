"""Building a view again, beside the live one.

A new generation is folded from the start of the log, while the live one is read and folded as before. It takes over, in
each partition in one step, when it is not behind the live one. Then the old one is thrown away.

Whatever interrupts this, the cards show how far it came: a partition is still building, or the old generation is
marked to be thrown away. Called again, it goes on with what is left, and builds nothing again that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from interrupts import InterruptService
from interrupts.errors import UnavailableError, ValidationError, ViewStoppedError
from interrupts.limits import FOLLOWERS_MAX, RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S
from interrupts.store.lanes import UnreachableError
from interrupts.views import Generation
from projections import PROJECTIONS
from projections.follower import Follower
from projections.loading import Building
from projections.progress import Meter, Report
from projections.projection import Projection, check_projections
from projections.rates_mend import mend_rates
from projections.store import Standing, Views


class Rebuilt(msgspec.Struct, frozen=True):
    """What was done: how many events were folded, and how many keys of old generations thrown away.

    `resumed`: an earlier rebuild had been interrupted, and this call has finished that one. `mended`: of a view that
    crosses partitions, how many of its counts were not as the log says, and were put right.
    """

    view: str
    events: int
    keys_dropped: int
    resumed: bool = False
    mended: int = 0


def named(view: str, projections: Sequence[Projection]) -> Projection:
    """The projection of this view. Raises `ValidationError`."""
    for projection in check_projections(projections):
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
    views = Views(service.store, service.say)
    everywhere = range(views.keys.partitions)
    before = await views.standings([view], everywhere)
    begun_before = {standing.partition for standing in before if _is_building(standing, projection.view.version)}
    resumed = not from_start and bool(begun_before or any(standing.card.rebuilt for standing in before))
    partitions = [
        standing.partition
        for standing in before
        if not resumed or standing.partition in begun_before or not _stands(standing.card.live)
    ]
    begun = {partition: await _begin(views, projection, partition, from_start=from_start) for partition in partitions}
    meter = Meter(f"building {view}", await _to_do(views, view, begun), report)
    together = FOLLOWERS_MAX if views.server.route.one_server else max(1, len(partitions))
    shares = [partitions[number::together] for number in range(together)]
    await asyncio.gather(*(_build(service, views, projection, share, meter) for share in shares if share))
    meter.tell()
    for standing in await views.standings([view], partitions):
        for generation in standing.card.building:
            if generation.number == begun[standing.partition]:
                raise _not_built(view, standing.partition, generation)
    events, mended = meter.done, 0
    if projection.view.crosses:
        mended = await mend_rates(service, Meter(f"mending {view}", events, report))
    return Rebuilt(view, events, await views.sweep(view, everywhere), resumed, mended)


def _is_building(standing: Standing, version: int) -> bool:
    """Whether a generation of this version was begun before."""
    return any(generation.version == version for generation in standing.card.building)


def _stands(live: Generation | None) -> bool:
    """Whether there is a live generation, of the log as it is."""
    return live is not None and live.known


async def _begin(views: Views, projection: Projection, partition: int, *, from_start: bool) -> int:
    """The number of the generation that is to be built. Raises `ViewStoppedError`."""
    view = projection.view
    number = await views.begin(partition, view.name, view.version, from_start=from_start)
    if number is None:
        raise ViewStoppedError(
            f"The view {view.name!r} of partition {partition} has a younger version than this library's "
            f"{view.version}. Update the library. Nothing was changed.",
            view=view.name,
            partition=partition,
            reason="version",
        )
    return number


async def _to_do(views: Views, view: str, begun: Mapping[int, int]) -> int:
    """How many events there are to fold."""
    total = 0
    for standing in await views.standings([view], begun):
        done = [each.at.sequence for each in standing.card.building if each.number == begun[standing.partition]]
        total += standing.last_sequence - sum(done)
    return total


async def _build(
    service: InterruptService, views: Views, projection: Projection, partitions: Sequence[int], meter: Meter
) -> None:
    follower = Follower(views, Building(views, projection, service.say), service.say)
    follower.want(partitions)
    loop, folded = asyncio.get_running_loop(), 0
    heard_at, pause_s = loop.time(), RETRY_PAUSE_FIRST_S
    try:
        while True:
            try:
                if not await follower.step(block=False):
                    return
                heard_at, pause_s = loop.time(), RETRY_PAUSE_FIRST_S
            except UnreachableError as error:
                if loop.time() - heard_at > views.server.call_timeout_s:
                    raise UnavailableError(f"Redis is away: {error}. Called again, it goes on from here.") from error
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
            meter.add(follower.folded - folded)
            folded = follower.folded
    finally:
        await follower.end()


def _not_built(view: str, partition: int, generation: Generation) -> ViewStoppedError:
    """Why a generation did not take over."""
    stopped = generation.stopped
    what = f"it was folded up to event {partition}:{generation.at.stream_id}"
    reason = "event"
    if not generation.known:
        what, reason = "the log was rolled back meanwhile: call it again, and it begins anew", "rolled_back"
    elif stopped is not None:
        what, reason = f"it stands still before event {stopped.position}: {stopped.error.rstrip('.')}", stopped.problem
    return ViewStoppedError(
        f"The view {view!r} of partition {partition} could not be built: {what}. The live one was not changed.",
        view=view,
        partition=partition,
        reason=reason,
    )
