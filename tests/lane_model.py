"""A plain model of one lane of deliveries: what its scripts should keep, and reply, with little room."""

from __future__ import annotations

from collections import Counter
from typing import Final

from interrupts.store.deliveries import NO_ROOM, Due, Found, Sent, Settled
from tests.lanes_clocked import Kept, left_out

BYTES_MAX, FAILED_MAX, RESULTS_MAX, BATCH_MAX = 16, 2, 2, 2
UNKNOWN_BYTES: Final = 65_536
"""What counts as read of a delivery whose body has to be made again."""
LIMITS: Final = {
    "HOOK_BYTES_MAX": BYTES_MAX,
    "HOOK_FAILED_MAX": FAILED_MAX,
    "HOOK_RESULTS_MAX": RESULTS_MAX,
    "RELEASE_BATCH_MAX": BATCH_MAX,
}


class Model:
    """One lane."""

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self.failed: dict[str, int] = {}
        self.bodies: dict[str, bytes] = {}
        self.tries: dict[str, bytes] = {}
        self.results: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self.taken = 0
        """Bytes that a portion counts: what was there when it began, and what it has added."""
        self.owed = 0
        """Bytes of what was delivered, in a call in which they still count."""

    @property
    def size(self) -> int:
        """Of all bodies."""
        return sum(map(len, self.bodies.values()))

    def kept(self) -> Kept:
        """As the store should have it."""
        counts = self.counts | Counter(bytes=self.size)
        return Kept(self.waiting, self.failed, self.bodies, self.tries, self.results, counts)

    def add(self, now: int, one: str, claim_ms: int, body: bytes, most: int) -> int:
        """A delivery is written down, where so many may wait; without its body, if that has no room."""
        if one in self.waiting:
            return 0
        if len(self.waiting) >= most:
            if one not in self.failed:
                self.counts["left_out"] += 1
                self.give_up(now, one, left_out(body))
            return NO_ROOM
        self.forget(one)
        self.waiting[one] = now + claim_ms
        if self.taken + len(body) <= BYTES_MAX:
            self.bodies[one] = body
            self.taken += len(body)
        return now + claim_ms if claim_ms else 0

    def give_up(self, now: int, one: str, tries: bytes) -> int:
        """It is given up; how many of those before are forgotten."""
        if self.size + self.owed > BYTES_MAX / 2:
            self.bodies.pop(one, None)
        self.waiting.pop(one, None)
        self.failed[one], self.tries[one] = now, tries
        oldest = sorted(self.failed, key=lambda other: (self.failed[other], other))
        dropped = oldest[: max(0, len(oldest) - FAILED_MAX)]
        for other in dropped:
            self.forget(other)
        self.counts["dropped"] += len(dropped)
        return len(dropped)

    def forget(self, one: str) -> None:
        """Nothing is left of it."""
        for there in (self.waiting, self.failed, self.bodies, self.tries):
            there.pop(one, None)

    def fetch(self, now: int, room: int, left: int, claim_ms: int) -> tuple[Found, int]:
        """Takes what is due; and how many bytes more may be taken."""
        due = []
        for one in sorted(self.waiting, key=lambda one: (self.waiting[one], one))[:room]:
            if self.waiting[one] <= now and left > 0:
                due.append(one)
                left -= len(self.bodies.get(one, b"")) or UNKNOWN_BYTES
        for one in due:
            self.waiting[one] = now + claim_ms
        found = [Due(one, now + claim_ms, self.tries.get(one, b""), self.bodies.get(one, b"")) for one in due]
        return Found(min(self.waiting.values(), default=None), found), left

    def settle(self, now: int, said: Sent) -> Settled:
        """What became of one is said."""
        one = said.stream_id
        if said.what == "ok":
            if one not in self.waiting and one not in self.failed:
                return Settled(False, 0, 0)
            self.owed += len(self.bodies.get(one, b""))
            self.forget(one)
            self.counts.update(delivered=1, took_ms=said.took_ms)
            self.counts[f"within:{1 << said.took_ms.bit_length()}"] += 1
            self.counts["delivered_at"] = now
            del self.counts["failing_since"]
            if said.result:
                self.results = [said.result, *self.results][:RESULTS_MAX]
            return Settled(True, 0, 0)
        if self.waiting.get(one) != said.until:
            return Settled(False, 0, 0)
        if said.what == "back":
            self.waiting[one] = now + said.due_ms
            return Settled(True, 0, 0)
        self.counts["failed_tries"] += 1
        self.counts["failed_at"] = now
        self.counts["failing_since"] = self.counts["failing_since"] or now
        dropped = 0
        if said.what == "again":
            self.waiting[one], self.tries[one] = now + said.due_ms, said.tries
        else:
            self.counts["given_up"] += 1
            dropped = self.give_up(now, one, said.tries)
        return Settled(True, now - self.counts["failing_since"], dropped)

    def resend(self, now: int, what: str, one: str, body: bytes) -> int:
        """One is sent again, or dropped."""
        if one in self.waiting:
            return 2
        if one not in self.failed and not body:
            return 0
        if what == "drop":
            self.forget(one)
        elif not body and one not in self.bodies:
            return 3
        else:
            body = body or self.bodies[one]
            self.forget(one)
            self.waiting[one], self.bodies[one] = now, body
        return 1
