"""Deciding the commands of producers: exactly one outcome for each, in their order, whoever crashes where.

A step takes the first commands of a partition, looks at all that they are about (one round trip), decides on each in
turn, as every call is decided, and writes everything down in one script: events, replies, refusals to remember; and the
commands are gone. What that gives:

- *Nothing half-way.* A process that dies, freezes or loses its connection has decided a command wholly or not at all.
  What is still in the stream is still to be decided, and nothing else has to be remembered about it.
- *Order.* A step ends at the first event that does not find its interrupt as it was when it was decided on, and before
  a second command about the same interrupt. What is left is decided anew, on what is there then. So commands of a
  partition, and with them those of a session, take effect in the order in which they were sent.
- *One decider.* The script compares the lease, and the first command with the one that was the first: what somebody
  decided who was frozen meanwhile comes to nothing, event and reply.
- *One outcome for an id.* A command that is sent again finds what it has done in its interrupt, by its id: the id of a
  created interrupt is made from it. One that was refused finds that among the refusals, for a day.

Where writes have to be durable before they count, a step has two scripts. The first appends and remembers; when that is
confirmed, the second tells and takes the commands away. In between nobody has heard anything; after a crash there the
commands are decided again, and those that have acted are found to have.

Why not each as a call of its own, and then one script for the replies: a process that has lost its lease could still
append what its successor has refused, and a producer was told that. (It would also be slower.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from interrupts.cases import Case, Entry, judge, opened
from interrupts.codec import Line
from interrupts.creation import Creation
from interrupts.entering import Entering
from interrupts.errors import InterruptsError, UnavailableError
from interrupts.evolve import evolve
from interrupts.gate import Gate
from interrupts.limits import BATCH_BYTES_MAX, COMMANDS_READ_MAX
from interrupts.outcomes import found, tell_refusal
from interrupts.ports import Ports
from interrupts.store.inbox import Done, Inbox, Lease, Written
from interrupts.store.log import Appended, Log


class Counts(msgspec.Struct):
    """How many commands were decided here, and what became of them."""

    done: int = 0
    refused: int = 0
    parked: int = 0


class Deciding:
    """Decides commands on one log, and tells the ports."""

    def __init__(self, log: Log, ports: Ports, creation: Creation, gate: Gate | None, payload_bytes_max: int) -> None:
        self.inbox = Inbox(log)
        self.counts = Counts()
        self._log = log
        self._ports = ports
        self._creation = creation
        self._gate = gate
        self._payload_bytes_max = payload_bytes_max

    async def step(self, partition: int, lease: Lease, entries: Sequence[Entry]) -> int | None:
        """Decides the first of these, which are the first of the partition; how many. None: they are gone, or the lease
        is. Raises `UnavailableError`: nothing is known then, and they are to be tried again."""
        cases = self._together(partition, entries)
        await self._judge(partition, cases)
        if self._gate is None:
            return await self._write(partition, lease, cases, None)
        entering, error = Entering(self._gate), None
        try:
            await entering.ask(cases)
            return await self._write(partition, lease, cases, entering)
        except UnavailableError as away:
            error = away
            raise
        finally:
            await entering.leave(error)

    def _together(self, partition: int, entries: Sequence[Entry]) -> list[Case]:
        """As many of the first as can be decided in one step: no two of them are about the same interrupt."""
        cases: list[Case] = []
        about: set[str] = set()
        size = 0
        for entry in entries[:COMMANDS_READ_MAX]:
            size += len(entry[1][-1]) if entry[1] else 0
            if cases and size > BATCH_BYTES_MAX:
                break
            case = opened(entry, partition, self._log.keys, self._creation)
            if case.interrupt_id:
                if case.interrupt_id in about:
                    break
                about.add(case.interrupt_id)
            cases.append(case)
        return cases

    async def _judge(self, partition: int, cases: Sequence[Case]) -> None:
        """Decides on each, on what is there now. Raises `UnavailableError`."""
        about = [case for case in cases if case.asked is not None]
        known = [case for case in about if case.interrupt_id]
        if known:
            ids, names = [case.interrupt_id for case in known], [case.name for case in known]
            looked = await self.inbox.look(partition, ids, names)
            for case, there, refused in zip(known, looked.there, looked.refused, strict=True):
                if refused is not None:
                    case.refuse_again(refused)
                    continue
                judge(case, there, looked.now_ms, partition, self._payload_bytes_max)
                if case.event is None and case.state is not None:
                    found(self._log, case.state)
        for case in about:
            if not case.interrupt_id:
                judge(case, None, 0, partition, self._payload_bytes_max)

    async def _write(
        self, partition: int, lease: Lease, cases: Sequence[Case], entering: Entering | None
    ) -> int | None:
        durable, first = self._log.server.durable, cases[0].entry[0].decode()
        decided = [case.written for case in cases]
        done = await self.inbox.write(partition, lease, first, decided, tell=not durable, confirm=durable)
        if done is None:
            return None
        appended = self._appended(partition, cases[: done.count], done, entering)
        if not done.confirmed:
            raise UnavailableError(
                "The durability of what was decided was not confirmed in time.", may_have_happened=True
            )
        if durable and done.count:
            told = [_told(case.written, appended.get(id(case))) for case in cases[: done.count]]
            if await self.inbox.write(partition, lease, first, told, tell=True, confirm=False) is None:
                return None
        await self._tell(cases[: done.count], appended)
        if not done.count and done.why != "moved":
            raise UnavailableError(f"Redis refused: {done.why}. Nothing was written.")
        return done.count

    def _appended(
        self, partition: int, cases: Sequence[Case], done: Done, entering: Entering | None
    ) -> dict[int, Appended]:
        """What was appended for each of these, if anybody asks."""
        appending = [case for case in cases if case.event is not None]
        if appending:
            self._log.saw(partition, (done.now_ms, done.sequence + done.offset))
        appended: dict[int, Appended] = {}
        if entering is None and self._ports.idle and not self._log.server.durable:
            return appended
        for number, case in enumerate(appending, done.sequence - len(appending) + 1):
            stream_id = f"{done.now_ms}-{number + done.offset}"
            what = appended[id(case)] = Appended(
                partition, done.now_ms, None, number, stream_id, done.confirmed, again=False
            )
            if entering is not None:
                entering.appended(case, what)
        return appended

    async def _tell(self, cases: Sequence[Case], appended: dict[int, Appended]) -> None:
        """Counts, and tells the ports what is in the log now."""
        refused = sum(case.written.outcome == "refused" for case in cases)
        self.counts.refused += refused
        self.counts.done += len(cases) - refused
        if not refused and self._ports.idle:
            return
        telling = []
        for case in cases:
            if case.written.park:
                self.counts.parked += 1
                self._ports.say("warning", "commands.parked", command_id=case.written.id, why=str(case.error)[:500])
            elif isinstance(case.error, InterruptsError) and case.asked is not None:
                tell_refusal(self._ports, case.asked.command, case.interrupt_id or None, case.error)
            what = appended.get(id(case))
            if what is not None and case.event is not None and not self._ports.idle:
                line = Line(what.stream_id, what.now_ms, case.event, what.sequence)
                after = evolve(case.state, line, what.partition, case.content)
                telling.append(self._ports.announce(after.interrupt, case.event))
        await asyncio.gather(*telling)


def _told(written: Written, appended: Appended | None) -> Written:
    """What is to be told of something that is written down already."""
    body = written.body
    if appended is not None and written.outcome == "done":
        assert isinstance(body, str)
        body = f'{body}{appended.stream_id}"}}'
    return Written(written.stream_id, written.id, written.outcome, body, park=written.park)
