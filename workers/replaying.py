"""Replaying the log: events of a stretch of it, filtered, once more to exactly one target.

    replayed = await replay(service, Choice(start=yesterday, patterns=["interrupt.resolved"]), ToGroup("resume"))

Whatever the target, nothing but it is told: no webhook, no database, no other group, no view. A view is built again by
`projections.rebuild`. Marks (that an end was handed over, and that somebody has gone on with it) are nobody's news, so
groups and handlers are not given them; files are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO, Final

import msgspec

from interrupts import CorruptLogError, InterruptService, ValidationError
from projections.progress import Report
from workers.group_pages import known_groups
from workers.reading import Wanted
from workers.replay_choice import Choice
from workers.replay_reading import Replay, Tell, Unreadable
from workers.replay_to_group import Feeding, places_of
from workers.replay_to_handler import Failed, Handing
from workers.subscriptions import CONCURRENCY_MAX, Handler

CONCURRENCY: Final = 16


class ToGroup(msgspec.Struct, frozen=True):
    """To a group of reactions, which a worker must be running."""

    group: str


class ToHandler(msgspec.Struct, frozen=True):
    """To a function. With `stop_on_error` nothing is begun after it has failed once."""

    handler: Handler
    concurrency: int = CONCURRENCY
    stop_on_error: bool = False

    def __post_init__(self) -> None:
        """Raises `ValidationError`."""
        if not 1 <= self.concurrency <= CONCURRENCY_MAX:
            raise ValidationError(
                f"concurrency: {self.concurrency} is not a number from 1 to {CONCURRENCY_MAX:,}.", field="concurrency"
            )


class ToLines(msgspec.Struct, frozen=True):
    """To what `opened` gives, for as long as its block lasts: a line of JSON for each event, in the order of times."""

    opened: AbstractContextManager[BinaryIO]
    encode: Callable[[object], bytes] = msgspec.json.encode


Target = ToGroup | ToHandler | ToLines | None


class Replayed(msgspec.Struct, frozen=True):
    """What a replay has done: of `looked_at` events of the log, how many were handed on, and of which types.

    `failures`: how often a handler failed; `failed` has the first of these. `unreadables`: how many entries can't be
    read, and were left out; `unreadable` has the first of these. `finished`: it was not stopped before its end. `next`:
    from where to go on, for each partition, whatever ended it.
    """

    looked_at: int
    events: int
    types: dict[str, int]
    failures: int
    failed: list[Failed]
    unreadables: int
    unreadable: list[Unreadable]
    finished: bool
    next: list[str]


class Replaying:
    """One replay to one target, or to none: then it only counts. `run` it once; `result` tells how far it is."""

    def __init__(
        self,
        service: InterruptService,
        choice: Choice,
        target: Target,
        *,
        dry_run: bool = False,
        report: Report | None = None,
        tell: Tell | None = None,
    ) -> None:
        self._service, self._choice, self._target = service, choice, target
        self._dry_run = dry_run or target is None
        self._report, self._tell = report, tell
        self._replay = Replay(service, choice)
        self._handing: Handing | None = None
        self._finished = False

    async def run(self) -> Replayed:
        """Replays. Raises `NotFoundError` for a group that there is not; `ValidationError`, `UnavailableError`."""
        target, service = self._target, self._service
        wanted, upto = None, None
        if isinstance(target, ToGroup):
            patterns = (await known_groups(service, target.group))[target.group].patterns
            wanted, upto = Wanted(patterns), await places_of(service, target.group)
        elif isinstance(target, ToHandler):
            wanted = Wanted(["*"])
        replay = self._replay = Replay(
            service, self._choice, wanted=wanted, upto=upto, report=self._report, tell=self._tell
        )
        await replay.begin()
        if self._dry_run:
            await self._count()
        elif isinstance(target, ToGroup):
            await Feeding(service, replay, target.group, self._tell).run()
        elif isinstance(target, ToHandler):
            self._handing = Handing(
                replay,
                target.handler,
                concurrency=target.concurrency,
                stop_on_error=target.stop_on_error,
                tell=self._tell,
            )
            await self._handing.run()
        elif isinstance(target, ToLines):
            await self._write(target)
        self._finished = self._handing is None or not self._handing.stopped
        replay.end()
        return self.result()

    def result(self) -> Replayed:
        """What it has done until now, be it that it was interrupted."""
        replay, handing = self._replay, self._handing
        return Replayed(
            replay.looked_at,
            replay.count,
            dict(sorted(replay.types.items())),
            0 if handing is None else handing.failures,
            [] if handing is None else handing.failed,
            replay.unreadables,
            replay.unreadable,
            self._finished,
            replay.places(),
        )

    async def _count(self) -> None:
        for partition in self._replay.partitions:
            async for events in self._replay.pages(partition):
                for event in events:
                    self._replay.done(event)

    async def _write(self, target: ToLines) -> None:
        replay = self._replay
        with target.opened as file:
            async for event in replay.merged():
                try:
                    line = target.encode(event.recorded) + b"\n"
                except CorruptLogError as error:
                    replay.refused(event, error)
                    continue
                file.write(line)
                replay.done(event)


async def replay(
    service: InterruptService,
    choice: Choice,
    target: Target,
    *,
    dry_run: bool = False,
    report: Report | None = None,
    tell: Tell | None = None,
) -> Replayed:
    """Replays what is chosen to a target; with `dry_run`, or without a target, it is only counted.

    `report` is told how far it is, now and then; `tell` of each failure, and of what holds it up. Raises
    `NotFoundError`, `ValidationError`, `UnavailableError`.
    """
    return await Replaying(service, choice, target, dry_run=dry_run, report=report, tell=tell).run()
