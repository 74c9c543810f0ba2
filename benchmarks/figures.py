"""A figure: pairs of measurements, ours and its floor, and what is said of them."""

from __future__ import annotations

from statistics import median
from typing import Final, Literal, NamedTuple

import msgspec

_WHOLE_FROM: Final = 20


def short(value: float) -> str:
    """A number for people: whole, or where that would say nothing, with two decimals."""
    return f"{value:,.0f}" if value >= _WHOLE_FROM else f"{value:.2f}"


class Pair(NamedTuple):
    """Two measurements that were made right after each other."""

    ours: float
    floor: float

    @property
    def ratio(self) -> float:
        """Ours as a multiple of the floor."""
        return self.ours / self.floor


class Target(msgspec.Struct, frozen=True):
    """What a figure should reach: its ratio, or ours itself."""

    limit: float
    bound: Literal["at least", "at most"]
    of: Literal["ratio", "ours"] = "ratio"

    def __str__(self) -> str:
        return f"{self.of} {self.bound} {self.limit:,g}"


class Figure(msgspec.Struct, frozen=True):
    """What was measured. `floor_is` says what the floor is; `details` and `notes` stand beside the figure."""

    name: str
    unit: str
    floor_is: str
    target: Target
    pairs: list[Pair]
    details: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    @property
    def ours(self) -> float:
        """The median of our measurements."""
        return median(pair.ours for pair in self.pairs)

    @property
    def floor(self) -> float:
        """The median of the floor's measurements."""
        return median(pair.floor for pair in self.pairs)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios: noise that meets both halves of a pair is not in it."""
        return median(pair.ratio for pair in self.pairs)

    @property
    def low(self) -> float:
        """The lowest ratio of a pair."""
        return min(pair.ratio for pair in self.pairs)

    @property
    def high(self) -> float:
        """The highest ratio of a pair."""
        return max(pair.ratio for pair in self.pairs)

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        value = self.ratio if self.target.of == "ratio" else self.ours
        return value >= self.target.limit if self.target.bound == "at least" else value <= self.target.limit

    def to_json(self) -> str:
        """One line, for machines."""
        fields = {
            "figure": self.name,
            "ours": _rounded(self.ours),
            "floor": _rounded(self.floor),
            "ratio": round(self.ratio, 3),
            "low": round(self.low, 3),
            "high": round(self.high, 3),
            "unit": self.unit,
            "target": self.target.limit,
            "target_is": f"{self.target.of} {self.target.bound}",
            "met": self.met,
            "pairs": len(self.pairs),
            "details": {name: _rounded(value) for name, value in self.details.items()},
        }
        return msgspec.json.encode(fields).decode()


def _rounded(value: float) -> float:
    return round(value, 1 if abs(value) >= _WHOLE_FROM else 3)
