"""Taking part in a role: this process says again and again that it is there, and learns which partitions are its own:
each process of a role has about as many."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import WORKER_BEAT_S, WORKER_LEASE_S
from workers.sharing import Membership, share


class Attendance:
    """Calls `changed` with this process's partitions whenever they are others than before.

    Two processes may think for a moment that a partition is theirs: who must not, needs a lease besides.
    """

    def __init__(
        self, service: InterruptService, role: str, work: str, changed: Callable[[Sequence[int]], None]
    ) -> None:
        self._service = service
        self._role = role
        self._membership = Membership(service.store, role, work)
        self._changed = changed
        self._mine: list[int] | None = None

    @property
    def worker(self) -> str:
        """The name of this process in the role."""
        return self._membership.worker

    async def join(self) -> None:
        """Joins the others. Raises `UnavailableError`."""
        self._tell(await self._membership.beat())

    async def keep_on(self) -> None:
        """Goes on saying so, until it is cancelled."""
        while True:
            await asyncio.sleep(2 * WORKER_BEAT_S * random.uniform(0.8, 1.0))  # noqa: S311 - spreads the beats
            try:
                async with asyncio.timeout(WORKER_LEASE_S):
                    workers = await self._membership.beat()
            except (UnavailableError, TimeoutError) as error:
                self._service.say("warning", "workers.not_heard", role=self._role, why=str(error) or "no answer")
                continue
            self._tell(workers)

    async def leave(self) -> None:
        """Lets the others take over at once. Does not raise: else they do when it has not been heard of for a while."""
        try:
            async with asyncio.timeout(WORKER_LEASE_S):
                await self._membership.leave()
        except (UnavailableError, TimeoutError) as error:
            self._service.say("warning", "workers.left_in_a_hurry", role=self._role, why=str(error) or "no answer")

    def _tell(self, workers: Sequence[str]) -> None:
        mine = share(self.worker, workers, self._service.store.keys.partitions)
        if mine != self._mine:
            self._mine = mine
            self._changed(mine)
