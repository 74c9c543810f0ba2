"""Rate limits as callers see them: what is allowed, and what became of a call."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from interrupts.checks import shown
from interrupts.errors import ValidationError
from interrupts.limits import RATE_LIMIT_MAX

WINDOWS: Final = ("minute", "hour", "day")
"""The sliding windows, in the order in which they are stored."""
WINDOW_S: Final = (60, 3_600, 86_400)
BURST: Final = "burst"
LIMIT_TYPES: Final = (*WINDOWS, BURST)
"""What a call can exceed."""
IN_WORDS: Final = {
    "minute": "in any minute",
    "hour": "in any hour",
    "day": "in any 24 hours",
    "burst": "at once",
}


class _Default(int):
    """A number that nobody has given."""


_BURST_DEFAULT: Final = _Default(10)


class RateLimitConfig(msgspec.Struct, frozen=True):
    """How many calls are allowed: in any stretch of a minute, an hour and a day, and at once.

    `burst_size`: so many at once, and from then on as many as `requests_per_minute` lets come again; where it is not
    given and the minute allows fewer than 10, it is the minute's. Raises `ValidationError` for what can't be meant.
    """

    requests_per_minute: int = 60
    requests_per_hour: int = 1_000
    requests_per_day: int = 10_000
    burst_size: int = _BURST_DEFAULT

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            check_count(field, getattr(self, field))
        if type(self.burst_size) is _Default:
            msgspec.structs.force_setattr(self, "burst_size", min(int(self.burst_size), self.requests_per_minute))
        elif self.burst_size > self.requests_per_minute:
            raise ValidationError(
                f"burst_size: {self.burst_size} is more than requests_per_minute, {self.requests_per_minute}. So many "
                "calls at once would never be allowed.",
                field="burst_size",
            )

    def words(self) -> str:
        """As the scripts read them, and as a user's own are stored."""
        return f"{self.requests_per_minute} {self.requests_per_hour} {self.requests_per_day} {self.burst_size}"

    @classmethod
    def of_words(cls, words: bytes) -> RateLimitConfig:
        """The inverse of `words`. Raises `ValueError` for what is none."""
        minute, hour, day, burst = map(int, words.split())
        return cls(minute, hour, day, burst)

    def limit(self, limit_type: str) -> int:
        """The limit of this type: `minute`, `hour`, `day` or `burst`."""
        return int(getattr(self, _FIELDS[limit_type]))


_FIELDS: Final = dict(zip(LIMIT_TYPES, RateLimitConfig.__struct_fields__, strict=True))


class RateLimitResult(msgspec.Struct, frozen=True, gc=False):
    """What became of a call, or would become of it.

    Not allowed: `limit_type` is the limit that holds longest (`minute`, `hour`, `day` or `burst`), `current_count` what
    was used of it when the first of such calls was refused, and `retry_after_seconds` the time after which one passes.
    Allowed: `limit`, `current_count` and `remaining` are those of the tightest `window`, and `reset_after_seconds` is
    how long it takes until nothing of it is used any more, if nothing comes. `config`: all limits that were looked at.
    """

    allowed: bool
    exceeded: bool = False
    reason: str | None = None
    limit_type: str | None = None
    current_count: int = 0
    limit: int = 0
    retry_after_seconds: float = 0.0
    remaining: int = 0
    window: str | None = None
    reset_after_seconds: float = 0.0
    config: RateLimitConfig | None = None

    @staticmethod
    def ok(remaining: int = 0) -> RateLimitResult:
        """An allowed call."""
        return RateLimitResult(True, remaining=remaining)

    @staticmethod
    def exceeded_limit(
        limit_type: str, current: int, limit: int, retry_after: float, config: RateLimitConfig | None = None
    ) -> RateLimitResult:
        """A call that is one too many."""
        when = IN_WORDS.get(limit_type, f"per {limit_type}")
        calls, were = "call is" if limit == 1 else "calls are", "was" if current == 1 else "were"
        return RateLimitResult(
            False,
            True,
            f"Too many calls: {limit} {calls} allowed {when}, and {current} {were} made. Try again in "
            f"{in_words(retry_after)}.",
            limit_type,
            current,
            limit,
            retry_after,
            0,
            limit_type,
            retry_after,
            config,
        )

    @staticmethod
    def never(limit_type: str, limit: int, config: RateLimitConfig) -> RateLimitResult:
        """A call that counts for more than the limit that was set for its user."""
        wait_s = float(WINDOW_S[WINDOWS.index(limit_type)]) if limit_type in WINDOWS else 60.0
        return RateLimitResult(
            False,
            True,
            f"This call counts for more than the {limit} calls that this user is allowed {IN_WORDS[limit_type]}: as "
            "long as that limit holds it is not let in.",
            limit_type,
            0,
            limit,
            wait_s,
            0,
            limit_type,
            wait_s,
            config,
        )


class WindowUse(msgspec.Struct, frozen=True):
    """What is used of one limit. `reset_after_seconds`: how long until nothing is used any more, if nothing comes."""

    used: int
    limit: int
    remaining: int
    reset_after_seconds: float = 0.0


class EndpointUse(msgspec.Struct, frozen=True):
    """What a user has used of the limits at one endpoint, or of a group of them.

    `reserved`: how many of these are creations that were let in and are not counted from the log yet.
    """

    group: str
    minute: WindowUse
    hour: WindowUse
    day: WindowUse
    burst: WindowUse
    reserved: int = 0


def in_words(seconds: float) -> str:
    """A stretch of time, short and never too small."""
    for size, name in ((3600, "hours"), (60, "minutes")):
        if seconds > 2 * size:
            return f"{_upwards(seconds / size, 1)} {name}"
    return f"{_upwards(seconds, 3)} seconds"


def _upwards(value: float, digits: int) -> str:
    """A number with at most so many digits after the point, never too small."""
    whole, part = divmod(math.ceil(value * 10**digits), 10**digits)
    return f"{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")


def check_count(field: str, value: object) -> int:
    """A number of calls, from 1 on."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= RATE_LIMIT_MAX:
        raise ValidationError(
            f"{field}: {shown(value)} is not a whole number from 1 to {RATE_LIMIT_MAX:,}.", field=field
        )
    return value


def check_config(field: str, value: object) -> RateLimitConfig:
    """A configuration, and nothing else."""
    if not isinstance(value, RateLimitConfig):
        hint = " Limits by endpoint are RateLimits(default, {pattern: …})." if isinstance(value, dict) else ""
        raise ValidationError(f"{field}: must be a RateLimitConfig, not {type(value).__name__}.{hint}", field=field)
    return value
