"""The process that keeps the views equal to the log: it folds its share of the partitions."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import FOLLOWERS_MAX, RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S, WORKER_BEAT_S, WORKER_LEASE_S
from interrupts.store.lookup import ROLE
from projections.follower import Follower
from projections.loading import Current
from projections.projection import Projection, check_projections, work_of
from projections.store import Views
from workers.sharing import Membership, share

END_TIMEOUT_S: Final = 5.0
"""How long what is in hand may take to be finished at the end."""


class Projecting:
    """Folds, from `start` to `stop`, this process's share of a namespace."""

    def __init__(self, service: InterruptService, projections: Sequence[Projection]) -> None:
        self._service = service
        self._projections = check_projections(projections)
        self._views = Views(service.store, service.say)
        self._membership = Membership(service.store, ROLE, work_of(projections))
        self._followers: dict[tuple[bool, int], Follower] = {}
        self._beating: asyncio.Task[None] | None = None
        self._following: list[asyncio.Task[None]] = []
        self._heard_at = -math.inf
        self._mine: Sequence[int] = ()
        self._ending = False

    @property
    def folded(self) -> int:
        """How many events this process has folded."""
        by_sort: Counter[bool] = Counter()
        for (crosses, _), follower in self._followers.items():
            by_sort[crosses] += follower.folded
        return max(by_sort.values(), default=0)

    @property
    def settled(self) -> bool:
        """Whether it is known to the others, and all that was in the log when it got its share is in the views."""
        known = time.monotonic() - self._heard_at < WORKER_LEASE_S
        return known and all(follower.settled.is_set() for follower in self._followers.values())

    def numbers(self) -> dict[str, int | float | str]:
        """Events folded; partitions of this process; stretches of the log in which a view stands still."""
        standing = sum(follower.resting for follower in self._followers.values())
        return {"folded": self.folded, "partitions": len(self._mine), "standing_still": standing}

    async def start(self) -> None:
        """Returns when this process has joined the others. Raises `UnavailableError`."""
        self._hear(await self._membership.beat())
        self._beating = asyncio.create_task(self._beat())

    async def keep_going(self) -> None:
        """After `start`: goes on until it is cancelled. Raises what ended the beat, without which nobody folds here."""
        assert self._beating is not None
        await asyncio.shield(self._beating)

    async def ready(self, timeout_s: float) -> bool:
        """Waits until everything that was in the log is in the views, as far as this process folds them."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                for follower in list(self._followers.values()):
                    await follower.settled.wait()
                return True
        return False

    async def stop(self) -> None:
        """Finishes what is in hand, and leaves. Does not raise: who comes next goes on from the checkpoints."""
        self._ending = True
        if self._beating is not None:
            self._beating.cancel()  # first of all, lest it says again that this process is there
            await asyncio.gather(self._beating, return_exceptions=True)
        for follower in self._followers.values():
            follower.stop()
        try:
            async with asyncio.timeout(END_TIMEOUT_S):
                await asyncio.gather(*self._following, return_exceptions=True)
                await self._membership.leave()
        except (TimeoutError, UnavailableError) as error:
            self._service.say("warning", "projections.left_in_a_hurry", why=str(error) or "it took too long")
        finally:
            for task in self._following:
                task.cancel()
            await asyncio.gather(*self._following, return_exceptions=True)

    async def _beat(self) -> None:
        """Says again and again that this process is there, and takes or gives up partitions as others come and go."""
        while True:
            await asyncio.sleep(WORKER_BEAT_S * random.uniform(0.8, 1.0))  # noqa: S311 - spreads the beats
            try:
                async with asyncio.timeout(WORKER_LEASE_S):
                    workers = await self._membership.beat()
            except (UnavailableError, TimeoutError) as error:
                self._service.say("warning", "projections.not_heard", why=str(error) or "no answer in time")
                continue
            self._hear(workers)

    def _hear(self, workers: Sequence[str]) -> None:
        """Takes note of who is there."""
        self._heard_at = time.monotonic()
        self._share_out(workers)

    def _share_out(self, workers: Sequence[str]) -> None:
        """Gives each follower its partitions. In a cluster each partition has one of its own, as it has its node.

        Views that cross partitions have followers of their own: a node that is away must not hold up the others' views.
        """
        log = self._service.store
        self._mine = mine = share(self._membership.worker, workers, log.keys.partitions)
        shares: dict[tuple[bool, int], Sequence[int]] = {}
        for crosses in {projection.view.crosses for projection in self._projections}:
            if log.server.route.one_server:
                together = FOLLOWERS_MAX
                shares |= {(crosses, number): mine[number::together] for number in range(together)}
            else:
                shares |= {(crosses, partition): [partition] for partition in mine}
        for name in self._followers.keys() | shares.keys():
            if name not in self._followers:
                folded = [projection for projection in self._projections if projection.view.crosses == name[0]]
                loading = Current(self._views, folded, self._service.say)
                self._followers[name] = Follower(self._views, loading, self._service.say)
                self._following.append(asyncio.create_task(self._keep_going(self._followers[name])))
            self._followers[name].want(shares.get(name, ()))

    async def _keep_going(self, follower: Follower) -> None:
        """Follows, and begins again after a fault that nobody has foreseen: it is said, and holds up nobody else."""
        pause_s = RETRY_PAUSE_FIRST_S
        while not self._ending:
            try:
                await follower.run()
                return
            except Exception as error:  # noqa: BLE001 - as the docstring says
                self._service.say("error", "projections.fault", error=repr(error)[:500])
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)


class ProjectionsRole:
    """`Projecting` as a role of a worker process (see `workers.roles`)."""

    def __init__(self, service: InterruptService, projections: Sequence[Projection]) -> None:
        self._projecting = Projecting(service, projections)
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """Folds until `stop`, then finishes what is in hand and leaves. Raises if it can't join or its beat ends."""
        if self._asked.is_set():
            return
        work, asked = asyncio.create_task(self._work()), asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Also where it is still joining: the others may know it already, and leaving takes it off their list.
            work.cancel()
            asked.cancel()
            await asyncio.gather(work, asked, return_exceptions=True)
            await self._projecting.stop()
        if not work.cancelled():
            work.result()

    def stop(self) -> None:
        """Asks it to end."""
        self._asked.set()

    @property
    def ready(self) -> bool:
        """Whether lists show what is in the log, as far as this process folds it."""
        return self._projecting.settled

    def numbers(self) -> dict[str, int | float | str]:
        """What it has folded, and how much is its own."""
        return self._projecting.numbers()

    async def _work(self) -> None:
        await self._projecting.start()
        await self._projecting.keep_going()
