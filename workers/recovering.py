"""Taking over a partition of a group: what is known of it, what was in hand there, and what others have added since.

Whoever had it before may have been killed at any moment. What they had begun is between the place up to which all is
settled and `begun`: each of these events may have been handled, or may be why their process has ended. They are held,
which counts as an attempt, before anything is handled. What was held stays held; what was begun by itself and has not
ended is suspect.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from interrupts import InterruptService
from interrupts.errors import CorruptLogError
from interrupts.glance import glance
from interrupts.limits import LEASE_S, READ_COUNT_MAX
from interrupts.store.groups import Groups, Held, Parked
from interrupts.views import Checkpoint, place_of
from workers.calling import ERROR_CHARS_MAX
from workers.event import Event
from workers.item import Entry, Item
from workers.lane import Lane, checkpoint
from workers.reading import Wanted
from workers.subscriptions import Subscription

ENLIST_TIMEOUT_S: Final = 2.0
"""How long the start waits for partitions that do not answer: they are begun with later."""
_ENOUGH_TO_TELL: Final = 3
NEAR_MAX: Final = 3
"""So many times more may an event be begun when processes end, if it was never handled alone."""
_AT_ONCE: Final = 500
"""Events that are asked for in one go."""


class Recovering:
    """Opens partitions for one group, in the name of one owner. `committed` writes down what there is to."""

    def __init__(
        self,
        service: InterruptService,
        subscription: Subscription,
        groups: Groups,
        owner: str,
        committed: Callable[[Lane], Awaitable[None]],
    ) -> None:
        self._service = service
        self._subscription = subscription
        self._groups = groups
        self._owner = owner
        self._committed = committed
        self._wanted = Wanted(subscription.patterns)
        self._stood: dict[int, Checkpoint] = {}
        """Where the group stood in each partition when this process began."""
        self._lanes: dict[int, Lane] = {}
        """The last lane of each partition."""

    async def enlist(self, *, all_of_them: bool = True) -> None:
        """Makes the group known: in all partitions, or in those that can be reached. Raises `UnavailableError`."""
        subscription, keys = self._subscription, self._service.store.keys
        await self._groups.register(subscription.group, subscription.about())
        partitions = range(keys.partitions)
        enlisting = [
            asyncio.ensure_future(self._groups.enlist(subscription.group, each, subscription.start_in(each)))
            for each in partitions
        ]
        try:
            await asyncio.wait(enlisting, timeout=None if all_of_them else ENLIST_TIMEOUT_S)
            for partition, stands in enumerate(enlisting):
                if stands.done() and (all_of_them or stands.exception() is None):
                    self._stood[partition] = stands.result()
        finally:
            for stands in enlisting:
                stands.cancel()
            await asyncio.gather(*enlisting, return_exceptions=True)

    async def open(self, partition: int) -> Lane | None:
        """The partition with all that is in hand there; None while another has it. Raises `UnavailableError`."""
        sent_at = time.monotonic()
        leased = await self._groups.lease(self._subscription.group, partition, self._owner)
        if leased is None:
            return None
        at = leased.at
        if at is None:
            at = await self._enlist_again(partition)
        at, begun = await self._standing(partition, at, leased.begun)
        lane = Lane(partition, leased, at)
        lane.good_until = sent_at + LEASE_S
        held = await self._groups.held(self._subscription.group, partition)
        parked = {stream_id for stream_id, _ in await self._groups.parked(self._subscription.group, partition)}
        suspects = await self._begun(partition, at, begun, {one.stream_id for one in held} | parked)
        # Most of a stretch was never begun. So at first each is begun again beside others, counted by itself: should
        # the process end once more, it is known which. Where there are not enough attempts for that, all are suspects.
        suspected = self._subscription.attempts_max < _ENOUGH_TO_TELL
        known = {one.stream_id: one for one in held} | {
            entry[0].decode(): Held(entry[0].decode(), 1, begun=suspected, error="") for entry in suspects
        }
        entries = {entry[0].decode(): entry for entry in suspects} | await self._entries(
            partition, [one.stream_id for one in held]
        )
        for stream_id in sorted(known, key=place_of):
            self._return(lane, known[stream_id], entries.get(stream_id))
        lane.read_to = begun
        self._lanes[partition] = lane
        return lane

    async def _enlist_again(self, partition: int) -> Checkpoint:
        """The group was removed, or lost at a failover: it goes on where it was last known to be, and says so."""
        before = self._lanes.get(partition)
        if before is None and partition not in self._stood:  # it could not be reached before
            at = await self._groups.enlist(self._subscription.group, partition, self._subscription.start_in(partition))
            self._stood[partition] = at
            return at
        at = self._stood[partition] if before is None else before.written
        self._service.say(
            "error",
            "reactions.group_lost",
            group=self._subscription.group,
            position=f"{partition}:{at.stream_id}",
            meaning="how far the group is was gone from Redis; it goes on from there",
        )
        start = "beginning" if at.stream_id == "0-0" else at.stream_id
        return await self._groups.enlist(self._subscription.group, partition, start)

    async def added(self, lane: Lane) -> list[Item]:
        """What others have added to what is held. Raises `UnavailableError`."""
        left = lane.left_ids = set()
        try:
            await self._committed(lane)  # what left before is not told any more; what leaves from here on is noted
            held = await self._groups.held(self._subscription.group, lane.partition)
            asked = [one.stream_id for one in held if one.stream_id not in lane.held_ids]
            entries = await self._entries(lane.partition, asked)
        finally:
            lane.left_ids = None
        if lane.is_given_up():
            return []
        new = [one for one in held if one.stream_id not in lane.held_ids and one.stream_id not in left]
        items = (self._return(lane, one, entries.get(one.stream_id)) for one in new)
        return [item for item in items if item is not None]

    def _return(self, lane: Lane, held: Held, entry: Entry | None) -> Item | None:
        stream_id = held.stream_id
        try:
            if entry is None:
                raise CorruptLogError("it is not in the log any more")
            name, session_id = glance(entry[1][-1])
        except CorruptLogError as error:
            self._service.say("error", "reactions.unreadable", position=f"{lane.partition}:{stream_id}", why=str(error))
            self._park(lane, held, str(error))
            return None
        if self._has_killed(held):
            why = "the process that handled it has ended before it was done"
            self._service.say(
                "error",
                "reactions.parked",
                group=self._subscription.group,
                event_type=name,
                position=f"{lane.partition}:{stream_id}",
                session_id=session_id,
                attempt=held.attempts,
                error=why,
            )
            self._park(lane, held, f"{why}. {held.error}".strip())
            return None
        item = lane.returned(Event(lane.partition, stream_id, name, session_id, entry[1][-1]), held)
        lane.hold(item, held.error, begun=held.begun)
        return item

    def _has_killed(self, held: Held) -> bool:
        """Whether it was why processes have ended, as often as it may fail.

        Surely so only if it was handled alone. But those that were near each time are given up some time, too.
        """
        most = self._subscription.attempts_max
        return held.begun and held.attempts >= (most if held.alone else 2 * most + NEAR_MAX)

    def _park(self, lane: Lane, held: Held, why: str) -> None:
        parked = Parked(held.attempts, why[:ERROR_CHARS_MAX], time.time_ns() // 1_000_000)
        lane.refused(held.stream_id, msgspec.json.encode(parked).decode())

    async def _standing(self, partition: int, at: Checkpoint, upto: str) -> tuple[Checkpoint, Entry | Checkpoint]:
        """Up to where all is settled, and the last entry that may have been begun.

        If the log was rolled back behind it, that is said, and it goes on with what is there now.
        """
        if at.stream_id != "0-0":
            there = await self._range(partition, at.stream_id, at.stream_id, 1)
            if not there or checkpoint(there[0]) != at:
                (before,) = await self._newest(partition, f"({at.stream_id}") or (None,)
                self._service.say(
                    "error",
                    "reactions.rolled_back",
                    group=self._subscription.group,
                    position=f"{partition}:{at.stream_id}",
                    meaning="the log is not the one that was read: events that are gone may have been handled",
                )
                at = Checkpoint() if before is None else checkpoint(before)
                return at, at
        if not upto or place_of(upto) <= at.place:
            return at, at
        last = await self._newest(partition, upto)
        return at, last[0] if last and place_of(last[0][0].decode()) > at.place else at

    async def _begun(
        self, partition: int, at: Checkpoint, begun: Entry | Checkpoint, known: set[str]
    ) -> Sequence[Entry]:
        """What may have been begun, and is neither held nor parked."""
        if isinstance(begun, Checkpoint):
            return []
        found: list[Entry] = []
        first = at.stream_id
        while entries := await self._range(partition, f"({first}", begun[0].decode(), READ_COUNT_MAX):
            found += [entry for entry in entries if entry[0].decode() not in known and self._wants(entry)]
            first = entries[-1][0].decode()
        return found

    def _wants(self, entry: Entry) -> bool:
        try:
            return self._wanted(glance(entry[1][-1])[0])
        except CorruptLogError:
            return False

    async def _entries(self, partition: int, stream_ids: Sequence[str]) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for at in range(0, len(stream_ids), _AT_ONCE):
            asked = stream_ids[at : at + _AT_ONCE]
            for entries in await asyncio.gather(*(self._range(partition, one, one, 1) for one in asked)):
                found |= {entry[0].decode(): entry for entry in entries}
        return found

    async def _range(self, partition: int, first: str, last: str, count: int) -> Sequence[Entry]:
        store = self._service.store
        slot, log = store.keys.slots[partition], store.keys.logs[partition]
        found: Sequence[Entry] = await store.server.command(slot, "XRANGE", log, first, last, "COUNT", count)
        return found

    async def _newest(self, partition: int, upto: str) -> Sequence[Entry]:
        """The last entry up to and with this place."""
        store = self._service.store
        slot, log = store.keys.slots[partition], store.keys.logs[partition]
        found: Sequence[Entry] = await store.server.command(slot, "XREVRANGE", log, upto, "-", "COUNT", 1)
        return found
