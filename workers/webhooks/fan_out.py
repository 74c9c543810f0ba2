"""From the log to what is to be sent: nothing between an answer and its webhook can be lost.

Events are read in order. What each endpoint is to be sent of them, and the place up to which the log is read, are
written down in one step, under the guard that the place is still the one it was made from. So, whatever crashes:

- before this step nothing has happened, and whoever goes on reads the same events again;
- after it the deliveries are in their queues, and the log is not needed for them any more: an endpoint that is dead
  holds up nothing here;
- of two processes that read the same partition one writes, and the other finds the place moved and reads on from there;
- a step whose reply was lost is sent again with its token, and changes nothing the second time.

The place is that of a group of reactions with the name `webhooks`, so operators see it and hand events to it as to any
other (`interrupts groups`, `interrupts replay --to-group webhooks`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from interrupts import InterruptService
from interrupts.errors import CorruptLogError, UnavailableError
from interrupts.limits import (
    HOOK_EVENTS_MAX,
    HOOK_READ_BYTES_MAX,
    RETRY_PAUSE_FIRST_S,
    RETRY_PAUSE_MAX_S,
)
from interrupts.store.deliveries import BROKEN, NO_ROOM, Deliveries, Due, Portion, Written
from interrupts.store.follow import Follow
from interrupts.store.groups import Groups
from interrupts.store.lanes import UnreachableError
from workers.item import Entry
from workers.lane import checkpoint
from workers.log_entries import entries_at
from workers.webhooks.part import Heard, Part
from workers.webhooks.place import GROUP, Place
from workers.webhooks.registry import Registry
from workers.webhooks.sending import Sending
from workers.webhooks.telling import bodies, packed, told_of
from workers.webhooks.tries import Tried, encoded

RENEW_S: Final = 2.0
"""How often it is said who reads, and looked whether events were handed over once more."""
_EVENT_BYTES_FIRST: Final = 16 * 1024
_LEFT_OUT_MEANS: Final = "so much waits for it that more was given up; resend sends the last of it, from the log"
_BROKEN_MEANS: Final = "the keys of what is to be sent to it are not what was written there: its events are lost"
_LEFT_OUT: Final = encoded(Tried(error="there was no room: so much waits for this endpoint already"))[:-1] + b',"name":'
"""How what is kept of what was left out begins; its name comes behind it."""


class FanOut:
    """Reads some partitions that are on one server, or one partition, and hands what is to be sent to `sending`."""

    def __init__(self, service: InterruptService, owner: str, registry: Registry, sending: Sending) -> None:
        self._service = service
        self._owner = owner
        self._registry = registry
        self._sending = sending
        self._groups = Groups(service.store.server, service.store.keys)
        self._deliveries = Deliveries(service.store.server, service.store.keys)
        self._tail = Follow(service.store.server, service.store.keys)
        self._wanted: frozenset[int] = frozenset()
        self._places: dict[int, Place] = {}
        self._news: set[int] = set()
        self._event_bytes = _EVENT_BYTES_FIRST
        self._renew_at = 0.0
        self._ending = False
        self.read = 0

    @property
    def ready(self) -> bool:
        """Whether it reads all that it is to read."""
        return self._places.keys() >= self._wanted

    def want(self, partitions: Sequence[int]) -> None:
        """From now on it reads these."""
        self._wanted = frozenset(partitions)
        self._tail.wake()

    async def run(self) -> None:
        """Reads on, until it is asked to end. What the server can't do for now is tried again."""
        pause_s = RETRY_PAUSE_FIRST_S
        try:
            while not self._ending:
                try:
                    await self._open()
                    await self._round()
                    pause_s = RETRY_PAUSE_FIRST_S
                except (UnreachableError, UnavailableError) as error:
                    # What was read and not written down is read again, from the place that is written down.
                    self._places.clear()
                    self._service.say("warning", "webhooks.waiting", why=str(error))
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
            if self._places:
                await self._write({}, {})  # up to where it has read
        finally:
            await self._tail.close()

    def stop(self) -> None:
        """Asks it to end. What it takes before it does is handed on."""
        self._ending = True
        self._tail.wake()

    async def _open(self) -> None:
        for partition in self._places.keys() - self._wanted:
            del self._places[partition]
        for partition in self._wanted - self._places.keys():
            self._places[partition] = Place(await self._groups.enlist(GROUP, partition, "now"))
            await self._sending.look_at(partition)
            self._renew_at = 0.0

    async def _round(self) -> None:
        """Reads what comes, and writes down what is to be sent of it."""
        if self._places and asyncio.get_running_loop().time() >= self._renew_at:
            await self._write({}, {})
        while self._news:
            await self._again(self._news.pop())
        after = {partition: place.read_id for partition, place in self._places.items()}
        count = max(1, min(HOOK_EVENTS_MAX, HOOK_READ_BYTES_MAX // self._event_bytes) // max(1, len(after)))
        found = await self._tail.read(after, count, until_s=self._renew_at if after else None)
        if not found:
            return
        # From here on: whatever was registered before these events were appended is known.
        self._sending.changed(await self._registry.refresh())
        told = {partition: self._came(partition, entries) for partition, entries in found.items()}
        wanted = {partition: some for partition, some in told.items() if some}
        if wanted:
            await self._write(wanted, {})

    def _came(self, partition: int, entries: Sequence[Entry]) -> list[Heard]:
        """Takes in what was read; returns what somebody wants of it."""
        place = self._places[partition]
        place.read_to = entries[-1]
        self.read += len(entries)
        size = sum(len(fields[-1]) for _, fields in entries) // len(entries)
        self._event_bytes = max(1, size, self._event_bytes // 2)
        if not self._registry.by_id:
            return []
        return [heard for entry in entries if (heard := self._heard(partition, entry)) is not None]

    def _heard(self, partition: int, entry: Entry, *, again: bool = False) -> Heard | None:
        """An event, if somebody wants it."""
        try:
            told = told_of(partition, entry[0].decode(), entry[1][-1])
        except CorruptLogError as error:
            where = f"{partition}:{entry[0].decode()}"
            self._service.say("error", "webhooks.unreadable", position=where, why=str(error)[:500])
            return None
        wanting = self._registry.wanting(told) if told is not None else None
        return (told, wanting, None if again else entry) if told is not None and wanting else None

    async def _write(self, told: Mapping[int, Sequence[Heard]], again: Mapping[int, Sequence[str]]) -> None:
        """Writes down what is to be sent of these, that the partitions are read, and who reads them.

        What is too much for one call goes in several. Each moves the places up to the last event that is whole in it.
        """
        every, refused, part = [one for some in told.values() for one in some], set[int](), Part()
        made = await bodies(self._service, [one for one, _, _ in every])
        for (one, wanting, entry), body in zip(every, made, strict=True):
            if one.partition in refused:
                continue
            stored = packed(one.name, body)
            for endpoint in wanting:
                if part.is_full:
                    refused |= await self._deliver(part, {})
                    part = Part()
                    await asyncio.sleep(0)
                    if one.partition in refused:
                        break
                # As much of it as there is room for is taken at once.
                room, claim_ms = self._sending.room(endpoint.id)
                part.add(one, endpoint, stored, room, claim_ms)
            else:
                if entry is not None:
                    part.at[one.partition] = checkpoint(entry)
        for partition in told.keys() | again.keys() or self._places.keys():
            part.at[partition] = checkpoint(self._places[partition].read_to)
        for partition in refused:
            part.forget(partition)
        await self._deliver(part, again)
        if not (told or again):
            self._renew_at = asyncio.get_running_loop().time() + RENEW_S

    async def _deliver(self, part: Part, again: Mapping[int, Sequence[str]]) -> set[int]:
        """Writes a part down; returns the partitions in which somebody else has read on, and nothing was written."""
        portions = []
        for partition in part.at.keys() | part.adds.keys():
            written_to = self._places[partition].written
            at, done = part.at.get(partition, written_to), list(again.get(partition, ()))
            token = secrets.token_hex(8)
            portions.append(Portion(partition, token, written_to, at, part.adds.get(partition, []), done))
        taken_at, pause_s, written = asyncio.get_running_loop().time(), RETRY_PAUSE_FIRST_S, list[Written]()
        while portions and not written:
            try:
                stays = not self._ending
                written = await self._deliveries.deliver(GROUP, self._owner, _LEFT_OUT, portions, stays=stays)
            except UnavailableError as error:
                self._service.say("warning", "webhooks.waiting", why=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
        for portion, one in zip(portions, written, strict=True):
            if await self._settle(portion, one, taken_at):
                self._news.add(portion.partition)
        return {portion.partition for portion, one in zip(portions, written, strict=True) if one.news is None}

    async def _settle(self, portion: Portion, written: Written, taken_at: float) -> bool:
        """What was written down is handed on; whether events were handed over once more meanwhile."""
        partition, place = portion.partition, self._places[portion.partition]
        if written.news is None:
            # Somebody else has read on, or the log was rolled back: it goes on from what is written down.
            self._places[partition] = Place(await self._groups.enlist(GROUP, partition, "now"))
            await self._sending.look_at(partition)  # what they wrote may be nobody's to fetch but ours
            return False
        place.written = portion.at
        left_out, broken = set(), set()
        for add, until in zip(portion.adds, written.until, strict=True):
            if until > 0:
                self._sending.take(partition, add.hook, Due(add.stream_id, until, b"", add.body), taken_at)
            elif until == NO_ROOM:
                left_out.add(add.hook)
            elif until == BROKEN:
                broken.add(add.hook)
            else:
                self._sending.waits(partition, add.hook)
        for hook in left_out:
            self._service.say("error", "webhooks.left_out", webhook=hook, partition=partition, meaning=_LEFT_OUT_MEANS)
        for hook in broken:
            self._service.say("error", "webhooks.broken", webhook=hook, partition=partition, meaning=_BROKEN_MEANS)
        had, place.news = place.news, written.news
        return had != written.news

    async def _again(self, partition: int) -> None:
        """Deals with the events that somebody has handed over once more. All that was read is written down by now."""
        if partition not in self._places:
            return
        held = [one.stream_id for one in await self._groups.held(GROUP, partition)]
        for at in range(0, len(held), HOOK_EVENTS_MAX):
            some = held[at : at + HOOK_EVENTS_MAX]
            entries = await entries_at(self._service, partition, some)
            self._sending.changed(await self._registry.refresh())
            told = [one for entry in entries.values() if (one := self._heard(partition, entry, again=True)) is not None]
            await self._write({partition: told}, {partition: some})
