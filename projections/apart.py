"""What a follower does besides following, in tasks of their own: catching up, and throwing old generations away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from interrupts.errors import UnavailableError
from interrupts.limits import LOOK_AGAIN_S
from projections.store import Mark, Views

DROPPING: Final[Mark] = (-1, "", 0)
"""The name of the task that throws away what is marked for it: all in one go."""


class Apart:
    """Named tasks, each of which runs once at a time, and which end with their follower."""

    def __init__(self, views: Views, say: Callable[..., None]) -> None:
        self._views = views
        self._say = say
        self._tasks: dict[Mark, asyncio.Task[None]] = {}
        self._marks: set[Mark] = set()

    @property
    def catching_up(self) -> bool:
        """Whether a generation is being caught up with."""
        return not self._tasks.keys() <= {DROPPING}

    def begin(self, what: Mark, work: Coroutine[Any, Any, None]) -> None:
        """Does it, unless it is being done already."""
        if what in self._tasks:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks[what] = task
        task.add_done_callback(lambda _: self._tasks.pop(what, None))

    def drop(self, marks: Iterable[Mark]) -> None:
        """Throws away generations that others have taken over from; a while later, when others will be marked, too."""
        self._marks.update(marks)
        if self._marks:
            self.begin(DROPPING, self._drop())

    async def end(self) -> None:
        """Ends all of it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drop(self) -> None:
        await asyncio.sleep(LOOK_AGAIN_S)
        marks, self._marks = self._marks, set()
        try:
            await self._views.drop(marks)
        except UnavailableError as error:
            self._say("warning", "projections.can_not_drop", marks=sorted(marks), why=str(error))
