"""What commands print: tables and lines for people, JSON for programs, remarks on stderr.

On a terminal there is a little colour, and long texts are wrapped. In a pipe there is neither: a line for each row,
with everything in it, however wide, so that `grep` and `cut` see what a reader would.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from workers.cli.text import json_text, plain

if TYPE_CHECKING:
    from rich.console import Console

GAP: Final = "  "
WRAPPED_MIN: Final = 20
"""A text that is wrapped needs so many characters, or nobody can read it."""
STYLED: Final = ("status", "state")
STYLES: Final = {
    "pending": "yellow",
    "resolved": "green",
    "cancelled": "red",
    "expired": "red",
    "stopped": "bold red",
    "delivered": "green",
    "retrying": "yellow",
    "failed": "red",
    "off": "bold red",
}


def console() -> Console:
    """Rich's, told to take text as it is: no markup, no guesses at what it means, and nothing is cut off."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, soft_wrap=True)


def write_json(value: object) -> None:
    """A document on stdout, and nothing else on its line."""
    sys.stdout.write(f"{json_text(value)}\n")
    sys.stdout.flush()


def say(text: str = "", style: str | None = None) -> None:
    """A line on stdout. The caller has made safe what strangers wrote."""
    if style and sys.stdout.isatty():
        console().print(text, style=style)
    else:
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """A remark on stderr, which is in no program's way."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """A table. The last column may be wrapped; the others are never cut off, on a narrow terminal they take turns."""
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(head, *cells, strict=True)]
    if sys.stdout.isatty():
        drawn = console()
        fixed = sum(widths[:-1]) + len(GAP) * (len(head) - 1)
        if fixed + min(widths[-1], WRAPPED_MIN) <= drawn.width:
            _draw(drawn, head, cells, right)
        else:
            _stack(head, cells, widths, drawn.width)
        return
    for row in (head, *cells):
        padded = [_pad(cell, width, name in right) for cell, width, name in zip(row, widths, head, strict=True)]
        say(GAP.join(padded).rstrip())


def _stack(head: Sequence[str], cells: Sequence[Sequence[str]], widths: Sequence[int], room: int) -> None:
    """Each row on several lines: as many columns on each as there is room for, and the last on a line of its own."""
    starts, taken = [0], 0
    for number, width in enumerate(widths):
        if number == len(widths) - 1 or (taken and taken + len(GAP) + width > room):
            starts.append(number)
            taken = len(GAP)
        taken += width + len(GAP)
    for row in (head, *cells):
        for first, upto in pairwise((*starts, len(head))):
            padded = [_pad(cell, width, False) for cell, width in zip(row[first:upto], widths[first:upto], strict=True)]
            line = f"{GAP if first else ''}{GAP.join(padded)}".rstrip()
            if line:
                say(line, "bold" if row is head else None)


def _draw(drawn: Console, head: Sequence[str], cells: Sequence[Sequence[str]], right: Collection[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold")
    for name in head:
        justify = "right" if name in right else "left"
        table.add_column(Text(name), justify=justify, no_wrap=name != head[-1], overflow="fold")  # type: ignore[arg-type]
    for row in cells:
        styled = zip(head, row, strict=True)
        table.add_row(*(Text(cell, style=STYLES.get(cell, "") if name in STYLED else "") for name, cell in styled))
    drawn.print(table, soft_wrap=False)


def _width(text: str) -> int:
    """How many columns a text takes; most are ASCII, and need no library to tell."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _pad(text: str, width: int, to_the_right: bool) -> str:
    blank = " " * (width - _width(text))
    return blank + text if to_the_right else text + blank
