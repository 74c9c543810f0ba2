"""What a follower does besides following, in tasks of their own: catching up, and throwing old generations away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from interrupts.errors import InterruptsError
from interrupts.limits import LOOK_AGAIN_S
from projections.store import Views

Name = tuple[int, str, int]
"""Of a task: the partition, view and number of the generation that it is about."""
SWEEPING: Final[Name] = (-1, "", 0)
"""The name of the task that throws old generations away: all in one go."""


class Apart:
    """Named tasks, each of which runs once at a time, and which end with their follower."""

    def __init__(self, views: Views, say: Callable[..., None]) -> None:
        self._views = views
        self._say = say
        self._tasks: dict[Name, asyncio.Task[None]] = {}
        self._marked: set[tuple[int, str]] = set()

    @property
    def catching_up(self) -> bool:
        """Whether a generation is being caught up with."""
        return not self._tasks.keys() <= {SWEEPING}

    def begin(self, what: Name, work: Coroutine[Any, Any, None]) -> None:
        """Does it, unless it is being done already."""
        if what in self._tasks:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks[what] = task
        task.add_done_callback(lambda _: self._tasks.pop(what, None))

    def sweep(self, marked: Iterable[tuple[int, str]]) -> None:
        """Throws away what is left in these partitions and views; a while later, when others will be marked, too."""
        self._marked.update(marked)
        if self._marked:
            self.begin(SWEEPING, self._sweep())

    async def end(self) -> None:
        """Ends all of it."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        await asyncio.sleep(LOOK_AGAIN_S)
        while self._marked:  # more may be marked while this goes on
            marked, self._marked = self._marked, set()
            try:
                for view in sorted({view for _, view in marked}):
                    await self._views.sweep(view, {partition for partition, of in marked if of == view})
            except InterruptsError as error:
                self._say("warning", "projections.can_not_sweep", marked=sorted(marked), why=str(error))
