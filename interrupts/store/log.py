"""The log of one namespace: appending to it and reading from it, in batches.

On one server a call carries items of any partitions: what gathers is the process, not the partition, so batches are
full even when the work is spread thinly. In a cluster each partition's items travel in a call of their own, side by
side, because its node is its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from interrupts.errors import CorruptLogError, InterruptsError, UnavailableError
from interrupts.keys import Keys
from interrupts.limits import RESERVATION_MAX_S
from interrupts.scripts import script
from interrupts.store.batcher import Batcher
from interrupts.store.grouping import by_partition, flat, in_order
from interrupts.store.server import Server

APPEND: Final = script("append")
READ: Final = script("read")
NEW: Final = "new"
"""The terms of a creation: there must be no such interrupt. Behind it may stand until when it may be appended."""
NEVER: Final = "0 any p"
"""Terms that no interrupt meets: nothing is appended, and the call's confirmation is what it is for."""

AppendItem = tuple[int, str, str, str | int, bytes]
"""partition, then as `append.lua` has them: interrupt, terms, ttl_ms, event."""
ReadItem = tuple[int, str, "Decide | None"]
"""partition, interrupt, and what to do with what it holds"""


class Read(msgspec.Struct, gc=False):
    """What an interrupt's key holds, and the partition's time."""

    partition: int
    now_ms: int
    there: bytes | None


class Appended(Read, gc=False):
    """What became of one append.

    `sequence` > 0: it is in the log at `stream_id`; whether as durably as asked for says `confirmed`. Otherwise it was
    refused, and `there` is what the interrupt's key holds. `now_ms` is the partition's time at which this was decided.
    """

    sequence: int
    stream_id: str
    confirmed: bool
    again: bool


Made = tuple[bytes, str, int | None]
"""An event, its terms, and the time to live from then on, if there is a deadline to enforce."""
Decide = Callable[[Read], Made | None]
"""Makes an event and its terms of what an interrupt's key holds, or nothing, or raises."""


