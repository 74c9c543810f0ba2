"""A command that has commands of its own, and does one of them if none is named: `parked` is `parked list`."""

from __future__ import annotations

from typing import Any, Final

from typer.core import TyperGroup

DEFAULT: Final = "list"


class Nested(TyperGroup):
    """What is behind it and names no command of its own belongs to `list`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `list` in, where it was left out. Help without it is this command's own."""
        first = args[0] if args else ""
        if first not in self.commands and first not in ctx.help_option_names:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)
