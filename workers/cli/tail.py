"""`tail`: the log as it grows, filtered, a line for each event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from interrupts import InterruptService, Position, RecordedEvent, ValidationError
from interrupts.checks import check_kind
from interrupts.positions import time_of
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected, server_now
from workers.cli.following import Start, follow, newest
from workers.cli.screen import note, say, write_json
from workers.cli.text import content_text, moment, plain

FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AGO: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
PREFIX: Final = "interrupt."


class Wanted(msgspec.Struct, frozen=True):
    """Which events are shown, from where on, and how many."""

    session_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    kinds: Sequence[str] = ()
    types: Sequence[str] = ()
    from_start: bool = False
    after: Sequence[str] = ()
    since: str | None = None
    limit: int | None = None


async def tail(where: Where, wanted: Wanted, *, as_json: bool) -> Code:
    """Shows events until it has shown as many as are wanted, or is interrupted. Raises as the log's reader does."""
    kinds = {check_kind(kind) for kind in wanted.kinds}
    types = {name for given in wanted.types for name in (given, PREFIX + given)}
    positions = [Position.parse(position) for position in wanted.after]
    shown = 0
    async with connected(where) as service:
        starts = await _starts(service, wanted, positions)
        lasts = await newest(service, starts)
        if not wanted.from_start and not wanted.since and not positions:
            note(f"tail: following {where.namespace!r} on {where.shown}; end with Ctrl-C")
        events = follow(service, starts, lasts)
        async for event in events:
            if not (
                (wanted.session_id is None or event.session_id == wanted.session_id)
                and (wanted.request_id is None or event.request_id == wanted.request_id)
                and (wanted.user_id is None or event.user_id == wanted.user_id)
                and (not kinds or event.kind in kinds)
                and (not types or event.type in types)
            ):
                continue
            if as_json:
                write_json(event)
            else:
                say(_line(event))
            shown += 1
            if shown == wanted.limit:
                break
        await events.aclose()  # what follows the log is ended before the connection is
    return Code.DONE


async def _starts(service: InterruptService, wanted: Wanted, positions: Sequence[Position]) -> dict[int, Start]:
    """Where each partition begins. A session is in one of them, so the others need not be looked at."""
    log = service.log
    partitions = range(log.partitions) if wanted.session_id is None else [log.partition_of(wanted.session_id)]
    if wanted.from_start:
        return dict.fromkeys(partitions, Start(since=FIRST))
    if wanted.since is not None:
        return dict.fromkeys(partitions, Start(since=await _time(service, wanted.since)))
    if not positions:
        return dict.fromkeys(partitions, Start())
    for position in positions:
        if position.partition not in partitions:
            which = "of this namespace" if wanted.session_id is None else "in which this session is"
            raise ValidationError(f"after: {position} is not in a partition {which}.", field="after")
    # The others go on at the time of the earliest: what is told twice does less harm than what is not told.
    starts = dict.fromkeys(partitions, Start(since=time_of(min(position.ms for position in positions))))
    return starts | {position.partition: Start(after=str(position)) for position in positions}


async def _time(service: InterruptService, given: str) -> datetime:
    """A time as it is given: so long ago, by the server's clock, or in ISO 8601, in UTC unless it says otherwise."""
    if match := _AGO.fullmatch(given):
        number, unit = match.groups()
        return max(FIRST, await server_now(service) - timedelta(**{_UNITS[unit]: min(int(number), 10_000_000)}))
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise ValidationError(
            f"since: {given[:64]!r} is no time. Give one such as 2026-11-20T09:30:00Z, or how long ago: 90s, 15m, 2h, "
            "7d.",
            field="since",
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _line(event: RecordedEvent) -> str:
    """One event on one line: when, where, what, of which interrupt, for whom, by whom, and what was written."""
    parts = [
        moment(event.at),
        event.position,
        event.type,
        event.kind.value if event.kind is not None else "-",
        event.interrupt_id or "-",
        f"session={event.session_id}",
        f"request={event.request_id}",
        f"user={event.user_id}",
        f"by={event.actor}" if event.actor else "",
        content_text(event.content),
    ]
    return plain("  ".join(part for part in parts if part))
