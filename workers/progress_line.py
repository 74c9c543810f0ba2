"""Progress in the terminal: one line that moves, on stderr; in a pipe or a file a line now and then."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Final, Self, TextIO

from projections.progress import Progress
from workers.cli.screen import say
from workers.cli.text import plain

LINE_EVERY_S: Final = 5.0
"""How often there is a line where nobody watches."""


class ProgressLine:
    """`with ProgressLine() as line:` and then `report=line.show`."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._moves = self._out.isatty()
        self._shown_at = time.monotonic()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def show(self, progress: Progress) -> None:
        """Shows how far the work is."""
        share = min(1.0, progress.done / progress.total) if progress.total else 1.0
        left = "" if progress.left_s is None else f", {progress.left_s:,.0f} s left"
        text = f"{progress.what}: {progress.done:,} events, {share:.0%}, {progress.rate:,.0f} a second{left}"
        if self._moves:
            self._clear()
            text = text[: shutil.get_terminal_size().columns - 1]  # a line that wraps can't be taken back
            self._out.write(text)
            self._width = len(text)
        elif time.monotonic() - self._shown_at >= LINE_EVERY_S:
            self._shown_at = time.monotonic()
            self._out.write(f"{text}\n")
        self._out.flush()

    def say(self, what: object) -> None:
        """A line of its own, on stdout, which the moving one does not run into."""
        self._clear()
        say(plain(str(what)))

    def _clear(self) -> None:
        if self._width:
            self._out.write(f"\r{' ' * self._width}\r")
            self._out.flush()
            self._width = 0
