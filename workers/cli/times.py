"""Times and places of the log as people type them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from interrupts import InterruptService, Position, ValidationError
from workers.cli.connecting import server_now
from workers.replay_choice import Bound

BEGINNING: Final = "beginning"
FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AGO: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_POSITION: Final = re.compile(r"\d+:\d+-\d+", re.ASCII)


async def bound(service: InterruptService, option: str, given: Sequence[str]) -> Bound:
    """What was given as a place to begin or end at: nothing, `beginning`, a time, or positions, also with commas.

    So long ago is by the server's clock; a time without a zone is UTC. Raises `ValidationError`, `UnavailableError`.
    """
    words = [word for each in given for word in each.split(",") if word]
    if not words:
        return None
    if all(map(_POSITION.fullmatch, words)):
        return [Position.parse(word) for word in words]
    if len(words) > 1:
        raise ValidationError(f"{option}: give one time, or several positions, not {' '.join(words)[:80]!r}.")
    (word,) = words
    if word == BEGINNING:
        return FIRST
    if match := _AGO.fullmatch(word):
        number, unit = match.groups()
        return max(FIRST, await server_now(service) - timedelta(**{_UNITS[unit]: min(int(number), 10_000_000)}))
    try:
        time = datetime.fromisoformat(word)
    except ValueError:
        raise ValidationError(
            f"{option}: {word[:64]!r} is no place in the log. Give a position such as 3:1795191038753-0, a time such "
            "as 2026-11-20T09:30:00Z, how long ago (90s, 15m, 2h, 7d), or beginning."
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
