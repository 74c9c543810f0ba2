"""Reading the counts of calls as `scripts/rings.lua` and `scripts/weigh.lua` store them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from interrupts.rates import WINDOWS, EndpointUse, RateLimitConfig, WindowUse

SIZES_MS: Final = (1_000, 60_000, 900_000)
"""How long one cell of a window is."""
CELLS: Final = (60, 60, 96)
"""How many cells a window has; one more counts, which is partly in it."""
DAY_MS: Final = (CELLS[2] + 1) * SIZES_MS[2]
"""What is older than this counts nowhere any more."""
SPAN: Final = 998
"""How much older than the newest cell another can be."""
CALL: Final = 60_000
"""One call, in what the debt of the burst is counted in."""
_HEAD: Final = re.compile(r"(\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+);([\d,]*);([\d,]*);([\d,]*)", re.ASCII)
CALLS, CREATED, RESERVED, FORGIVEN = "=", "+", "?", "-"
"""How the names of a group's fields begin."""

_SORTS: Final = (CALLS, CREATED, RESERVED, FORGIVEN)
FIELDS_MAX: Final = 100
"""With so many, a further group is counted together with all others that are too many, under the next name."""
TOGETHER: Final = "*"

Ring = dict[int, int]
"""Calls by cell: the number of the cell since 1970."""


class Tally(msgspec.Struct):
    """Calls in three rings of cells, and the debt of the burst at the time of the latest."""

    last_ms: int
    debt: int
    rings: tuple[Ring, Ring, Ring]

    @classmethod
    def parse(cls, text: bytes | None) -> Tally:
        """What is stored. A refusal or a time in front of it is left out. Raises `ValueError`."""
        if text is None:
            return cls(0, 0, ({}, {}, {}))
        match = _HEAD.fullmatch(text.decode())
        if match is None:
            raise ValueError(f"no tally: {text[:64]!r}")
        last_ms, debt = int(match[1]), int(match[2])
        rings: list[Ring] = []
        for ring, size in enumerate(SIZES_MS):
            newest = last_ms // size
            cells: Ring = {}
            for part in match[9 + ring].split(",")[:-1]:
                cells[newest - (newest - int(part[:3])) % 1000] = int(part[3:])
            if int(match[4 + 2 * ring]):
                cells[newest] = int(match[4 + 2 * ring])
            if sum(cells.values()) != int(match[3 + 2 * ring]):
                raise ValueError(f"a {WINDOWS[ring]} that does not add up: {text[:64]!r}")
            rings.append(cells)
        return cls(last_ms, debt, (rings[0], rings[1], rings[2]))

    def add(self, ms: int) -> None:
        """One more call, made at this time."""
        self.last_ms = max(self.last_ms, ms)
        for ring, size in zip(self.rings, SIZES_MS, strict=True):
            ring[ms // size] = ring.get(ms // size, 0) + 1

    def text(self, now_ms: int) -> str:
        """As it is stored; "" if nothing of it is in a window now. The inverse of `parse`."""
        head, cells = [f"{self.last_ms} {self.debt}"], []
        for number, size in enumerate(SIZES_MS):
            newest = self.last_ms // size
            ring = {cell: calls for cell, calls in self.at(number, now_ms).items() if newest - cell <= SPAN}
            head.append(f"{sum(ring.values())} {ring.get(newest, 0)}")
            cells.append("".join(f"{cell % 1000:03d}{ring[cell]}," for cell in sorted(ring) if cell != newest))
        return f"{' '.join(head)};{';'.join(cells)}" if self.at(2, now_ms) else ""

    def at(self, ring: int, now_ms: int) -> Ring:
        """The cells of a ring that are in its window."""
        oldest = oldest_cell(ring, now_ms)
        return {cell: calls for cell, calls in self.rings[ring].items() if cell >= oldest}


def oldest_cell(ring: int, now_ms: int) -> int:
    """The first cell that is in the window."""
    return now_ms // SIZES_MS[ring] - CELLS[ring]


def without_prefix(field: str, text: bytes) -> bytes:
    """A field's tally, without the refusal or the time that may stand in front of it."""
    if field.startswith(CALLS) and text.startswith(b"!"):
        return text.partition(b"\n")[2]
    if field.startswith(FORGIVEN):
        return text.partition(b" ")[2]
    return text


def uses(
    fields: Mapping[str, bytes], now_ms: int, only: str | None, config_of: Callable[[str], RateLimitConfig]
) -> list[EndpointUse]:
    """What a user has used, group by group, in the order of their names. Raises `ValueError`."""
    if only is not None and len(fields) >= FIELDS_MAX and not any(sort + only in fields for sort in _SORTS):
        only = TOGETHER
    groups = sorted({field[1:] for field in fields if field != FORGIVEN}) if only is None else [only]
    found = [_use(group, fields, now_ms, config_of(group)) for group in groups]
    return found if only is not None else [use for use in found if use.day.used or use.burst.used]


def _use(group: str, fields: Mapping[str, bytes], now_ms: int, config: RateLimitConfig) -> EndpointUse:
    stored = {sort: fields.get(sort + group) for sort in _SORTS}
    tallies = {sort: Tally.parse(text and without_prefix(sort, text)) for sort, text in stored.items()}
    windows: list[WindowUse] = []
    for ring, window in enumerate(WINDOWS):
        calls: Counter[int] = Counter()
        for sort, tally in tallies.items():
            for cell, count in tally.at(ring, now_ms).items():
                calls[cell] += -count if sort == FORGIVEN else count
        latest = max((cell for cell, count in calls.items() if count), default=None)
        empty_ms = 0 if latest is None else (latest + CELLS[ring] + 1) * SIZES_MS[ring] - now_ms
        used, limit = calls.total(), config.limit(window)
        windows.append(WindowUse(used, limit, max(0, limit - used), empty_ms / 1000))
    direct = tallies[CALLS]
    paid_off = max(0, now_ms - direct.last_ms) * config.requests_per_minute
    debt = max(0, direct.debt - paid_off)
    at_once = -(-debt // CALL)
    burst = WindowUse(
        at_once,
        config.burst_size,
        max(0, config.burst_size - at_once),
        (-(-debt // config.requests_per_minute) + max(0, direct.last_ms - now_ms) * bool(debt)) / 1000,
    )
    return EndpointUse(group, windows[0], windows[1], windows[2], burst, sum(tallies[RESERVED].at(2, now_ms).values()))
