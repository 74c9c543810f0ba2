"""Carrying out commands: the one place where deciding meets the log.

How a command is carried out. A creation is decided on nothing and appended under the guard "there is none"; one round
trip. Every other command reads the interrupt, decides in Python, and appends under the guard "still the version I
decided on, and the deadline is still (not) past"; two round trips. If the guard fails, the script has returned what is
there now, and it is decided again: a conflict is only what `decide` calls one. So of any number of concurrent commands
exactly one closes an interrupt, whoever crashes where:

- before the append: nothing has happened;
- after it, before the reply: the event is in the log with the command's id. A repetition, by this process or by a
  person, reads the interrupt, finds its own id, and gets the same reply;
- a caller that is cancelled meanwhile: the append goes on without it, with the same outcome as a lost reply.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from interrupts.checks import check_size
from interrupts.codec import STATUS_LETTER, Line, encode
from interrupts.commands import Cancel, Command, Expire, Respond
from interrupts.creation import CreateOptions, Creation
from interrupts.decide import decide
from interrupts.errors import (
    AuthorizationError,
    ConflictError,
    CorruptLogError,
    InterruptsError,
    NotConfirmedError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from interrupts.events import AnyEvent, Cancelled, Expired, Resolved
from interrupts.evolve import State, as_of, evolve, fold
from interrupts.ids import is_id, new_command_id
from interrupts.limits import DECIDE_AGAIN_MAX, EXPIRE_BATCH_MAX
from interrupts.model import FlowInterrupt, InterruptKind, InterruptStatus
from interrupts.ports import Ports
from interrupts.positions import Position
from interrupts.schemas import fits_schema
from interrupts.store.log import Appended, Log, Read

_GUARD_AND_STATUS = {
    Resolved: f"open {STATUS_LETTER[InterruptStatus.RESOLVED]}",
    Cancelled: f"open {STATUS_LETTER[InterruptStatus.CANCELLED]}",
    Expired: f"due {STATUS_LETTER[InterruptStatus.EXPIRED]}",
}
"""What must be true of the deadline when an event is appended, and the status after it."""


class Execution:
    """Carries out commands on one log, and tells the ports what became of them."""

    def __init__(self, log: Log, ports: Ports, creation: Creation, payload_bytes_max: int) -> None:
        self._log = log
        self._ports = ports
        self._creation = creation
        self._payload_bytes_max = payload_bytes_max

    async def create(
        self,
        kind: InterruptKind | str,
        request_id: str,
        user_id: str,
        session_id: str,
        envelope_id: str | None,
        question: str | None,
        message: str | None,
        data: dict[str, Any] | None,
        options: CreateOptions,
    ) -> FlowInterrupt:
        """A new interrupt, or the one that its idempotency key has made before."""
        try:
            command, content = self._creation.command(
                kind, request_id, user_id, session_id, envelope_id, question, message, data, options
            )
            event = decide(None, command, 0, fits_schema)
            assert event is not None  # nothing is there yet, so there is something to do
            raw = encode(event)
            if len(raw) > self._payload_bytes_max:
                parts = {"question": question, "message": message, "data": data, **options}
                check_size(len(raw), self._payload_bytes_max, max(parts, key=lambda part: len(encode(parts[part]))))
            terms = command.terms
            appended = await self._log.append(command.id, raw, ttl_ms=terms.ttl_ms if terms.auto_expire else None)
            if appended.sequence:
                interrupt = evolve(None, _line(appended, event), appended.partition, content).interrupt
                created = True
            else:
                assert appended.there is not None  # the script refuses a creation only with what is there
                state = fold(appended.there, appended.partition)
                self._found(state)
                decide(state, command, appended.now_ms, fits_schema)  # refuses another body under the same key
                event = state.created
                # With our own command's id it was made by an attempt of ours whose reply was lost.
                interrupt, created = as_of(state, appended.now_ms), event.about.command_id == command.command_id
            if created and not self._ports.idle:
                await self._ports.announce(interrupt, event)
            if not appended.confirmed:
                raise _not_confirmed(interrupt)
            return interrupt
        except InterruptsError as error:
            self.tell_refusal("create", None, error)
            raise

    async def carry_out(self, command: Command) -> tuple[State, AnyEvent | None, int]:
        """The state after the command, the event that it caused now (None: nothing to do), and the partition's time."""
        if not is_id(command.id):
            raise NotFoundError(f"There is no interrupt {str(command.id)[:64]}.")
        step = _Step(command, self._payload_bytes_max)
        appended = await self._log.decide(command.id, step)
        for _ in range(DECIDE_AGAIN_MAX):
            if appended is None:
                return await self._nothing_to_do(step, None)
            if appended.sequence:
                assert step.state is not None
                assert step.event is not None
                answer = command.response if isinstance(step.event, Resolved) and isinstance(command, Respond) else None
                after = evolve(step.state, _line(appended, step.event), appended.partition, answer)
                if not self._ports.idle:
                    await self._ports.announce(after.interrupt, step.event)
                if not appended.confirmed:
                    raise _not_confirmed(after.interrupt)
                return after, step.event, appended.now_ms
            made = step(appended)
            if made is None:
                return await self._nothing_to_do(step, appended)
            appended = await self._log.append(command.id, *made)
        raise UnavailableError(
            f"Interrupt {command.id} was moved by others {DECIDE_AGAIN_MAX} times while this was decided. Nothing was "
            "written. Try again."
        )

    async def _nothing_to_do(self, step: _Step, appended: Appended | None) -> tuple[State, AnyEvent | None, int]:
        """The command has acted before, or there is nothing to expire."""
        state = step.state
        assert state is not None  # without a state there is something to do, or a refusal
        self._found(state)
        event = state.caused_by(step.command.command_id)
        if event is None:
            return state, None, step.now_ms
        # By an attempt of ours whose reply was lost; else by an earlier call, or by one at the same time.
        ours = appended is not None and appended.again
        if ours and not self._ports.idle:
            await self._ports.announce(state.interrupt, event)
        confirmed = appended.confirmed if appended is not None else await self._log.confirmed(step.command.id)
        if not confirmed:
            raise _not_confirmed(state.interrupt)
        return state, event if ours else None, step.now_ms

    def _found(self, state: State) -> None:
        """What a call returns as done, be it done by an earlier one, its caller's next list shows."""
        position = Position.parse(state.interrupt.position or "")
        self._log.saw(position.partition, (position.ms, position.number))

    async def expire_partition(self, partition: int) -> int:
        """Closes what is overdue in a partition, in bounded batches; returns how many were closed by this call."""
        expired = skip = 0
        looked_at: set[str] = set()
        while due := await self._log.due(partition, skip, EXPIRE_BATCH_MAX):
            # What is closed, by whomever, leaves the list. What is still there was left behind by mistake (there is no
            # such interrupt, it can't be read, or it is not due): it must not block the rest, or be looked at for ever.
            left_behind = looked_at.intersection(due)
            skip += len(left_behind)
            for interrupt_id in left_behind:
                self._ports.say("error", "interrupts.deadline_left_behind", interrupt_id=interrupt_id)
            fresh = [interrupt_id for interrupt_id in due if interrupt_id not in looked_at]
            expired += (await asyncio.gather(*map(self._expire, fresh))).count(True)
            looked_at = set(due)
        return expired

    async def _expire(self, interrupt_id: str) -> bool:
        """Whether this call closed it."""
        try:
            _, event, _ = await self.carry_out(Expire(interrupt_id, new_command_id()))
        except (NotFoundError, CorruptLogError) as error:
            self._ports.say("error", "interrupts.can_not_expire", interrupt_id=interrupt_id, error=str(error))
            return False
        return event is not None

    def tell_refusal(self, command: str, interrupt_id: object, error: InterruptsError) -> None:
        """A refusal is worth a line, a fault a loud one."""
        refusal = isinstance(error, ConflictError | AuthorizationError | ValidationError | NotFoundError)
        self._ports.say(
            "info" if refusal else "error",
            "interrupt.refused" if refusal else "interrupt.failed",
            command=command,
            interrupt_id=None if interrupt_id is None else str(interrupt_id)[:64],
            error=type(error).__name__,
            why=str(error)[:500],
        )


