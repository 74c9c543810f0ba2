"""Writing down that deadlines have passed.

Nothing depends on when this happens: an overdue interrupt reads as expired and refuses answers at once. What it is for
is that everybody hears of it in time: views, subscribers, those who wait.

One round, for some partitions: one script tells what is overdue, with what the interrupts' keys hold; `decide` says
what follows; one script a batch appends it, under the guard "still at the version decided on, and still due". So an
interrupt expires once, whoever does this at the same time, and whoever answers meanwhile. Whatever is interrupted half-
way is overdue still, and comes again. The times compared are the server's, in both scripts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interrupts.codec import STATUS_LETTER, encode
from interrupts.commands import Expire
from interrupts.decide import decide
from interrupts.errors import CorruptLogError
from interrupts.events import AnyEvent
from interrupts.evolve import State, evolve, fold
from interrupts.execution import made
from interrupts.ids import new_command_id
from interrupts.limits import EXPIRE_BATCH_MAX, EXPIRE_BYTES_MAX
from interrupts.outcomes import line_of
from interrupts.ports import Ports
from interrupts.schemas import fits_schema
from interrupts.scripts import script
from interrupts.store.log import AppendItem, Log

DUE: Final = script("due")
_KNOWN_BYTES: Final = 64
"""How much the script tells of what is known to be there by mistake."""
_AGAIN_MS: Final = 1_000
"""After which time it is tried again where it was too early, or could not be read."""


class Left(msgspec.Struct, frozen=True):
    """What is left in a partition after a round: in how many milliseconds the next deadline is (None: there is none),
    and whether something may be overdue still. `now_ms`: the partition's time."""

    now_ms: int
    next_ms: int | None
    more: bool


class _Due(msgspec.Struct):
    """An overdue interrupt: what its key held, and what follows from that."""

    packed: bytes
    state: State
    event: AnyEvent
    item: AppendItem


