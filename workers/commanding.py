"""The role that decides the commands of producers that do not use this library, in its share of the partitions.

On one connection it waits for the commands of all its partitions at once; in a cluster on one for each. What was read
goes to the partitions' desks, which decide side by side: while one waits for the server, another one decides. With
nothing to do it asks the server for nothing but this one read every few seconds, besides saying that it is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from interrupts import InterruptService
from workers.attending import Attendance
from workers.desk import Desk
from workers.intake import Intake

ROLE: Final = "commands"


class CommandsRole:
    """Decides the commands in this process's share of a namespace (see `workers.roles`)."""

    def __init__(self, service: InterruptService) -> None:
        self._service = service
        self._deciding = service.deciding
        self._attendance = Attendance(service, ROLE, "", self._take)
        self._intakes: dict[int, Intake] = {}
        self._reading: list[asyncio.Task[None]] = []
        self._desks: dict[int, Desk] = {}
        self._deciders: dict[int, asyncio.Task[None]] = {}
        """By partition the one who decides there last, or now."""
        self._asked = asyncio.Event()
        self._joined = False
        counts = self._deciding.counts
        self._before = counts.done, counts.refused, counts.parked

    async def run(self) -> None:
        """Decides until `stop`, then finishes the steps that are in hand and gives everything back."""
        if self._asked.is_set():
            return
        work, asked = asyncio.create_task(self._work()), asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
            await _cancelled(work, asked)
            self._take(())
            await asyncio.gather(*self._deciders.values())
        finally:
            await _cancelled(work, asked, *self._reading, *self._deciders.values())
            await self._attendance.leave()
        if not work.cancelled():
            work.result()

    def stop(self) -> None:
        """Asks it to end."""
        self._asked.set()

    @property
    def ready(self) -> bool:
        """Whether it has a share, and reads all of it."""
        return self._joined and all(intake.reads for intake in self._intakes.values())

    def numbers(self) -> dict[str, int | float | str]:
        """How many commands were done, refused and parked, and how many partitions are this process's own."""
        counts, (done, refused, parked) = self._deciding.counts, self._before
        return {
            "done": counts.done - done,
            "refused": counts.refused - refused,
            "parked": counts.parked - parked,
            "partitions": len(self._desks),
        }

    async def _work(self) -> None:
        await self._deciding.inbox.announce()
        await self._attendance.join()
        self._joined = True
        await self._attendance.keep_on()

    def _take(self, partitions: Sequence[int]) -> None:
        """From now on these are this process's. What is not any more, it leaves after the step that is in hand."""
        for partition in self._desks.keys() - set(partitions):
            self._desks.pop(partition).stop()
        one_server = self._service.store.server.route.one_server
        for partition in partitions:
            number = 0 if one_server else partition
            if number not in self._intakes:
                intake = self._intakes[number] = Intake(self._service)
                self._reading.append(asyncio.create_task(intake.run()))
            if partition not in self._desks:
                wake = self._intakes[number].wake
                desk = self._desks[partition] = Desk(self._service, partition, self._attendance.worker, wake)
                self._deciders[partition] = asyncio.create_task(_decide(desk, self._deciders.get(partition)))
        for number, intake in self._intakes.items():
            intake.want({p: desk for p, desk in self._desks.items() if one_server or p == number})


async def _decide(desk: Desk, before: asyncio.Task[None] | None) -> None:
    """Decides at a desk, once whoever was there before has left: they would have the same lease."""
    if before is not None:
        await asyncio.wait((before,))
    await desk.run()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Ends these."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