class _Step(msgspec.Struct, gc=False):
    """One command on its way: decides on what is there, and remembers on what it has decided."""

    command: Command
    payload_bytes_max: int
    state: State | None = None
    event: AnyEvent | None = None
    now_ms: int = 0

    def __call__(self, seen: Read) -> tuple[bytes, str] | None:
        """The event to append and its terms, or None if there is nothing to do. Raises what `decide` raises."""
        self.now_ms = seen.now_ms
        self.state = None if seen.there is None else fold(seen.there, seen.partition)
        event = self.event = decide(self.state, self.command, seen.now_ms, fits_schema)
        if event is None:
            return None
        raw = encode(event)
        if len(raw) > self.payload_bytes_max:
            check_size(len(raw), self.payload_bytes_max, "reason" if isinstance(self.command, Cancel) else "response")
        return raw, f"{event.version - 1} {_GUARD_AND_STATUS[type(event)]}"


def _line(appended: Appended, event: AnyEvent) -> Line:
    return Line(appended.stream_id, appended.now_ms, event, appended.sequence)


def _not_confirmed(interrupt: FlowInterrupt) -> NotConfirmedError:
    return NotConfirmedError(
        f"Interrupt {interrupt.id} is written as {interrupt.status.value}, but its durability was not confirmed in "
        "time. It is neither a success nor a failure: repeat the call with the same idempotency key or command id.",
        interrupt=interrupt,
    )
