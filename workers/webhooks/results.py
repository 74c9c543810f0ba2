"""Results of deliveries, the newest events first, made of what is stored of them.

What is there of a lane is asked for by id first, which is little. Only of those that are told is it asked what their
tries have come to, and what they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from interrupts.positions import time_of
from interrupts.store.lane_looks import LaneLooks, Listed
from interrupts.views import place_of
from workers.webhooks.model import DeliveryStatus, WebhookDeliveryResult
from workers.webhooks.registered import Registered
from workers.webhooks.telling import delivery_id, name_in
from workers.webhooks.tries import Tried, tried

AT_ONCE: Final = 200
"""Deliveries of which is asked in one go what they are."""
LANES_AT_ONCE: Final = 512
_CLOCKS_APART_MS: Final = 5_000
"""How far a worker's clock and the server's may be apart; a claim lasts longer than that."""
Lane = tuple[Registered, int]
"""An endpoint, and a partition"""


class _Found(msgspec.Struct, frozen=True):
    """A delivery that is there. `told`: what its tries have come to, where that is known already."""

    endpoint: Registered
    partition: int
    stream_id: str
    status: DeliveryStatus
    due_ms: int = 0
    told: Tried | None = None

    @property
    def newest_first(self) -> tuple[int, int]:
        """What deliveries are sorted by."""
        ms, number = place_of(self.stream_id)
        return -ms, -number


async def results_of(
    looks: LaneLooks,
    lanes: Sequence[Lane],
    limit: int,
    status: DeliveryStatus | None,
    wanted: Callable[[str], bool],
    only: str | None = None,
) -> list[WebhookDeliveryResult]:
    """At most so many results of these lanes that have this status, an event's name that is wanted, and (`only`) this
    stream id.

    Raises `UnavailableError`.
    """
    results: list[tuple[tuple[int, int], WebhookDeliveryResult]] = []
    for at in range(0, len(lanes), LANES_AT_ONCE):
        some = lanes[at : at + LANES_AT_ONCE]
        listed = await looks.listed_anywhere([(partition, one.id) for one, partition in some])
        there = [found for lane, what in zip(some, listed, strict=True) for found in _found(lane, what)]
        there = [one for one in there if status in (None, one.status) and only in (None, one.stream_id)]
        there.sort(key=lambda one: one.newest_first)
        new = 0
        for first in range(0, len(there), AT_ONCE):
            portion = there[first : first + AT_ONCE]
            made = await _made(looks, portion)
            pairs = zip(portion, made, strict=True)
            told = [(found.newest_first, one) for found, one in pairs if wanted(one.event_type)]
            new += len(told)
            results += told
            if new >= limit:
                break
        results = sorted(results, key=lambda pair: pair[0])[:limit]
    return [one for _, one in results]


def _found(lane: Lane, listed: Listed) -> list[_Found]:
    """What is there of a lane: what was delivered and is sent once more is told as what is sent."""
    one, partition = lane
    found = []
    for stream_id, due_ms in listed.waiting.items():
        status = DeliveryStatus.RETRYING if stream_id in listed.tried else DeliveryStatus.PENDING
        found.append(_Found(one, partition, stream_id, status, due_ms))
    found += [_Found(one, partition, stream_id, DeliveryStatus.FAILED) for stream_id in listed.failed]
    there = {each.stream_id for each in found}
    for stored in listed.results:
        told = tried(stored)
        stream_id = told.position.partition(":")[2]
        if stream_id and stream_id not in there:
            there.add(stream_id)
            found.append(_Found(one, partition, stream_id, DeliveryStatus.DELIVERED, 0, told))
    return found


async def _made(looks: LaneLooks, found: Sequence[_Found]) -> list[WebhookDeliveryResult]:
    asked: dict[tuple[str, int], list[str]] = {}
    for one in found:
        if one.told is None:
            asked.setdefault((one.endpoint.id, one.partition), []).append(one.stream_id)
    known = await asyncio.gather(*(looks.known_of(partition, hook, ids) for (hook, partition), ids in asked.items()))
    texts = {
        (hook, partition, stream_id): text
        for ((hook, partition), ids), each in zip(asked.items(), known, strict=True)
        for stream_id, text in zip(ids, each, strict=False)
    }
    nothing = (b"", b"")
    return [_result(one, *texts.get((one.endpoint.id, one.partition, one.stream_id), nothing)) for one in found]


def _rests(found: _Found, told: Tried) -> bool:
    """Whether its next try is still to come: one that is under way is claimed, for longer than it would rest."""
    waits = found.status is DeliveryStatus.RETRYING and found.endpoint.off is None and told.next_ms > 0
    return waits and found.due_ms <= told.next_ms + _CLOCKS_APART_MS


def _result(found: _Found, tries: bytes, name: bytes) -> WebhookDeliveryResult:
    told = found.told or tried(tries)
    position, hook, status = f"{found.partition}:{found.stream_id}", found.endpoint.id, found.status
    return WebhookDeliveryResult(
        hook,
        name_in(name) or told.name,
        status,
        told.attempt,
        told.status,
        told.body,
        told.error,
        time_of(told.at_ms) if status is DeliveryStatus.DELIVERED else None,
        told.took_ms,
        delivery_id(position, hook),
        position,
        str(found.endpoint.scope),
        time_of(told.next_ms) if _rests(found, told) else None,
    )
