"""The command line: `interrupts <command>`, or `python -m workers <command>`. Without one it says what there is."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Final

import typer

from workers.cli.app import app
from workers.cli.codes import Code

PROGRAM: Final = "python -m workers"


def main(arguments: Sequence[str], program: str = PROGRAM) -> int:
    """Runs one command, and returns its exit code.

    Wrong usage and `--help` end the process, as is the custom: `SystemExit` with 2 or 0.
    """
    try:
        code = typer.main.get_command(app).main(list(arguments), prog_name=program, standalone_mode=False)
    except typer.Abort:
        return Code.INTERRUPTED
    except typer.TyperException as error:
        _tell_usage(error)
        sys.exit(Code.USAGE)
    if isinstance(code, Code):
        return code
    sys.exit(code)


def entry() -> None:
    """The installed command `interrupts`."""
    _run("interrupts")


def _run(program: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that can't show a character is shown its number
        sys.stdout.reconfigure(errors="backslashreplace")
    with contextlib.suppress(KeyboardInterrupt):  # so early, or so late, that no command has heard it
        sys.exit(main(sys.argv[1:], program))
    sys.exit(Code.INTERRUPTED)


def _tell_usage(error: typer.TyperException) -> None:
    """How the command is used, and what was wrong; behind a command that there is not, all that there are."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None:
        text = message
    elif context.parent is None:
        text = f"{message}\n\n{context.get_help()}"
    else:
        usage = context.get_usage().removeprefix("Usage:")
        text = f"usage:{usage}\n\n{message}\n--help tells more: {context.command_path} --help"
    typer.echo(text, err=True)


if __name__ == "__main__":
    _run(PROGRAM)
