"""What is to be sent to endpoints: written down with the place in the log, fetched, and settled.

Of each endpoint there is a lane in each partition. What waits in it is ordered by the time from which it may be sent.
Whoever takes a delivery moves that time behind the end of its claim, so that nobody else sends it meanwhile, and
everybody may if it is not heard of again. What comes of it is written down only while the claim is still the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interrupts.limits import (
    HOOK_BYTES_MAX,
    HOOK_FAILED_MAX,
    HOOK_READ_BYTES_MAX,
    HOOK_RESULTS_MAX,
    HOOK_WAITING_MAX,
    RELEASE_BATCH_MAX,
    WORKER_LEASE_S,
)
from interrupts.scripts import script
from interrupts.store.lane_looks import LaneLooks
from interrupts.views import Checkpoint

DELIVER: Final = script("deliver")
FETCH: Final = script("fetch")
SENT: Final = script("sent")
RESEND: Final = script("resend")
_OWNER_MS: Final = round(WORKER_LEASE_S * 1000)
FETCH_MAX: Final = 1_000
"""Deliveries that are fetched of one lane at once."""
NO_ROOM: Final = -1
BROKEN: Final = -2
BROKEN_LANE: Final = 2


class Add(msgspec.Struct, gc=False, frozen=True):
    """A delivery to be written down: the event's stream id, the endpoint, for how long it is claimed, its body, and how
    many may wait there."""

    stream_id: str
    hook: str
    claim_ms: int
    body: bytes
    waiting_max: int = HOOK_WAITING_MAX


class Portion(msgspec.Struct, gc=False, frozen=True):
    """What is to be written down of one partition, in one step: deliveries, the events that were handed over once more,
    and the place up to which the log is read."""

    partition: int
    token: str
    before: Checkpoint
    at: Checkpoint
    adds: list[Add]
    done: list[str]


class Written(msgspec.Struct, gc=False, frozen=True):
    """What became of a portion. `news` None: the log was read on by somebody else. `until`: of each delivery when its
    claim ends; 0: it waits; `NO_ROOM`: it was given up."""

    news: int | None
    until: list[int]


class Due(msgspec.Struct, gc=False, frozen=True):
    """A delivery that was fetched."""

    stream_id: str
    until: int
    tries: bytes
    body: bytes


class Found(msgspec.Struct, gc=False, frozen=True):
    """What was fetched of a lane. `next_ms`: from when on there is more; None if nothing waits."""

    next_ms: int | None
    due: list[Due]


class Sent(msgspec.Struct, gc=False, frozen=True):
    """What became of a delivery, in the words of `sent.lua`."""

    partition: int
    hook: str
    stream_id: str
    what: str
    until: int
    due_ms: int = 0
    tries: bytes = b""
    result: bytes = b""
    took_ms: int = 0


class Settled(msgspec.Struct, gc=False, frozen=True):
    """Whether it was written down; for how long all tries of its lane have failed; how many had to be forgotten.

    `broken`: the lane's keys are not what we have written, and nothing was."""

    done: bool
    failing_ms: int
    dropped: int
    broken: bool = False


