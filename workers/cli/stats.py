"""`stats`: how many interrupts there are, and how the store is doing. It works also where no worker ever ran."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from interrupts import InterruptService, InterruptStatus
from interrupts.errors import ViewBehindError, ViewStoppedError
from interrupts.pages import Counts
from interrupts.views import COUNTS
from projections.lag import Lag, lags
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected
from workers.cli.groups import show_groups
from workers.cli.screen import say, show_table, write_json
from workers.cli.text import counted, moment, plain, span
from workers.group_standing import GroupStanding, group_standings

STATUSES = tuple(status.value for status in InterruptStatus)


class Stats(msgspec.Struct, frozen=True):
    """What there is to say. `counts` is None where they are not known: `why` says why, or else that they are old."""

    namespace: str
    partitions: int
    events: int
    counts: Counts | None
    why: str | None
    views: list[Lag]
    groups: list[GroupStanding]


async def stats(where: Where, *, as_json: bool) -> Code:
    """Everything at a glance, as it is now. Raises `UnavailableError`."""
    async with connected(where) as service:
        found = await _gathered(service)
    if as_json:
        write_json(found)
        return Code.DONE
    log = f"{counted(found.partitions, 'partition')}, {counted(found.events, 'event')} in the log"
    say(f"namespace {found.namespace!r}, {log}")
    if found.counts is not None:
        _show_counts(found.counts)
    if found.why is not None:
        say(plain(found.why))
    say()
    rows = [[view, f"{behind:,}", f"{seconds:.3f}", states] for view, behind, seconds, states in by_view(found.views)]
    show_table(("view", "events behind", "seconds", "state"), rows, right=("events behind", "seconds"))
    if found.groups:
        say()
        show_groups(found.groups)
    return Code.DONE


def by_view(found: Sequence[Lag]) -> list[tuple[str, int, float, str]]:
    """For each view: how many events it is behind in all partitions, the longest wait, and its states."""
    together: dict[str, list[Lag]] = {}
    for one in found:
        together.setdefault(one.projection, []).append(one)
    return [
        (
            view,
            sum(one.events for one in each),
            max(one.seconds for one in each),
            ", ".join(sorted({one.state for one in each})),
        )
        for view, each in together.items()
    ]


async def _gathered(service: InterruptService) -> Stats:
    keys = service.store.keys
    lengths = await asyncio.gather(
        *(service.store.server.command(keys.slots[each], "XLEN", keys.logs[each]) for each in range(keys.partitions))
    )
    views, counts, why = await lags(service), None, None
    of_counts = [one for one in views if one.projection == COUNTS.name]
    if any(one.state in ("none", "building") and one.events for one in of_counts):
        why = "The counts are not known yet: no worker has folded the whole log. Run one: interrupts worker"
    else:
        try:
            counts = await service.counts(wait=False)
        except (ViewBehindError, ViewStoppedError) as error:
            why = f"The counts are not known: {error}"
        late = sum(one.events for one in of_counts)
        if counts is not None and late:
            why = f"The counts are {counted(late, 'event')} behind the log."
    groups = await group_standings(service)
    return Stats(keys.namespace, keys.partitions, sum(map(int, lengths)), counts, why, views, groups)


def _show_counts(counts: Counts) -> None:
    say(f"{counts.of(InterruptStatus.PENDING):,} pending, of which {counts.overdue:,} overdue")
    if counts.oldest_pending_at is not None and counts.oldest_pending_age_s is not None:
        say(f"the oldest is pending since {moment(counts.oldest_pending_at)}, for {span(counts.oldest_pending_age_s)}")
    say()
    rows = [
        [kind.value, *(f"{counts.of(status, kind):,}" for status in STATUSES)]
        for kind, by_status in counts.by.items()
        if any(by_status.values())
    ]
    total = ["all", *(f"{counts.of(status):,}" for status in STATUSES)]
    show_table(("kind", *STATUSES), [*rows, total], right=STATUSES)
