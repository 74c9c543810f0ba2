"""The group of all commands: its overview, and what it says to a command that there is not."""

from __future__ import annotations

import difflib
from typing import Any, Final

from typer.core import TyperGroup

from workers.cli.codes import CODES_TEXT

LOOK: Final = "Look and answer"
RUN: Final = "Run it"
MEND: Final = "Look after it"
LEARN: Final = "Get to know it"


class Overview(TyperGroup):
    """Lists the commands by what they are for, each as it is to be typed."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands, under their headings."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                heading = getattr(command, "rich_help_panel", None) or LEARN
                row = f"{ctx.command_path} {name}", command.short_help or ""
                sections.setdefault(heading, []).append(row)
        for heading in (LOOK, RUN, MEND, LEARN):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant. Refuses one that there is not, with those that it may have been."""
        name = args[0]
        if name not in self.commands and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.commands, n=2)
            meant = f" Is {' or '.join(map(repr, near))} meant?" if near else ""
            ctx.fail(f"There is no command {name!r}.{meant}")
        return super().resolve_command(ctx, args)


def epilogue(*examples: str) -> str:
    """What stands at the end of a command's help: how it is used, and its exit codes."""
    shown = "\n".join(f"    interrupts {example}" for example in examples)
    title = "Example:" if len(examples) == 1 else "Examples:"
    return f"\b\n{title}\n{shown}\n\n{CODES_TEXT}"
