"""A progress bar on stderr, with rate and remaining time; in a pipe or a file a line now and then."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from projections.progress import Progress
from workers.cli.screen import note
from workers.cli.text import counted, plain, span
from workers.progress_line import ProgressLine


class Bar:
    """`with Bar() as bar:` and then `report=bar.show, tell=bar.tell`."""

    def __init__(self, unit: str = "event") -> None:
        self._unit = unit
        self._line = None if sys.stderr.isatty() else ProgressLine()
        if self._line is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Drawn

            words = TextColumn("{task.fields[words]}", markup=False)
            console = Console(stderr=True, markup=False, emoji=False, highlight=False)
            self._drawn = Drawn(BarColumn(), words, console=console, auto_refresh=False, transient=True)
            self._task = self._drawn.add_task("", total=None, words="", visible=False)

    def __enter__(self) -> Self:
        if self._line is None:
            self._drawn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line is None:
            self._drawn.stop()

    def show(self, progress: Progress) -> None:
        """Shows how far the work is."""
        if self._line is not None:
            self._line.show(progress)
            return
        left = "" if progress.left_s is None else f", {span(progress.left_s)} left"
        words = f"{progress.done:,} of {counted(progress.total, self._unit)}, {progress.rate:,.0f} a second{left}"
        total = max(progress.done, progress.total, 1)
        self._drawn.update(self._task, completed=progress.done, total=total, words=words, visible=True, refresh=True)

    def tell(self, text: str) -> None:
        """A remark on stderr, above the bar."""
        if self._line is not None:
            note(plain(text))
        else:
            self._drawn.console.print(plain(text), soft_wrap=True)
