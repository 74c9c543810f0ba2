"""What a subscription is: a named group of the log, the events it wants, and how they are handled when that fails."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from interrupts import Position, ValidationError
from interrupts.checks import shown
from interrupts.event_names import check_event_pattern
from interrupts.positions import ms_of
from workers.event import Event

Handler = Callable[[Event], Awaitable[Any] | Any]
Start = str | datetime | Position
"""`now`, `beginning`, a time, or a position."""
_GROUP: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}", re.ASCII)
WEBHOOKS_GROUP: Final = "webhooks"
ATTEMPTS_MAX: Final = 100
CONCURRENCY_MAX: Final = 1_000
SECONDS_MAX: Final = 24 * 3600.0


class Subscription(msgspec.Struct, frozen=True):
    """One group of reactions. `event_bus.subscribe` says what each field means."""

    group: str
    patterns: tuple[str, ...]
    handler: Handler
    start: Start = "now"
    resumes: bool = False
    attempts_max: int = 10
    backoff_first_s: float = 0.5
    backoff_max_s: float = 60.0
    timeout_s: float = 60.0
    concurrency: int = 64

    def __post_init__(self) -> None:
        """Refuses, by name, what can't be meant. Raises `ValidationError`."""
        if not isinstance(self.group, str) or not _GROUP.fullmatch(self.group):
            raise ValidationError(
                f"group: {shown(self.group)} can't be a group's name. Use up to 100 letters, digits, dots, dashes and "
                "underscores.",
                field="group",
            )
        if self.group == WEBHOOKS_GROUP:
            raise ValidationError(
                f"group: {WEBHOOKS_GROUP!r} is the name under which the log is read for webhooks. Use another one.",
                field="group",
            )
        if not self.patterns:
            raise ValidationError("pattern: say at least one, such as interrupt.resolved.", field="pattern")
        for pattern in self.patterns:
            check_event_pattern(pattern)
        if not callable(self.handler):
            raise ValidationError("handler: it can't be called.", field="handler")
        with suppress(ValueError):  # of some things that can be called nobody can tell what they take
            try:
                inspect.signature(self.handler).bind(None)
            except TypeError:
                raise ValidationError("handler: it must take one argument, the event.", field="handler") from None
        _check_number("attempts_max", self.attempts_max, 1, ATTEMPTS_MAX, whole=True)
        _check_number("concurrency", self.concurrency, 1, CONCURRENCY_MAX, whole=True)
        _check_number("backoff_first_s", self.backoff_first_s, 0, SECONDS_MAX)
        _check_number("backoff_max_s", self.backoff_max_s, self.backoff_first_s, SECONDS_MAX)
        _check_number("timeout_s", self.timeout_s, 0.001, SECONDS_MAX)
        self.start_in(0)

    def start_in(self, partition: int) -> str:
        """Where it starts in a partition, in the words of the script. Raises `ValidationError`."""
        start = self.start
        if isinstance(start, datetime):
            return str(max(0, ms_of(start)))
        if start in ("now", "beginning"):
            return str(start)
        if isinstance(start, str) and ":" not in start:
            raise ValidationError(
                f"start: {shown(start)} is none. It is 'now', 'beginning', a datetime, or a position of the log.",
                field="start",
            )
        position = Position.parse(start)
        # Another partition has no such position: there it starts at its time.
        return position.stream_id if position.partition == partition else str(position.ms)

    def about(self) -> bytes:
        """What operators are told of it."""
        handler = f"{getattr(self.handler, '__module__', '')}.{getattr(self.handler, '__qualname__', '')}"
        return msgspec.json.encode(GroupInfo(list(self.patterns), self.resumes, handler[:200], self.attempts_max))


class GroupInfo(msgspec.Struct, frozen=True):
    """What is written down of a group."""

    patterns: list[str]
    resumes: bool
    handler: str
    attempts_max: int


def group_of(handler: object, patterns: Sequence[str]) -> str:
    """The name of a group that was given none: the handler's own. Refuses one that has no name of its own."""
    name = f"{getattr(handler, '__module__', '')}.{getattr(handler, '__qualname__', '<no name>')}"
    if "<" in name or name.startswith("__main__.") or not _GROUP.fullmatch(name):
        raise ValidationError(
            f"group: the handler for {', '.join(patterns)[:100]} has no name that lasts ({name[:100]}), so say one: "
            "@bus.subscribe(…, group='…'). The group remembers under it how far it is.",
            field="group",
        )
    return name


def _check_number(field: str, value: object, least: float, most: float, *, whole: bool = False) -> None:
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise ValidationError(f"{field}: {shown(value)} is not a number from {least:g} to {most:g}.", field=field)
