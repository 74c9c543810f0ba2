"""How far each view is behind the log, partition by partition, and what holds it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from interrupts import InterruptService
from interrupts.views import Generation, place_of
from projections import PROJECTIONS
from projections.projection import Projection
from projections.store import Standing, Views

State = Literal["live", "building", "none", "stopped", "rolled back", "other version"]


class Lag(msgspec.Struct, frozen=True):
    """One view in one partition.

    `events`: how many of the log it has not folded. `seconds`: for how long the first of them has been waiting.
    `state`: `live`; `building` for the first time, or in a new version; `none`, where no worker ever ran; `stopped` at
    `position`, by an event or a hole; `rolled back`, if the log is not the one that was folded; `other version` than
    this library's. `why`: what there is to say of it.
    """

    projection: str
    partition: int
    events: int
    seconds: float
    state: State
    position: str | None = None
    why: str | None = None


async def lags(service: InterruptService, *, projections: Sequence[Projection] = PROJECTIONS) -> list[Lag]:
    """The lag of each view in each partition. Raises `UnavailableError`."""
    views = Views(service.store)
    versions = {projection.view.name: projection.view.version for projection in projections}
    standings = await views.standings(list(versions), range(views.keys.partitions))
    return [_lag(standing, versions[standing.view]) for standing in standings]


def _lag(standing: Standing, version: int) -> Lag:
    live, building = standing.card.live, standing.card.building
    shown = live
    if live is None or live.version != version:  # what is being built says more
        ours = [generation for generation in building if generation.version == version]
        shown = max(ours or building, key=lambda generation: generation.number, default=live)
    events = max(0, standing.last_sequence - (shown.at.sequence if shown is not None else 0))
    next_id = standing.first_id if shown is None else shown.next_id
    behind_ms = max(0, standing.now_ms - place_of(next_id)[0]) if events and next_id else 0
    state, position, why = _state(standing, shown, version)
    return Lag(standing.view, standing.partition, events, behind_ms / 1000, state, position, why)


def _state(standing: Standing, shown: Generation | None, version: int) -> tuple[State, str | None, str | None]:
    """The state, where, and what there is to say of it."""
    view, partition, live = standing.view, standing.partition, standing.card.live
    if shown is None:
        return "none", None, "no worker has folded it yet: python -m workers run" if standing.last_sequence else None
    if not shown.known:
        return "rolled back", f"{partition}:{shown.at.stream_id}", f"build it again: python -m workers rebuild {view}"
    if shown.stopped is not None:
        return "stopped", shown.stopped.position, shown.stopped.error
    if live is not None and live.version != version:
        return "other version", None, f"it has version {live.version}, this library reads {version}"
    return ("building" if live is None else "live"), None, None
