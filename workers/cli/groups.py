"""`groups` and `unresumed`: how groups of reactions stand, and what has ended without anybody going on with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from workers.cli.codes import Code
from workers.cli.connecting import Where, connected, server_now
from workers.cli.screen import note, say, show_table, write_json
from workers.cli.text import counted, moment, plain, span
from workers.group_standing import GroupStanding, forget, group_standings
from workers.unresumed import Unresumed, unresumed

HEAD = ("group", "events behind", "seconds", "held", "parked", "run by", "resumes", "wants")
PARTITION_HEAD = ("partition", "position", "events behind", "seconds", "held", "parked", "run by")
UNRESUMED_HEAD = ("interrupt", "event", "session", "ended", "ago", "group", "why", "attempts", "error")
NUMBERS = ("events behind", "seconds", "held", "parked", "attempts")


async def list_groups(where: Where, group: str | None, *, as_json: bool) -> Code:
    """All groups, or one of them partition by partition. Raises as `workers.group_standing` does."""
    async with connected(where) as service:
        found = await group_standings(service, group)
    if as_json:
        write_json(found)
        return Code.DONE
    if not found:
        note("There is no group of reactions. A worker makes them known when it first runs their handlers.")
        return Code.DONE
    show_groups(found)
    if group is not None:
        (one,) = found
        say()
        rows = [
            [
                *(str(each.partition), each.position, f"{each.behind:,}", f"{each.seconds:.3f}"),
                *(f"{each.held:,}", f"{each.parked:,}", each.owner or "nobody"),
            ]
            for each in one.partitions
        ]
        show_table(PARTITION_HEAD, rows, right=NUMBERS)
    return Code.DONE


def show_groups(found: Sequence[GroupStanding]) -> None:
    """A line for each group."""
    rows = [
        [
            *(one.group, f"{one.behind:,}", f"{one.seconds:.3f}", f"{one.held:,}", f"{one.parked:,}"),
            _run_by(one),
            "yes" if one.resumes else "no",
            " ".join(one.patterns),
        ]
        for one in found
    ]
    show_table(HEAD, rows, right=NUMBERS)


def _run_by(one: GroupStanding) -> str:
    owned = sum(each.owner is not None for each in one.partitions)
    if not owned:
        return "nobody"
    by = counted(len(one.owners), "process") if len(one.owners) == 1 else f"{len(one.owners)} processes"
    return by if owned == len(one.partitions) else f"{by}, {owned} of {len(one.partitions)} partitions"


async def forget_group(where: Where, group: str) -> Code:
    """Removes all that a group remembers. Raises as `workers.group_standing` does."""
    async with connected(where) as service:
        await forget(service, group)
    say(f"{plain(group)} is forgotten: whoever runs a handler under this name makes it anew")
    return Code.DONE


async def list_unresumed(where: Where, group: str | None, limit: int, cursor: str | None, *, as_json: bool) -> Code:
    """What has ended, and was not gone on with; at most `limit`. Raises as `workers.unresumed` does."""
    found: list[Unresumed] = []
    async with connected(where) as service:
        while True:
            page = await unresumed(service, group, limit=limit - len(found), cursor=cursor)
            found += page.unresumed
            cursor = page.next_cursor
            if cursor is None or len(found) == limit:
                break
        now = await server_now(service)
    if as_json:
        write_json({"unresumed": found, "next_cursor": cursor})
        return Code.DONE
    if found:
        show_table(UNRESUMED_HEAD, [_row(one, now) for one in found], right=NUMBERS)
    else:
        note("Nothing has ended that was not gone on with.")
    if cursor is not None:
        note(f"There may be more. Go on with: --cursor {plain(cursor)}")
    return Code.DONE


def _row(one: Unresumed, now: datetime) -> list[str]:
    return [
        *(one.interrupt_id, one.type.removeprefix("interrupt."), one.session_id, moment(one.since)),
        *(span((now - one.since).total_seconds()), one.group, one.why, str(one.attempts or ""), one.error),
    ]
