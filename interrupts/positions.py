"""A place in the log: the partition and the entry's stream id, as text `<partition>:<milliseconds>-<number>`.

Positions of one partition are in order; positions of different partitions are not comparable.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from interrupts.errors import ValidationError

_POSITION: Final = re.compile(r"(\d{1,5}):(\d{1,15})-(\d{1,19})", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


class Position(msgspec.Struct, frozen=True, order=True):
    """A parsed position. Compare only positions of one partition."""

    partition: int
    ms: int
    number: int

    @classmethod
    def parse(cls, text: str | Position) -> Position:
        """The inverse of `str`. Refuses what can't be a position."""
        if isinstance(text, Position):
            return text
        match = _POSITION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValidationError(
                f"position: {str(text)[:64]!r} is not of the form '<partition>:<milliseconds>-<number>'",
                field="position",
            )
        return cls(*map(int, match.groups()))

    @property
    def stream_id(self) -> str:
        """The entry's id in its partition's stream."""
        return f"{self.ms}-{self.number}"

    def __str__(self) -> str:
        return f"{self.partition}:{self.ms}-{self.number}"


@lru_cache(maxsize=8192)  # the events of a batch share their time
def time_of(ms: int) -> datetime:
    """Milliseconds since 1970 as a time in UTC."""
    # Exact for every millisecond, which `fromtimestamp` is not; and twice as fast as `timedelta(milliseconds=ms)`.
    return _EPOCH + timedelta(0, ms // 1000, ms % 1000 * 1000)


def ms_of(time: datetime) -> int:
    """A time as milliseconds since 1970; a time without a zone is UTC."""
    return ((time if time.tzinfo else time.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND
