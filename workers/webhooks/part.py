"""What one call writes down of what is to be sent: no more than is good for the server, and up to which events."""

from __future__ import annotations

from interrupts.limits import HOOK_ADDS_MAX, HOOK_READ_BYTES_MAX, HOOK_WAITING_MAX, HOOK_WAITING_OFF_MAX
from interrupts.store.deliveries import Add
from interrupts.views import Checkpoint
from workers.item import Entry
from workers.webhooks.registered import Registered
from workers.webhooks.telling import Told

Heard = tuple[Told, list[Registered], Entry | None]
"""An event, those who want it, and where it was read; None if it was handed over once more."""


class Part:
    """Some deliveries by partition, and in `at` the last event of each partition of which nothing is left to write."""

    def __init__(self) -> None:
        self.adds: dict[int, list[Add]] = {}
        self.at: dict[int, Checkpoint] = {}
        self._taken: dict[str, int] = {}
        self._count = self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is enough for one call."""
        return self._count >= HOOK_ADDS_MAX or self._bytes >= HOOK_READ_BYTES_MAX

    def add(self, one: Told, endpoint: Registered, stored: bytes, room: int, claim_ms: int) -> None:
        """One more delivery, which is taken at once if there is room for it."""
        hook = endpoint.id
        taken = self._taken[hook] = self._taken.get(hook, 0) + 1
        claim_ms = claim_ms if taken <= room else 0
        most = HOOK_WAITING_MAX if endpoint.off is None else HOOK_WAITING_OFF_MAX
        self.adds.setdefault(one.partition, []).append(Add(one.stream_id, hook, claim_ms, stored, most))
        self._count, self._bytes = self._count + 1, self._bytes + len(stored)

    def forget(self, partition: int) -> None:
        """Nothing is written of this partition."""
        self.adds.pop(partition, None)
        self.at.pop(partition, None)
