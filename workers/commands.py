"""What the command line does: each command is a function from its arguments to an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from interrupts import InterruptService, ValidationError, connect
from interrupts.open_log import EMBEDDED_FOLDER, URL_VARIABLE
from interrupts.store.urls import parse
from projections.lag import Lag, lags
from projections.rebuild import rebuild
from projections.skip import skip
from projections.verify import verify
from workers.progress_line import ProgressLine
from workers.within import running

DIFFERENT: Final = 1
"""The exit code of a comparison that found differences."""


def _connected(arguments: argparse.Namespace) -> AbstractAsyncContextManager[InterruptService]:
    """The store that the arguments name. Refuses memory, which no other process can see into."""
    url = arguments.url or os.environ.get(URL_VARIABLE, "")
    if url.startswith("memory:"):
        raise ValidationError(
            "url: memory:// is one process's memory, and this process is another. Give the url of a server, or of a "
            "folder (embedded://); in a process of your own use workers.running(service).",
            field="url",
        )
    return connect(arguments.url, namespace=arguments.namespace)


async def run(arguments: argparse.Namespace) -> int:
    """Runs the workers until it is asked to end (SIGTERM, Ctrl-C); asked again, it ends at once."""
    asked, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        if asked.is_set():
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    async with _connected(arguments) as service:
        async with running(service) as work:
            where = parse(arguments.url or os.environ.get(URL_VARIABLE) or f"embedded://{EMBEDDED_FOLDER}").where
            what = f"run: folding the views of {arguments.namespace!r} on {where}; end with Ctrl-C"
            print(what, file=sys.stderr, flush=True)
            await asked.wait()
            print("run: ending", file=sys.stderr, flush=True)
        print(f"run: {work.folded:,} events folded", file=sys.stderr, flush=True)
    return 0


async def lag(arguments: argparse.Namespace) -> int:
    """How far the views are behind the log."""
    async with _connected(arguments) as service:
        found = await lags(service)
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        print(_lag_table(found))
        if all(one.state == "none" and not one.events for one in found):
            print(_nothing_there(arguments.namespace))
    return 0


async def rebuild_view(arguments: argparse.Namespace) -> int:
    """Builds a view again beside the live one."""
    async with _connected(arguments) as service:
        with ProgressLine() as line:
            done = await rebuild(service, arguments.view, from_start=arguments.from_start, report=line.show)
    print(f"{done.view}: built again from {done.events:,} events, and live; {done.keys_dropped:,} old keys removed")
    if done.mended:
        print(f"{done.mended:,} counts of users were not as the log says, and were put right")
    if done.resumed:
        print("This finished a rebuild that had been interrupted. For another one, call it again.")
    return 0


async def verify_views(arguments: argparse.Namespace) -> int:
    """Compares the views, the interrupts' keys and the deadlines with the log."""
    async with _connected(arguments) as service:
        with ProgressLine() as line:
            tell = None if arguments.json else line.say
            found = await verify(service, arguments.views or None, report=line.show, tell=tell)
    if arguments.json:
        print(msgspec.json.encode(found).decode())
    else:
        what = f"{found.events:,} events, {found.keys:,} keys of views, {found.interrupts:,} interrupts"
        different = "1 difference" if found.different == 1 else f"{found.different:,} differences"
        print(f"{what}: {'all as the log says' if found.equal else different}")
        if not found.events:
            print(_nothing_there(arguments.namespace))
    return 0 if found.equal else DIFFERENT


async def skip_event(arguments: argparse.Namespace) -> int:
    """Leaves out the event that a view stands still before."""
    async with _connected(arguments) as service:
        stopped = await skip(service, arguments.view, arguments.position)
    what = "passes over the hole before" if stopped.problem == "hole" else "leaves out"
    print(f"{arguments.view}: {what} event {arguments.position}, and goes on within seconds if a worker is running")
    print(f"it was: {stopped.error}")
    return 0


def _lag_table(found: list[Lag]) -> str:
    """A line for each view, and one for each partition in which there is something to say."""
    by_view: dict[str, list[Lag]] = defaultdict(list)
    for one in found:
        by_view[one.projection].append(one)
    lines = [f"{'view':<12}{'events behind':>14}{'seconds':>10}   state"]
    for view, each in by_view.items():
        states = sorted({one.state for one in each})
        behind, seconds = sum(one.events for one in each), max(one.seconds for one in each)
        lines.append(f"{view:<12}{behind:>14,}{seconds:>10.3f}   {', '.join(states)}")
        lines += [f"    partition {one.partition}: {_held_up(one)}" for one in each if one.why]
    return "\n".join(lines)


def _held_up(one: Lag) -> str:
    """What holds a view up in a partition, and what an operator can do."""
    if one.state != "stopped":
        return f"{one.state}: {one.why}"
    left_out = f"python -m workers skip {one.projection} {one.position}"
    return f"stopped before {one.position}: {one.why}\n        to leave that out for good: {left_out}"


def _nothing_there(namespace: str) -> str:
    return f"There is no event in the namespace {namespace!r}: is that its name?"