class Log:
    """Appends, looks and lists for the layers above, which never see a script or a key's layout."""

    def __init__(self, keys: Keys, server: Server) -> None:
        self.keys = keys
        self.server = server
        self._wrote: dict[int, tuple[int, int]] = {}
        self._appends: Batcher[AppendItem, Appended] = Batcher(self._send_appends, patience_s=server.call_timeout_s)
        self._reads: Batcher[ReadItem, Read] = Batcher(
            self._send_reads, self._deliver_read, patience_s=server.call_timeout_s
        )

    def append(
        self, interrupt_id: str, event: bytes, terms: str = NEW, ttl_ms: int | None = None
    ) -> asyncio.Future[Appended]:
        """Appends an event if its terms hold (see `append.lua`): the version decided on, and the deadline's guard.

        Raises `UnavailableError`.
        """
        keys = self.keys
        partition = int(interrupt_id[:4], 16) * keys.partitions >> 16
        item = (partition, keys.interrupts[partition] + interrupt_id, terms, "" if ttl_ms is None else ttl_ms, event)
        return self._appends.submit(item, len(event))

    def read(self, interrupt_id: str) -> asyncio.Future[Read]:
        """What the interrupt's key holds. Raises `UnavailableError`."""
        keys = self.keys
        partition = int(interrupt_id[:4], 16) * keys.partitions >> 16
        return self._reads.submit((partition, keys.interrupts[partition] + interrupt_id, None))

    def decide(self, interrupt_id: str, decide: Decide) -> asyncio.Future[Appended | None]:
        """Reads an interrupt and appends what `decide` makes of it; None if that is nothing.

        What was read is decided on at once, in the batch that brought it, and goes on in the next batch of appends:
        the caller is woken once, for both round trips. Raises what `decide` raises, and `UnavailableError`.
        """
        keys = self.keys
        partition = int(interrupt_id[:4], 16) * keys.partitions >> 16
        return self._reads.submit((partition, keys.interrupts[partition] + interrupt_id, decide))

    def append_once(self, partition: int, name: str, event: bytes, remember_ms: int) -> asyncio.Future[Appended]:
        """Appends an event that is no interrupt's, if none of this name was appended in that time; else `there` is the
        stream id of the one that was. Raises `UnavailableError`.
        """
        item = (partition, self.keys.once[partition] + name, f"once {remember_ms}", "", event)
        return self._appends.submit(item, len(event))

    async def confirmed(self, interrupt_id: str) -> bool:
        """Whether everything written so far in this interrupt's partition is as durable as asked for.

        Raises `UnavailableError`.
        """
        if not self.server.durable:
            return True
        return (await self.append(interrupt_id, b"", NEVER)).confirmed

    async def append_all(self, items: Sequence[AppendItem]) -> Sequence[Appended | Exception]:
        """Appends a batch of one's own making at once, on its own; an outcome for each. Raises `UnavailableError`."""
        return await self._send_appends(items)

    def wrote(self, partition: int) -> tuple[int, int]:
        """The place of the last event that this process wrote in a partition, or found there as its own."""
        return self._wrote.get(partition, (0, 0))

    def saw(self, partition: int, place: tuple[int, int]) -> None:
        """From now on this place counts as written."""
        if place > self._wrote.get(partition, (0, 0)):
            self._wrote[partition] = place

    def forget(self, partition: int) -> None:
        """Nothing counts as written any more: the log was rolled back."""
        self._wrote.pop(partition, None)

    async def drain(self) -> None:
        """Returns when everything handed over has its reply."""
        await self._reads.drain()
        await self._appends.drain()

    def _deliver_read(self, item: ReadItem, future: asyncio.Future[Any], read: Read) -> None:
        _, name, decide = item
        if decide is None:
            future.set_result(read)
            return
        try:
            made = decide(read)
        except Exception as error:  # noqa: BLE001 - it is raised to the caller
            future.set_exception(error)
            return
        if made is None:
            future.set_result(None)
        else:
            event, terms, ttl_ms = made
            to_append = (read.partition, name, terms, "" if ttl_ms is None else ttl_ms, event)
            self._appends.add(to_append, future, len(event))

    async def _send_appends(self, items: Sequence[AppendItem]) -> Sequence[Appended | Exception]:
        groups = by_partition(items)
        if self.server.route.one_server:
            return in_order(len(items), groups, await self._append_call(list(groups.items()), items))
        calls = (self._append_call([group], items) for group in groups.items())
        return in_order(len(items), groups, flat(await asyncio.gather(*calls, return_exceptions=True), groups))

    async def _append_call(
        self, groups: list[tuple[int, list[int]]], items: Sequence[AppendItem]
    ) -> list[Appended | Exception]:
        keys = self.keys
        names: list[str] = []
        args: list[Any] = [len(groups), "1" if self.server.durable else ""]
        for partition, indexes in groups:
            names += (keys.logs[partition], keys.deadlines[partition], keys.marks[partition])
            args.append(len(indexes))
        for _, indexes in groups:
            for index in indexes:
                _, name, terms, ttl_ms, event = items[index]
                names.append(name)
                args += (terms, ttl_ms, event)
        written = await self.server.run(APPEND, keys.slots[groups[0][0]], names, args)
        reply, confirmed, again = written.reply, written.confirmed, written.again
        outcomes: list[Appended | Exception] = []
        at = 0
        for partition, indexes in groups:
            now_ms, offset = reply[at], reply[at + 1]
            at += 2
            last = 0
            for outcome in reply[at : at + len(indexes)]:
                if type(outcome) is int:
                    last = outcome
                    stream_id = f"{now_ms}-{outcome + offset}"
                    outcomes.append(Appended(partition, now_ms, None, outcome, stream_id, confirmed, again))
                elif isinstance(outcome, Exception):
                    outcomes.append(_refused(outcome))
                else:
                    outcomes.append(Appended(partition, now_ms, outcome, 0, "", confirmed, again))
            at += len(indexes)
            if last:
                self.saw(partition, (now_ms, last + offset))
        return outcomes

    async def _send_reads(self, items: Sequence[ReadItem]) -> Sequence[Read | Exception]:
        groups = by_partition(items)
        if self.server.route.one_server:
            return in_order(len(items), groups, await self._read_call(list(groups.items()), items))
        calls = (self._read_call([group], items) for group in groups.items())
        return in_order(len(items), groups, flat(await asyncio.gather(*calls, return_exceptions=True), groups))

    async def _read_call(
        self, groups: list[tuple[int, list[int]]], items: Sequence[ReadItem]
    ) -> list[Read | Exception]:
        keys = self.keys
        names = [keys.logs[partition] for partition, _ in groups]
        args: list[Any] = [len(groups)]
        for _, indexes in groups:
            args.append(len(indexes))
            names += [items[index][1] for index in indexes]
        reply = await self.server.read(READ, keys.slots[groups[0][0]], names, args)
        outcomes: list[Read | Exception] = []
        at = 0
        for partition, indexes in groups:
            now_ms = reply[at]
            outcomes += [
                _refused(there) if isinstance(there, Exception) else Read(partition, now_ms, there)
                for there in reply[at + 1 : at + 1 + len(indexes)]
            ]
            at += 1 + len(indexes)
        return outcomes


class TooLateError(UnavailableError):
    """It was not appended within the time for which it was let in. Nothing was written."""


def _refused(refusal: Exception) -> InterruptsError:
    if str(refusal).startswith("LATE"):
        return TooLateError(
            f"The interrupt was not appended within {RESERVATION_MAX_S:g} s after it was let in by the rate limit: "
            "Redis is too slow. Nothing was written."
        )
    if not str(refusal).startswith("WRONGTYPE"):
        return UnavailableError(f"Redis refused: {refusal}. Nothing was written.")
    return CorruptLogError(
        f"Redis refused: {refusal}. A key of this namespace was not written by us: look at it, "
        "or use another namespace. Nothing was written."
    )
