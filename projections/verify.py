"""Comparing what is stored with the log: the live views, the interrupts' own keys, and their deadlines.

The log is folded into memory and compared at a fixed position, although everything goes on meanwhile: some keys are
read by one script together with the checkpoint (or the newest event) at which they hold what they hold; the fold in
memory is brought exactly there; then they are compared. So a difference is a difference, and never a matter of timing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from interrupts import InterruptService
from projections import PROJECTIONS
from projections.interrupts_check import check_interrupts
from projections.names import key_names
from projections.progress import Meter, Report
from projections.projection import Projection
from projections.rates_check import RatesCheck
from projections.rebuild import named
from projections.store import Views
from projections.view_check import Difference, check_view

PARTITIONS_AT_ONCE: Final = 4
"""The server's keys are gone through once for so many, whose names are then in memory."""
DIFFERENCES_MAX: Final = 1_000
"""Differences that are returned; all are counted, and told to `tell`."""


class Verified(msgspec.Struct):
    """What was compared, and what is different."""

    events: int = 0
    keys: int = 0
    interrupts: int = 0
    different: int = 0
    differences: list[Difference] = []

    @property
    def equal(self) -> bool:
        """Whether everything is as the log says."""
        return self.different == 0


async def verify(
    service: InterruptService,
    views: Sequence[str] | None = None,
    *,
    projections: Sequence[Projection] = PROJECTIONS,
    report: Report | None = None,
    tell: Callable[[Difference], None] | None = None,
) -> Verified:
    """Compares these views (or all), and the interrupts' own keys and deadlines, with the log.

    `tell` gets each difference when it is found. Raises `ValidationError` for a view that there is not,
    `UnavailableError`.
    """
    chosen = list(projections) if views is None else [named(view, projections) for view in views]
    store = Views(service.store)
    partitions = range(store.keys.partitions)
    standings = await store.standings([projection.view.name for projection in chosen], partitions)
    lasts = {standing.partition: standing.last_sequence for standing in standings}
    # The log is folded once for each view, once for the interrupts, and once more for what is in other partitions.
    folds = len(chosen) + 1 + sum(projection.view.crosses for projection in chosen)
    meter = Meter("comparing", folds * sum(lasts.values()), report)
    found = Verified()

    def differs(difference: Difference) -> None:
        found.different += 1
        if len(found.differences) < DIFFERENCES_MAX:
            found.differences.append(difference)
        if tell is not None:
            tell(difference)

    for first in range(0, len(partitions), PARTITIONS_AT_ONCE):
        together = partitions[first : first + PARTITIONS_AT_ONCE]
        there: dict[int, set[str]] = {partition: set() for partition in together}
        async for names in key_names(store.server, store.keys, together):
            for partition, some in names.items():
                there[partition].update(some)
        for partition in together:
            for projection in chosen:
                found.keys += await check_view(store, projection, partition, there[partition], meter, differs)
            before = meter.done
            found.interrupts += await check_interrupts(store, partition, there.pop(partition), meter, differs)
            found.events += meter.done - before
    if any(projection.view.crosses for projection in chosen):
        found.keys += await RatesCheck(store, meter, differs).run()
    meter.tell()
    return found
