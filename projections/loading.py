"""Which generations a process has to fold: found out from the cards of the views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from interrupts.views import REBUILD, Generation
from projections.projection import Projection
from projections.store import Standing, Views
from projections.units import Unit, unit

Say = Callable[..., None]


class Loading(Protocol):
    """Knows what a follower has to fold, and `by` whom it is done, in a word."""

    by: str = "worker"

    async def units(self, partitions: Sequence[int]) -> dict[int, list[Unit]]:
        """The units of these partitions, as they now stand. Raises `UnavailableError`."""

    def take_marked(self) -> Iterable[tuple[int, str]]:
        """Where something was seen to be thrown away, each told once: partition and view."""
        return ()


class Telling:
    """Says aloud what stands in the way of a view, once for each partition and view until it changes."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._said: dict[tuple[int, str], str] = {}

    def tell(self, standing: Standing, event: str, why: str) -> None:
        """Says it, if it was not what was said last."""
        key = (standing.partition, standing.view)
        if self._said.get(key) != event:
            self._said[key] = event
            self._say("error", event, projection=standing.view, partition=standing.partition, why=why)

    def well(self, standing: Standing) -> None:
        """Nothing stands in the way any more."""
        self._said.pop((standing.partition, standing.view), None)

    def went_back(self, standing: Standing, generation: Generation) -> None:
        """The log was rolled back behind this generation."""
        self.tell(
            standing,
            "projections.log_went_back",
            f"the view was folded up to number {generation.at.sequence}, and the log, which ends at number "
            f"{standing.last_sequence}, has another event there or none: it was rolled back. Build the view again: "
            f"python -m workers rebuild {standing.view}",
        )


class Current(Loading):
    """Of every projection the live generation; where there is none, or only one of an older version, a new one, which
    takes over when it has caught up."""

    def __init__(self, views: Views, projections: Sequence[Projection], say: Say) -> None:
        self._views = views
        self._projections = projections
        self._telling = Telling(say)
        self._marked: set[tuple[int, str]] = set()

    async def units(self, partitions: Sequence[int]) -> dict[int, list[Unit]]:
        """As `Loading` has it."""
        names = [projection.view.name for projection in self._projections]
        standings = await self._views.standings(names, partitions)
        begun = [
            standing.partition
            for standing in standings
            for projection in self._projections
            if projection.view.name == standing.view and await self._begins(projection, standing)
        ]
        if begun:
            seen = {(standing.partition, standing.view): standing for standing in standings}
            for standing in await self._views.standings(names, sorted(set(begun))):
                seen[standing.partition, standing.view] = standing
            standings = list(seen.values())
        found: dict[int, list[Unit]] = {partition: [] for partition in partitions}
        by_name = {projection.view.name: projection for projection in self._projections}
        for standing in standings:
            found[standing.partition] += self._unit(by_name[standing.view], standing)
            if standing.card.dropping:
                self._marked.add((standing.partition, standing.view))
        return found

    def take_marked(self) -> Iterable[tuple[int, str]]:
        """As `Loading` has it."""
        taken, self._marked = self._marked, set()
        return taken

    async def _begins(self, projection: Projection, standing: Standing) -> bool:
        """Whether a generation had to be begun, and was."""
        live, version = standing.card.live, projection.view.version
        if live is not None and live.version >= version:
            return False
        if any(generation.version >= version and generation.known for generation in standing.card.building):
            return False
        return await self._views.begin(standing.partition, standing.view, version) is not None

    def _unit(self, projection: Projection, standing: Standing) -> Iterable[Unit]:
        live, version = standing.card.live, projection.view.version
        youngest = max((generation.version for generation in standing.card.generations), default=0)
        ours_is_live = live is not None and live.version == version
        if youngest > version and not ours_is_live:  # while a younger one is built, the live one is folded on
            self._telling.tell(
                standing,
                "projections.too_old",
                f"the view is at version {youngest}, and this process folds version {version}: update it",
            )
            return
        folded = [live] if live is not None and ours_is_live else standing.card.building
        for generation in folded:
            if generation.version == version:
                found = unit(standing.partition, projection, standing.card, generation)
                if generation.known:
                    self._telling.well(standing)
                else:
                    found.resting = True
                    self._telling.went_back(standing, generation)
                yield found


class Building(Loading):
    """Of one projection the generation that is being built, to be folded from the start of the log or where it was."""

    def __init__(self, views: Views, projection: Projection, say: Say, number: int | None = None) -> None:
        self._views = views
        self._projection = projection
        self._telling = Telling(say)
        self._number = number
        self.by = REBUILD if number is None else Loading.by

    async def units(self, partitions: Sequence[int]) -> dict[int, list[Unit]]:
        """As `Loading` has it. With a number it is that generation, be it live or not."""
        found: dict[int, list[Unit]] = {}
        for standing in await self._views.standings([self._projection.view.name], partitions):
            card = standing.card
            units = found[standing.partition] = []
            for generation in card.building if self._number is None else card.generations:
                wanted = self._number in (None, generation.number)
                if wanted and generation.version == self._projection.view.version:
                    made = unit(standing.partition, self._projection, card, generation)
                    if not generation.known:
                        made.resting = True
                        self._telling.went_back(standing, generation)
                    units.append(made)
        return found