class Expiry:
    """Expires what is overdue in one log, and tells the ports."""

    def __init__(self, log: Log, ports: Ports) -> None:
        self._log = log
        self._ports = ports
        self._stuck: dict[int, dict[str, bytes]] = {}
        """By partition the deadlines that are there by mistake, and what is known of what is there: told once, and
        passed over until it is something else."""
        self._broken: set[int] = set()
        """Partitions whose deadlines can't be read: told once."""
        self.expired = 0
        """How many were expired here so far."""

    async def expire_all(self, partitions: Iterable[int]) -> int:
        """Expires what is overdue; returns how many this call did.

        Raises `UnavailableError`; in a cluster after the partitions of all nodes that answer are done.
        """
        if self._log.server.route.one_server:
            return await self._expire(sorted(partitions))
        each = await asyncio.gather(*(self._expire([one]) for one in partitions), return_exceptions=True)
        for outcome in each:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome for outcome in each if isinstance(outcome, int))

    async def _expire(self, together: list[int]) -> int:
        expired = 0
        while together:
            left, count = await self.round(together)
            expired += count
            together = [partition for partition in together if left[partition].more]
        return expired

    async def round(self, partitions: Iterable[int]) -> tuple[dict[int, Left], int]:
        """Expires at most a batch in each partition; what is left there, and how many were expired by this call.

        Raises `UnavailableError`.
        """
        keys = self._log.keys
        asked = list(partitions)
        calls = []
        for partition in asked:
            names, stuck = [keys.logs[partition], keys.deadlines[partition]], self._stuck.get(partition, {})
            args = [keys.interrupts[partition], EXPIRE_BATCH_MAX + len(stuck), EXPIRE_BYTES_MAX, *stuck]
            calls.append((keys.slots[partition], names, args))
        left: dict[int, Left] = {}
        overdue: list[_Due] = []
        for partition, reply in zip(asked, await self._log.server.read_all(DUE, calls), strict=True):
            now_ms, next_ms, wait_ms, *told = reply
            if isinstance(next_ms, Exception):
                left[partition] = self._unreadable(partition, now_ms, next_ms)
                continue
            self._broken.discard(partition)
            due = list(zip(told[::2], told[1::2], strict=True))
            still = self._stuck.get(partition, {}).keys() & {name.decode() for name, _ in due}
            limit = EXPIRE_BATCH_MAX + len(self._stuck.get(partition, ()))
            decided = self._decided(partition, now_ms, due)
            overdue += decided
            # What was told is all that is due, unless it is as much as may be told, or it tells of something new.
            whole = len(due) < limit and sum(len(one.packed) for one in decided) <= EXPIRE_BYTES_MAX
            more = not whole or self._stuck[partition].keys() != still
            left[partition] = Left(now_ms, wait_ms if next_ms else None, more=more)
        batches = [overdue[at : at + EXPIRE_BATCH_MAX] for at in range(0, len(overdue), EXPIRE_BATCH_MAX)]
        expired = 0
        for count, refused in await asyncio.gather(*map(self._append, batches)):
            expired += count
            for partition in refused:
                left[partition] = Left(left[partition].now_ms, _AGAIN_MS, more=False)
        return left, expired

    def _unreadable(self, partition: int, now_ms: int, error: Exception) -> Left:
        """One partition that is broken must not hold up the others."""
        if partition not in self._broken:
            self._broken.add(partition)
            self._ports.say("error", "interrupts.deadlines_unreadable", partition=partition, why=str(error))
        return Left(now_ms, _AGAIN_MS, more=False)

    def _decided(self, partition: int, now_ms: int, due: list[tuple[bytes, Any]]) -> list[_Due]:
        """What is to be appended for these. Remembers which of them are no pending interrupt with a deadline."""
        prefix = self._log.keys.interrupts[partition]
        decided: list[_Due] = []
        # What is there by mistake stays at the head of the list, so all of it is told each time, or is mended.
        known, self._stuck[partition] = self._stuck.get(partition, {}), {}
        for name, packed in due:
            interrupt_id = name.decode()
            if interrupt_id in known:
                if known[interrupt_id] == packed:
                    self._stuck[partition][interrupt_id] = known[interrupt_id]
                continue  # else it was mended, and is looked at as a whole in the next round
            try:
                if not isinstance(packed, bytes):
                    raise CorruptLogError(f"its key can't be read: {packed or 'there is none'}")
                state = fold(packed, partition)
                event = decide(state, Expire(interrupt_id, new_command_id()), now_ms, fits_schema)
                if event is None:
                    raise CorruptLogError("it is not pending, or not overdue")
                if not packed.startswith(_head(state)):
                    raise CorruptLogError("its head is not what its events say; `verify` tells more")
            except CorruptLogError as error:
                # It must not block the rest, or be looked at for ever.
                self._stuck[partition][interrupt_id] = _known(packed)
                self._ports.say("error", "interrupts.can_not_expire", interrupt_id=interrupt_id, why=str(error))
                continue
            raw, terms, _ = made(encode(event), event, state)
            decided.append(_Due(packed, state, event, (partition, prefix + interrupt_id, terms, "", raw)))
        return decided

    async def _append(self, batch: list[_Due]) -> tuple[int, set[int]]:
        """Appends them; how many are expired by this call, and the partitions whose clock says that it is too early."""
        expired, too_early = 0, set[int]()
        refused: Exception | None = None
        for due, outcome in zip(batch, await self._log.append_all([due.item for due in batch]), strict=True):
            if isinstance(outcome, Exception):
                refused = outcome  # raised when the others are counted and told
                continue
            after = None
            if outcome.sequence:
                expired += 1
                if not self._ports.idle:
                    after = evolve(due.state, line_of(outcome, due.event), outcome.partition)
            elif outcome.there == due.packed:
                too_early.add(outcome.partition)  # the clock was set back meanwhile, or is another server's
            elif outcome.again and outcome.there is not None:
                # An attempt of this very call, whose reply was lost, may have done it.
                there = fold(outcome.there, outcome.partition)
                if there.caused_by(due.event.about.command_id) is not None:
                    expired += 1
                    after = there
            if after is not None and not self._ports.idle:
                await self._ports.announce(after.interrupt, due.event)
        self.expired += expired
        if refused is not None:
            raise refused
        return expired, too_early


def _head(state: State) -> bytes:
    """How the key of such a pending interrupt begins."""
    return f"{state.interrupt.version}{STATUS_LETTER[state.interrupt.status]}{state.deadline_ms}\n".encode()


def _known(packed: Any) -> bytes:
    """What the script tells of it once it is known."""
    if packed is None:
        return b"0"
    if isinstance(packed, Exception):
        return b""
    return b"%b%d%b" % (packed[:_KNOWN_BYTES], len(packed), packed[-_KNOWN_BYTES:])