class Deliveries(LaneLooks):
    """The lanes of one namespace."""

    async def deliver(
        self, group: str, owner: str, left_out: bytes, portions: Sequence[Portion], *, stays: bool = True
    ) -> list[Written]:
        """Writes portions down, all of one server, and that the owner reads there for as long as it `stays`.

        Raises `UnavailableError`.
        """
        names, lane_names, args, lane_args, changes = list[str](), list[str](), list[Any](), list[Any](), list[Any]()
        for one in portions:
            names += (self._keys.group(one.partition, group), self._keys.hooked(one.partition))
            lanes: dict[str, int] = {}
            for add in one.adds:
                lane = lanes.get(add.hook)
                if lane is None:
                    lane = lanes[add.hook] = len(lanes) + 1
                    lane_names += self.lane(one.partition, add.hook)
                    lane_args += (add.hook, add.waiting_max)
                changes += (lane, "add", add.stream_id, add.claim_ms, add.body)
            for stream_id in one.done:
                changes += (0, "done", stream_id, 0, b"")
            counted = len(one.adds) + len(one.done)
            args += (one.token, one.before.encode(), one.at.encode(), len(lanes), counted)
        stay_ms = _OWNER_MS if stays else 0
        head = [len(portions), HOOK_BYTES_MAX, HOOK_FAILED_MAX, owner, stay_ms, left_out]
        slot = self._keys.slots[portions[0].partition]
        keys, said = [*names, *lane_names], [*head, *args, *lane_args, *changes]
        reply = (await self._server.run(DELIVER, slot, keys, said, derived=True)).reply
        written, at = [], len(portions)
        for one, news in zip(portions, reply, strict=False):
            written.append(Written(news, reply[at : at + len(one.adds)]))
            at += len(one.adds) + len(one.done)
        return written

    async def fetch(self, asked: Sequence[tuple[int, str, int, int]]) -> tuple[int, list[Found]]:
        """Takes what may be sent now: of each lane (partition, endpoint, how many, for how many milliseconds), all of
        them of one server. Also tells the time. Raises `UnavailableError`."""
        names, args = list[str](), list[Any]([HOOK_READ_BYTES_MAX])
        for partition, hook, room, claim_ms in asked:
            names.append(self._keys.hooked(partition))
            names += self.lane(partition, hook)
            args += (hook, min(room, FETCH_MAX), claim_ms)
        reply = (await self._server.run(FETCH, self._keys.slots[asked[0][0]], names, args, derived=True)).reply
        found, at = list[Found](), 1
        for _ in asked:
            next_ms, count = reply[at], reply[at + 1]
            at += 2
            due = [
                Due(reply[i].decode(), int(reply[i + 1]), reply[i + 2], reply[i + 3])
                for i in range(at, at + 4 * count, 4)
            ]
            at += 4 * count
            found.append(Found(int(next_ms) if next_ms else None, due))
        return int(reply[0]), found

    async def sent(self, outcomes: Sequence[Sent]) -> list[Settled]:
        """Writes down what became of these, which are of one server. Raises `UnavailableError`."""
        by_lane: dict[tuple[int, str], list[int]] = {}
        for index, one in enumerate(outcomes):
            by_lane.setdefault((one.partition, one.hook), []).append(index)
        names, counts, rest = list[str](), list[int](), list[Any]()
        for (partition, hook), indexes in by_lane.items():
            names += self.lane(partition, hook)
            counts.append(len(indexes))
            for index in indexes:
                one = outcomes[index]
                rest += (one.stream_id, one.what, one.until, one.due_ms, one.tries, one.result, one.took_ms)
        args = [HOOK_RESULTS_MAX, HOOK_FAILED_MAX, HOOK_BYTES_MAX, *counts, *rest]
        slot = self._keys.slots[outcomes[0].partition]
        reply = (await self._server.run(SENT, slot, names, args, derived=True)).reply
        settled: list[Any] = [None] * len(outcomes)
        order = [index for indexes in by_lane.values() for index in indexes]
        for number, index in enumerate(order):
            done, failing, dropped = reply[3 * number : 3 * number + 3]
            settled[index] = Settled(done == 1, failing, dropped, broken=done == BROKEN_LANE)
        return settled

    async def resend(self, partition: int, hook: str, what: str, some: Sequence[tuple[str, bytes]]) -> list[int]:
        """Does with these (stream id, body or b"") what `resend.lua` says; what became of each. Raises
        `UnavailableError`."""
        keys, became = [self._keys.hooked(partition), *self.lane(partition, hook)], list[int]()
        for at in range(0, len(some), RELEASE_BATCH_MAX):
            args: list[Any] = [hook, what]
            for one in some[at : at + RELEASE_BATCH_MAX]:
                args += one
            became += (await self._server.run(RESEND, self._keys.slots[partition], keys, args, derived=True)).reply
        return became
