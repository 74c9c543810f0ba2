"""Asking views: one script a partition, and waiting until the view shows what it must.

A view is folded a moment after the log was written. Each script that reads a view also tells how it stands, in the same
step. So a list is returned only if the view has reached what it has to show: the last event that this process has
written in that partition, and whatever position the caller names. Until then it is asked again, after short pauses that
grow, within a bound. A view that nobody folds, that stands still, or that no longer is the log's, is an error and never
a list that looks fine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from interrupts.errors import InterruptsError, ViewBehindError
from interrupts.keys import Keys, slot_of_tag, workers_key
from interrupts.limits import (
    VIEW_OLD_S,
    VIEW_PAUSE_FIRST_S,
    VIEW_PAUSE_MAX_S,
    VIEW_UNATTENDED_WAIT_S,
    VIEW_WAIT_S,
    WORKER_SEEN_S,
)
from interrupts.scripts import Script, script
from interrupts.store.server import Server
from interrupts.store.standing import (
    STANDING_FIELDS,
    Place,
    Standing,
    check_mendable,
    check_stopped,
    events,
    lost,
    standing_of,
)
from interrupts.views import View

ATTEND: Final = script("attend")
ROLE: Final = "projections"
"""The role of the processes that fold views."""
_UNKNOWN_GENERATION: Final = 1
Layout = Callable[[int, int], tuple[list[str], list[Any]]]
"""From partition and generation to a script's keys and arguments, after the log and the card, and the generation."""


class ViewLookup:
    """Asks the views of one namespace."""

    def __init__(
        self,
        keys: Keys,
        server: Server,
        wrote: Callable[[int], Place],
        forget: Callable[[int], None],
        *,
        wait_s: float = VIEW_WAIT_S,
        unattended_wait_s: float = VIEW_UNATTENDED_WAIT_S,
    ) -> None:
        self._keys = keys
        self._server = server
        self._wrote = wrote
        self._forget = forget
        self._wait_s = wait_s
        self._unattended_wait_s = min(wait_s, unattended_wait_s)
        self._generations: dict[tuple[str, int], int] = {}
        self._attended_until = 0.0

    async def ask(
        self,
        view: View,
        read: Script,
        partitions: Iterable[int],
        layout: Layout,
        *,
        after: Mapping[int, Place] | None = None,
        wait: bool = True,
    ) -> dict[int, tuple[int, list[Any]]]:
        """By partition its time and what the script returns behind the standing; that is nothing where no view is.

        Raises `ViewBehindError`, `ViewStoppedError`, `UnavailableError`.
        """
        loop = asyncio.get_running_loop()
        began, pause_s = loop.time(), VIEW_PAUSE_FIRST_S
        missing = list(partitions)
        found: dict[int, tuple[int, list[Any]]] = {}
        needed = {partition: max(self._wrote(partition), (after or {}).get(partition, (0, 0))) for partition in missing}
        while True:
            late: dict[int, Standing] = {}
            moved = False
            for partition, reply in zip(missing, await self._replies(view, read, missing, layout), strict=True):
                standing = standing_of(reply)
                check_mendable(view, partition, standing)
                if wait and needed[partition] > standing.last:
                    self._forget(partition)  # said once: it is lost, and must not stand in the way of all that comes
                    raise lost(view, partition, standing, needed[partition])
                if standing.generation is not None and standing.generation != self._generation(view, partition):
                    self._generations[view.name, partition] = standing.generation
                    late[partition], moved = standing, True
                    continue
                found[partition] = standing.now_ms, reply[STANDING_FIELDS:]
                if wait and (standing.lacks(needed[partition]) or await self._is_old(standing)):
                    late[partition] = standing
            if not late:
                return found
            missing = list(late)
            if moved:
                continue
            check_stopped(view, late)
            attended = await self._attended()
            if loop.time() + pause_s - began > (self._wait_s if attended else self._unattended_wait_s):
                raise self._behind(view, late, attended=attended)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, VIEW_PAUSE_MAX_S)

    async def _replies(self, view: View, read: Script, partitions: Sequence[int], layout: Layout) -> list[Any]:
        keys = self._keys
        calls = []
        for partition in partitions:
            generation = self._generation(view, partition)
            names, args = layout(partition, generation)
            names = [keys.logs[partition], keys.card(partition, view.name), *names]
            calls.append((keys.slots[partition], names, [generation, *args]))
        return await self._server.read_all(read, calls)

    def _generation(self, view: View, partition: int) -> int:
        """The generation that is probably live: the one that was when last looked."""
        return self._generations.get((view.name, partition), _UNKNOWN_GENERATION)

    async def _is_old(self, standing: Standing) -> bool:
        """Whether the view is behind, and nobody seems to change that: what it shows may be old without end.

        It stands still; or nobody is there who folds; or whoever is there does not get on with it.
        """
        if standing.behind <= 0:
            return False
        return standing.stands_still or standing.waiting_ms > VIEW_OLD_S * 1000 or not await self._attended()

    async def _attended(self) -> bool:
        """Whether a process that folds views is there, or was a moment ago."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._attended_until:
            key = workers_key(self._keys.namespace, ROLE)
            if not await self._server.read(ATTEND, slot_of_tag(self._keys.namespace), [key], ["", ""]):
                return False
            self._attended_until = loop.time() + WORKER_SEEN_S
        return True

    def _behind(self, view: View, late: Mapping[int, Standing], *, attended: bool) -> InterruptsError:
        partition, standing = max(late.items(), key=lambda pair: pair[1].behind)
        what = (
            "A projection worker is running and has not come so far: try again; `python -m workers lag` tells more."
            if attended
            else "No projection worker is running. Start one: `python -m workers run`; or in this process: "
            "`async with workers.running(service):`."
        )
        return ViewBehindError(
            f"The view {view.name!r} is {events(standing.behind)} behind the log in partition {partition}. {what} "
            "wait=False gives the list as it is.",
            view=view.name,
            partition=partition,
            events=standing.behind,
            worker_running=attended,
        )
