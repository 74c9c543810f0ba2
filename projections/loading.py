"""Which generations a process has to fold: found out from the cards of the views."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from projections.projection import Projection
from projections.store import Standing, Views
from projections.units import Unit, unit

Say = Callable[..., None]


class Loading(Protocol):
    """Knows what a follower has to fold."""

    async def units(self, partitions: Sequence[int]) -> dict[int, list[Unit]]:
        """The units of these partitions, as they now stand. Raises `UnavailableError`."""

    def take_dropping(self) -> Iterable[tuple[int, str, int]]:
        """Generations that were seen to be thrown away, each told once: partition, view and number."""
        return ()


class Current(Loading):
    """Of every projection the live generation; where there is none, or only one of an older version, a new one, which
    takes over when it has caught up."""

    def __init__(self, views: Views, projections: Sequence[Projection], say: Say) -> None:
        self._views = views
        self._projections = projections
        self._say = say
        self._said: dict[tuple[int, str], str] = {}
        self._dropping: set[tuple[int, str, int]] = set()

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
            self._dropping |= {(standing.partition, standing.view, number) for number in standing.card.dropping}
        return found

    def take_dropping(self) -> Iterable[tuple[int, str, int]]:
        """As `Loading` has it."""
        taken, self._dropping = self._dropping, set()
        return taken

    async def _begins(self, projection: Projection, standing: Standing) -> bool:
        """Whether a generation had to be begun, and was."""
        live, version = standing.card.live, projection.view.version
        if live is not None and live.version >= version:
            return False
        if any(generation.version >= version for generation in standing.card.building):
            return False
        return await self._views.begin(standing.partition, standing.view, version)

    def _unit(self, projection: Projection, standing: Standing) -> Iterable[Unit]:
        live, version = standing.card.live, projection.view.version
        younger = [
            generation.version
            for generation in (*standing.card.building, *([live] if live else []))
            if generation.version > version
        ]
        if younger:
            self._tell(
                standing,
                "projections.too_old",
                f"the view is at version {max(younger)}, and this process folds version {version}: update it",
            )
            return
        if live is not None and live.version == version:
            found = unit(standing.partition, projection, standing.card, live)
            if standing.went_back:
                found.resting = True
                self._tell(
                    standing,
                    "projections.log_went_back",
                    f"the view was folded up to number {live.at.sequence}, and the log, which ends at number "
                    f"{standing.last_sequence}, has another event there or none: it was rolled back. Build the view "
                    f"again: python -m workers rebuild {standing.view}",
                )
            else:
                self._said.pop((standing.partition, standing.view), None)
            yield found
            return
        for generation in standing.card.building:
            if generation.version == version:
                yield unit(standing.partition, projection, standing.card, generation)

    def _tell(self, standing: Standing, event: str, why: str) -> None:
        """Says it aloud, once for each partition and view until it changes."""
        key = (standing.partition, standing.view)
        if self._said.get(key) != event:
            self._said[key] = event
            self._say("error", event, projection=standing.view, partition=standing.partition, why=why)


class Building(Loading):
    """Of one projection the generation that is being built, to be folded from the start of the log or where it was."""

    def __init__(self, views: Views, projection: Projection, number: int | None = None) -> None:
        self._views = views
        self._projection = projection
        self._number = number

    async def units(self, partitions: Sequence[int]) -> dict[int, list[Unit]]:
        """As `Loading` has it. With a number it is that generation, be it live or not."""
        found: dict[int, list[Unit]] = {}
        for standing in await self._views.standings([self._projection.view.name], partitions):
            card = standing.card
            generations = (*card.building, *([card.live] if card.live else [])) if self._number else card.building
            found[standing.partition] = [
                unit(standing.partition, self._projection, card, generation)
                for generation in generations
                if generation.version == self._projection.view.version and self._number in (None, generation.number)
            ]
        return found
