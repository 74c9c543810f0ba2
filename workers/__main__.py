"""The command line: `python -m workers <command>`. Without a command it says what there is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

from interrupts import InterruptsError
from workers.tour import tour

COMMANDS: Final[dict[str, tuple[Callable[[], Coroutine[Any, Any, None]], str]]] = {
    "tour": (tour, "what an interrupt is and what the store promises, shown in the terminal in a few seconds"),
}


def main(arguments: list[str]) -> int:
    """Runs one command; returns the exit code: 2 for a command that is none, 1 for one that could not do its work."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if len(arguments) > 1 or arguments[0] not in COMMANDS:
        print(f"There is no command {' '.join(arguments)!r}.\n\n{_overview()}", file=sys.stderr)
        return 2
    try:
        asyncio.run(COMMANDS[arguments[0]][0]())
    except InterruptsError as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"    python -m workers {name.ljust(width)}   {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["There is:", "", *lines])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
