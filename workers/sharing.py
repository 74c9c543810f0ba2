"""Sharing the partitions out among processes.

Each process of a role says about once a second that it is there, which counts for some seconds: its lease. In the same
step it learns who else is. Who folds what is then a matter of counting: the processes in the order of their names take
the partitions in turn. Nothing has to be handed over: one that joins, leaves or crashes is seen by the others at their
next beat, or when its lease has run out. For a moment two may think that a partition is theirs, or a process that was
frozen may come back and think so still. That costs work and spoils nothing, since each step names the checkpoint that
it starts from (see `projections.follower`).
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence

from interrupts.keys import slot_of_tag, workers_key
from interrupts.limits import WORKER_LEASE_S
from interrupts.store.log import Log
from interrupts.store.lookup import ATTEND


def share(worker: str, workers: Sequence[str], partitions: int) -> list[int]:
    """The partitions of one of several workers. The shares of any two that do the same differ by one at most.

    Those who do something else, such as folding other views or versions, share the partitions among themselves.
    """
    peers = sorted(other for other in workers if _work(other) == _work(worker))
    return list(range(peers.index(worker), partitions, len(peers))) if worker in peers else []


def _work(worker: str) -> str:
    """What a worker does: the end of its name."""
    return worker.partition(":")[2]


class Membership:
    """This process among those that share a role's work."""

    def __init__(self, log: Log, role: str, work: str = "") -> None:
        self._server = log.server
        self._namespace = log.keys.namespace
        self._role = role
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}:{work}"

    async def beat(self) -> list[str]:
        """Says that this process is there, and returns all that are. Raises `UnavailableError`."""
        return await self._attend(self.worker, round(WORKER_LEASE_S * 1000))

    async def leave(self) -> None:
        """Says that it is gone. Raises `UnavailableError`."""
        await self._attend(self.worker, 0)

    async def _attend(self, worker: str, lease_ms: int) -> list[str]:
        key = workers_key(self._namespace, self._role)
        written = await self._server.run(ATTEND, slot_of_tag(self._namespace), [key], [worker, lease_ms], derived=True)
        return [name.decode() for name in written.reply]
