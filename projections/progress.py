"""How far long work has come: how much is done, how fast, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

REPORT_EVERY_S: Final = 0.2


class Progress(msgspec.Struct, frozen=True):
    """A moment in some work. `total` is what was there to do when it began; more may have come since."""

    what: str
    done: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """How much is done in a second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """The seconds that it will take at this rate; None where nobody can tell yet."""
        return max(0, self.total - self.done) / self.rate if self.rate else None


Report = Callable[[Progress], None]


class Meter:
    """Counts, and reports now and then."""

    def __init__(
        self, what: str, total: int, report: Report | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._total = total
        self._report = report
        self._clock = clock
        self._began = clock()
        self._reported_at = self._began
        self.done = 0

    def add(self, count: int) -> None:
        """So much more is done."""
        self.done += count
        if self._clock() - self._reported_at >= REPORT_EVERY_S:
            self.tell()

    def tell(self) -> None:
        """Reports now."""
        self._reported_at = self._clock()
        if self._report is not None:
            self._report(Progress(self._what, self.done, self._total, self._clock() - self._began))
