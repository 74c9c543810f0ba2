"""Several partitions of the log as one stream: first what is there, in the order of its times, then what comes.

Each partition has an order of its own, and that is kept. Between partitions there is none but the time: what is there
is merged by it exactly; what comes is told as it comes, and events of the same moment may come in any order.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

from interrupts import InterruptService, Position, RecordedEvent
from interrupts.codec import decode_entry
from interrupts.limits import RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S, TAIL_COUNT_MAX
from interrupts.recorded import recorded
from interrupts.store.follow import Follow
from interrupts.store.lanes import UnreachableError

PAGE: Final = 100
"""Events of a partition that are kept ready for merging."""
QUEUE_MAX: Final = 1_000
"""Events that have come and are not told yet; then the reading waits."""


class Start(msgspec.Struct, frozen=True):
    """Where a partition's stream begins: behind a position, or at a time; neither: with what comes from now on."""

    after: str | None = None
    since: datetime | None = None


async def newest(service: InterruptService, partitions: Iterable[int]) -> dict[int, Position]:
    """Where each of these partitions is now. Whoever writes after this is followed. Raises `UnavailableError`."""
    asked = list(partitions)
    return dict(zip(asked, await asyncio.gather(*map(service.log.last, asked)), strict=True))


async def follow(
    service: InterruptService, starts: Mapping[int, Start], lasts: Mapping[int, Position]
) -> AsyncGenerator[RecordedEvent, None]:
    """The events of these partitions, without end: what is there up to `lasts`, as `newest` said, then what comes.

    A broken connection is made again, and nothing is left out. Raises `UnavailableError` for what waiting can't mend.
    """
    async for event in _past(service, starts, lasts):
        yield event
    came: asyncio.Queue[RecordedEvent] = asyncio.Queue(QUEUE_MAX)
    # Where starting means a place that is not reached yet, what comes begins there.
    at = {each: max(last, _behind(starts[each], last)).stream_id for each, last in lasts.items()}
    # One connection follows all that is on one server; in a cluster each partition may be on another node.
    together = [at] if service.store.server.route.one_server else [{each: place} for each, place in at.items()]
    readers = [asyncio.create_task(_read(service, some, came)) for some in together]
    taking: asyncio.Task[RecordedEvent] | None = None
    try:
        while True:
            taking = asyncio.create_task(came.get())
            await asyncio.wait([taking, *readers], return_when=asyncio.FIRST_COMPLETED)
            if not taking.done():
                for reader in readers:
                    if reader.done():
                        reader.result()  # they only end by failing
            yield await taking
    finally:
        ending = [*readers, *([taking] if taking is not None else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


def _behind(start: Start, last: Position) -> Position:
    return last if start.after is None else Position.parse(start.after)


async def _past(
    service: InterruptService, starts: Mapping[int, Start], lasts: Mapping[int, Position]
) -> AsyncIterator[RecordedEvent]:
    """What is there, up to and with the last positions."""
    streams = {each: _stored(service, each, start, lasts[each]) for each, start in starts.items() if start != Start()}
    heads: list[tuple[datetime, int, RecordedEvent]] = []
    for partition, stream in streams.items():
        async for event in stream:
            heads.append((event.at, partition, event))
            break
    heapq.heapify(heads)
    while heads:
        _, partition, event = heads[0]
        yield event
        following = await anext(streams[partition], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following.at, partition, following))


async def _stored(
    service: InterruptService, partition: int, start: Start, last: Position
) -> AsyncIterator[RecordedEvent]:
    after, since = start.after, start.since
    while page := await service.log.range(partition, after=after, since=since, limit=PAGE):
        for event in page:
            if Position.parse(event.position) > last:
                return
            yield event
        after, since = page[-1].position, None


async def _read(service: InterruptService, at: dict[int, str], came: asyncio.Queue[RecordedEvent]) -> None:
    """Reads what comes, and goes on where it was when the server was away."""
    source = Follow(service.store.server, service.store.keys)
    pause_s = RETRY_PAUSE_FIRST_S
    try:
        while True:
            try:
                found = await source.read(at, TAIL_COUNT_MAX)
            except UnreachableError as error:
                if pause_s == RETRY_PAUSE_FIRST_S:
                    service.say("warning", "interrupts.tail_waits", why=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
                continue
            pause_s = RETRY_PAUSE_FIRST_S
            events = []
            for partition, entries in found.items():
                events += [recorded(decode_entry(stream_id, fields), partition) for stream_id, fields in entries]
                at[partition] = Position.parse(events[-1].position).stream_id if entries else at[partition]
            for event in sorted(events, key=lambda event: event.at):  # stable: a partition's own order stays
                await came.put(event)
    finally:
        await source.close()
