"""`replay`: events of the log once more, to exactly one target, and nothing else is told."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from interrupts import InterruptsError, InterruptService
from projections import PROJECTIONS
from projections.rebuild import named, rebuild
from workers.cli.bar import Bar
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected
from workers.cli.screen import note, say, show_table, write_json
from workers.cli.text import counted, json_text, plain
from workers.cli.times import bound
from workers.replay_choice import Choice
from workers.replay_to_file import check_path, whole_file
from workers.replay_to_handler import handler_named
from workers.replaying import CONCURRENCY, Replayed, Replaying, Target, ToGroup, ToHandler, ToLines

STDOUT = "-"


class Asked(msgspec.Struct, frozen=True):
    """What is to be replayed, and where to: at most one of the four targets."""

    start: Sequence[str] = ()
    until: Sequence[str] = ()
    patterns: Sequence[str] = ()
    session_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    kinds: Sequence[str] = ()
    interrupt_id: str | None = None
    to_group: str | None = None
    to_file: str | None = None
    to_handler: str | None = None
    force: bool = False
    concurrency: int = CONCURRENCY
    stop_on_error: bool = False
    dry_run: bool = False

    async def choice(self, service: InterruptService) -> Choice:
        """Which events these are. Raises `ValidationError`, `UnavailableError`."""
        return Choice(
            await bound(service, "--from", self.start),
            await bound(service, "--until", self.until),
            self.patterns,
            self.session_id,
            self.request_id,
            self.user_id,
            self.kinds,
            self.interrupt_id,
        )

    def target(self) -> Target:
        """Where they go, as far as that can be told without a server. Raises `ValidationError`."""
        if self.to_group is not None:
            return ToGroup(self.to_group)
        if self.to_handler is not None:
            sys.path.append(str(Path.cwd()))  # as `python -m` has it in front; here it takes no other module's place
            return ToHandler(handler_named(self.to_handler), self.concurrency, self.stop_on_error)
        if self.to_file == STDOUT:
            return ToLines(_stdout(), _safe_line)
        if self.to_file is not None:
            check_path(self.to_file, force=self.force or self.dry_run)
            return ToLines(whole_file(self.to_file, force=self.force))
        return None


async def replay(where: Where, asked: Asked, *, as_json: bool) -> Code:
    """Replays; `FAILED` if a handler failed, or something can't be read. Interrupted, it says from where to go on."""
    target, bar = asked.target(), Bar()
    async with connected(where) as service:
        replaying = Replaying(
            service, await asked.choice(service), target, dry_run=asked.dry_run, report=bar.show, tell=bar.tell
        )
        try:
            with bar:
                done = await replaying.run()
        except asyncio.CancelledError:
            _tell_of_the_end(asked, replaying.result(), "interrupted", as_json=as_json)
            raise
        except InterruptsError:
            if replaying.result().looked_at:
                _tell_of_the_end(asked, replaying.result(), "ended by a fault", as_json=False)
            raise
    if not done.finished:
        _tell_of_the_end(asked, done, "stopped after a failure", as_json=False)
    if as_json:
        write_json(done)
    else:
        _tell(asked, done)
    return Code.FAILED if done.failures or done.unreadables or not done.finished else Code.DONE


async def replay_to_view(where: Where, view: str, *, dry_run: bool, as_json: bool) -> Code:
    """Builds a view again from the whole log; with `dry_run` it only says from how many events. Raises as `rebuild`."""
    async with connected(where) as service:
        if dry_run:
            named(view, PROJECTIONS)
            counted_only = await Replaying(service, Choice(), None).run()
            if as_json:
                write_json(counted_only)
            else:
                _show_types(f"{plain(view)} would be built again from the whole log", counted_only)
            return Code.DONE
        with Bar() as bar:
            done = await rebuild(service, view, report=bar.show)
    if as_json:
        write_json(done)
    else:
        say(f"{plain(done.view)}: built again from {counted(done.events, 'event')}, and live")
    return Code.DONE


def _tell(asked: Asked, done: Replayed) -> None:
    """What was done; on stderr if stdout has the events."""
    if asked.dry_run or not (asked.to_group or asked.to_handler or asked.to_file):
        _show_types("a replay would hand on", done)
        return
    out = note if asked.to_file == STDOUT else say
    looked = f"of {counted(done.looked_at, 'event')} of the log"
    if asked.to_group is not None:
        out(f"{counted(done.events, 'event')} handed to {plain(asked.to_group)}, {looked}; its worker handles them now")
    elif asked.to_handler is not None:
        failed = f", {done.failures:,} failed" if done.failures else ""
        out(f"{counted(done.events, 'event')} handled by {plain(asked.to_handler)}{failed}, {looked}")
    else:
        where = "stdout" if asked.to_file == STDOUT else repr(plain(asked.to_file or ""))
        out(f"{counted(done.events, 'event')} written to {where}, {looked}")
    if done.unreadables:
        note(f"{counted(done.unreadables, 'entry').replace('entrys', 'entries')} can't be read, and were left out")


def _show_types(what: str, done: Replayed) -> None:
    say(f"{what}: {counted(done.events, 'event')}, of {counted(done.looked_at, 'event')} of the log")
    if done.types:
        say()
        show_table(("event", "count"), [[name, f"{count:,}"] for name, count in done.types.items()], right=("count",))


def _tell_of_the_end(asked: Asked, done: Replayed, how: str, *, as_json: bool) -> None:
    """How far it came, and from where to go on."""
    if as_json:
        write_json(done)
    if asked.to_file is not None and asked.to_file != STDOUT and not asked.dry_run:
        note(f"replay: {how}. Nothing was written to {plain(asked.to_file)!r}.")
        return
    if not done.next:
        note(f"replay: {how}. Nothing was replayed.")
        return
    note(f"replay: {how}, after {counted(done.events, 'event')}. To go on, give the same options with:")
    note(f"--from {','.join(done.next)}")


@contextlib.contextmanager
def _stdout() -> Iterator[BinaryIO]:
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


def _safe_line(event: object) -> bytes:
    return json_text(event).encode()
