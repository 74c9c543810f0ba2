"""`lag`, `rebuild`, `verify` and `skip`: how the views are, and what an operator can do for them."""

from __future__ import annotations

from collections import defaultdict

import msgspec

from projections.lag import Lag, lags
from projections.rebuild import rebuild
from projections.skip import skip
from projections.verify import verify
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected
from workers.cli.screen import say, write_json
from workers.cli.stats import by_view
from workers.cli.text import counted, plain
from workers.progress_line import ProgressLine


async def show_lag(where: Where, *, as_json: bool) -> Code:
    """How far the views are behind the log, and what holds them up."""
    async with connected(where) as service:
        found = await lags(service)
    if as_json:
        write_json(found)
        return Code.DONE
    held_up: dict[str, list[Lag]] = defaultdict(list)
    for one in found:
        if one.why:
            held_up[one.projection].append(one)
    say(f"{'view':<12}{'events behind':>14}{'seconds':>10}   state", "bold")
    for view, behind, seconds, states in by_view(found):
        say(f"{plain(view):<12}{behind:>14,}{seconds:>10.3f}   {states}")
        for one in held_up[view]:
            say(f"    partition {one.partition}: {_held_up(one)}")
    if all(one.state == "none" and not one.events for one in found):
        say(_nothing_there(where))
    return Code.DONE


async def rebuild_view(where: Where, view: str, *, from_start: bool) -> Code:
    """Builds a view again beside the live one, and lets it take over. Called again, it goes on where it stopped."""
    async with connected(where) as service:
        with ProgressLine() as line:
            done = await rebuild(service, view, from_start=from_start, report=line.show)
    say(f"{done.view}: built again from {done.events:,} events, and live; {done.keys_dropped:,} old keys removed")
    if done.mended:
        say(f"{done.mended:,} counts of users were not as the log says, and were put right")
    if done.resumed:
        say("This finished a rebuild that had been interrupted. For another one, call it again.")
    return Code.DONE


async def verify_views(where: Where, views: list[str], *, as_json: bool) -> Code:
    """Compares views, interrupts and deadlines with the log; `FAILED` if anything is different."""
    async with connected(where) as service:
        with ProgressLine() as line:
            tell = None if as_json else line.say
            found = await verify(service, views or None, report=line.show, tell=tell)
    if as_json:
        write_json(msgspec.to_builtins(found))
    else:
        what = f"{found.events:,} events, {found.keys:,} keys of views, {found.interrupts:,} interrupts"
        say(f"{what}: {'all as the log says' if found.equal else counted(found.different, 'difference')}")
        if not found.events:
            say(_nothing_there(where))
    return Code.DONE if found.equal else Code.FAILED


async def skip_event(where: Where, view: str, position: str) -> Code:
    """Leaves out the event that a view stands still before."""
    async with connected(where) as service:
        stopped = await skip(service, view, position)
    what = "passes over the hole before" if stopped.problem == "hole" else "leaves out"
    say(f"{plain(view)}: {what} event {plain(position)}, and goes on within seconds if a worker is running")
    say(f"it was: {plain(stopped.error)}")
    return Code.DONE


def _held_up(one: Lag) -> str:
    """What holds a view up in a partition, and what an operator can do."""
    why = plain(one.why or "")
    if one.state != "stopped":
        return f"{one.state}: {why}"
    left_out = f"interrupts skip {one.projection} {one.position}"
    return f"stopped before {one.position}: {why}\n        to leave that out for good: {left_out}"


def _nothing_there(where: Where) -> str:
    return f"There is no event in the namespace {where.namespace!r}: is that its name?"
