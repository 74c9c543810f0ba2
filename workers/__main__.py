"""The command line: `python -m workers <command>`. Without a command it says what there is."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from interrupts import InterruptsError
from workers import commands
from workers.tour import tour

Run = Callable[[argparse.Namespace], Coroutine[Any, Any, int]]


async def _tour(_: argparse.Namespace) -> int:
    await tour()
    return 0


COMMANDS: Final[dict[str, tuple[Run, str]]] = {
    "tour": (_tour, "what an interrupt is and what the store promises, shown in the terminal in a few seconds"),
    "run": (commands.run, "run the workers, which keep the lists up to date, until Ctrl-C or SIGTERM"),
    "lag": (commands.lag, "how far the views are behind the log, and what holds them up"),
    "rebuild": (commands.rebuild_view, "build a view again from the log, beside the live one, under load or not"),
    "verify": (commands.verify_views, "compare views, interrupts and deadlines with the log; exit code 1: different"),
    "skip": (commands.skip_event, "let a view leave out the one event that it stands still before"),
}

GOES_ON: Final = {"rebuild": "; called again, it goes on where it stopped"}
"""What to say of a command that was interrupted."""


def main(arguments: list[str]) -> int:
    """Runs one command; returns the exit code: 2 for a command that is none, 1 for one that could not do its work."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"There is no command {name!r}.\n\n{_overview()}", file=sys.stderr)
        return 2
    run, _ = COMMANDS[name]
    parsed = _parser(name).parse_args(rest)
    try:
        return asyncio.run(run(parsed))
    except InterruptsError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted{GOES_ON.get(name, '')}", file=sys.stderr)
        return 130


def _parser(name: str) -> argparse.ArgumentParser:
    """What a command takes."""
    parser = argparse.ArgumentParser(f"python -m workers {name}", description=COMMANDS[name][1])
    if name == "tour":
        return parser
    if name in ("rebuild", "skip"):
        parser.add_argument("view", help="the view's name, such as pending")
    if name == "skip":
        parser.add_argument("position", help="where the event is, as `lag` and the error say it: 3:1795191038753-0")
    if name == "verify":
        parser.add_argument("views", nargs="*", help="the views' names; none: all")
    if name == "rebuild":
        parser.add_argument("--from-start", action="store_true", help="do not go on with what was begun before")
    if name in ("lag", "verify"):
        parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--url", help="where the data are, as for connect(); else INTERRUPTS_REDIS_URL")
    parser.add_argument("--namespace", default="interrupts", help="which store on that server (default: %(default)s)")
    return parser


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"    python -m workers {name.ljust(width)}   {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["There is:", "", *lines, "", "--help behind a command tells what it takes."])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
