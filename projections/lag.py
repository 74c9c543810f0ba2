"""How far each view is behind the log, partition by partition, and what holds it up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from interrupts import InterruptService
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
    shown = live or max(building, key=lambda generation: generation.number, default=None)
    state: State = "live"
    position = why = None
    if shown is None:
        state = "none"
        why = None if standing.last_sequence == 0 else "no worker has folded it yet: python -m workers run"
    elif standing.went_back:
        state, position = "rolled back", f"{standing.partition}:{shown.at.stream_id}"
        why = f"build it again: python -m workers rebuild {standing.view}"
    elif shown.stopped is not None:
        state, position, why = "stopped", shown.stopped.position, shown.stopped.error
    elif live is None:
        state = "building"
    elif live.version != version:
        state, why = "other version", f"it has version {live.version}, this library reads {version}"
    events = max(0, standing.last_sequence - (shown.at.sequence if shown is not None else 0))
    return Lag(
        standing.view, standing.partition, events, standing.behind_ms / 1000 if events else 0.0, state, position, why
    )
