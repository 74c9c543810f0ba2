"""What one process has in hand for one endpoint: deliveries that are its to send, and where more of them wait."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import msgspec

from interrupts.limits import HOOK_CLAIM_MARGIN_S, HOOK_CONCURRENCY_MAX
from workers.webhooks.registered import Registered

END_BEFORE_S: Final = HOOK_CLAIM_MARGIN_S / 4
"""So long before its claim ends a try has come to its end, also if its endpoint may take longer by now."""
BEGIN_WITHIN_S: Final = HOOK_CLAIM_MARGIN_S / 2
"""A delivery that could not be begun for so long after it was taken is left to whoever fetches it next."""
RATE_OVER_S: Final = 0.25
AHEAD_MAX: Final = 512
ALLOWED_FIRST: Final = 4
"""So many are in hand of an endpoint that has not answered yet: very many that hang must leave room for the others."""
ALLOWED_MAX: Final = HOOK_CONCURRENCY_MAX + AHEAD_MAX


class Item(msgspec.Struct, gc=False, eq=False):
    """One delivery in hand. `until`: when the claim ends, on the server's clock; `begin_by`: on the loop's clock, when
    it is too late to begin with it; `end_by`: when it must have come to its end."""

    partition: int
    stream_id: str
    until: int
    begin_by: float
    end_by: float
    attempt: int
    name: str
    body: bytes


class Line:
    """The deliveries of one endpoint. `due` has the partitions in which some wait, and from when on, on the loop's
    clock."""

    def __init__(self, endpoint: Registered) -> None:
        self.endpoint = endpoint
        self.queue: deque[Item] = deque()
        self.at_work = 0
        self.rest_until = 0.0
        self.due: dict[int, float] = {}
        self.asked = 0
        self._rate, self._since, self._count = 0.0, 0.0, 0
        self._allowed = ALLOWED_FIRST
        self.timer: asyncio.TimerHandle | None = None

    def leave(self) -> None:
        """Nobody looks at it again by itself."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    @property
    def in_hand(self) -> int:
        """How many are, or are about to be."""
        return len(self.queue) + self.at_work + self.asked

    def ended(self, now: float, *, well: bool) -> None:
        """A try has come to an end: well, if there was an answer. Who answers may have more, who does not less."""
        self._allowed = min(self._allowed + 1, ALLOWED_MAX) if well else max(1, self._allowed // 2)
        if now - self._since >= RATE_OVER_S:
            self._rate, self._since, self._count = self._count / (now - self._since), now, 0
        self._count += 1

    @property
    def ahead(self) -> int:
        """How many may wait here to be begun: as many as are at work, or what a quick endpoint takes in a moment."""
        return max(self.endpoint.what.concurrency, min(AHEAD_MAX, int(self._rate * RATE_OVER_S)))

    @property
    def limit(self) -> int:
        """How many may be in hand."""
        return min(self._allowed, self.endpoint.what.concurrency + self.ahead)

    @property
    def room(self) -> int:
        """How many more may be taken."""
        return max(0, self.limit - self.in_hand)

    def is_open(self, now: float) -> bool:
        """Whether anything may be sent."""
        return self.endpoint.off is None and now >= self.rest_until

    @property
    def claim_ms(self) -> int:
        """For how long a delivery is taken: longer than the endpoint may take to answer."""
        return round((self.endpoint.what.timeout_s + HOOK_CLAIM_MARGIN_S) * 1000)

    def wait_in(self, partition: int, at: float) -> None:
        """In that partition something may be sent from then on."""
        self.due[partition] = min(at, self.due.get(partition, at))

    def next_at(self) -> float:
        """When there is something to fetch, of what is known to wait."""
        return max(self.rest_until, min(self.due.values()))
