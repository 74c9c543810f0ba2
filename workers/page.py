"""Text for people in a terminal."""

from __future__ import annotations

import os
import textwrap
from typing import Final, TextIO

from interrupts import InterruptsError

_WRAPPER: Final = textwrap.TextWrapper(110, "   ", "   ", break_long_words=False, break_on_hyphens=False)
_BOLD, _DIM, _GREEN, _YELLOW = "1", "2", "32", "33"


class Page:
    """Plain text with a little colour: none where nobody would see it, or where NO_COLOR is set."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR")
        self._steps = 0

    def step(self, title: str, sentence: str) -> None:
        """A new step, and the sentence that says what it shows."""
        self._steps += 1
        self._write(f"\n{self._in(_BOLD, f'{self._steps}. {title}')}\n   {self._in(_DIM, sentence)}")

    def text(self, *lines: str) -> None:
        """Something to know."""
        for line in lines:
            self._write(_WRAPPER.fill(line))

    def done(self, text: str) -> None:
        """Something that worked."""
        self._write(f"   {self._in(_GREEN, 'ok')}  {text}")

    def refused(self, who: str, error: InterruptsError) -> None:
        """A refusal, in the store's own words."""
        name = type(error).__name__
        said = _WRAPPER.fill(f"no  {who}: {name} ({error.http_status}): {error}")
        self._write(said.replace("no", self._in(_YELLOW, "no"), 1).replace(name, self._in(_YELLOW, name), 1))

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _write(self, text: str) -> None:
        self._out.write(f"{text}\n")
