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

from typing import Final

import msgspec

from interrupts.checks import check_size
from interrupts.codec import STATUS_LETTER, encode
from interrupts.commands import Cancel, Command, Respond
from interrupts.decide import decide
from interrupts.errors import (
    NotFoundError,
    UnavailableError,
)
from interrupts.events import AnyEvent, Cancelled, Expired, Extended, Resolved
from interrupts.evolve import State, evolve, fold
from interrupts.ids import is_id
from interrupts.limits import DECIDE_AGAIN_MAX
from interrupts.model import InterruptStatus
from interrupts.outcomes import found, line_of, not_confirmed
from interrupts.ports import Ports
from interrupts.schemas import fits_schema
from interrupts.store.log import Appended, Log, Made, Read

_GUARD_AND_STATUS: Final[dict[type, str]] = {
    Resolved: f"open {STATUS_LETTER[InterruptStatus.RESOLVED]}",
    Cancelled: f"open {STATUS_LETTER[InterruptStatus.CANCELLED]}",
    Expired: f"due {STATUS_LETTER[InterruptStatus.EXPIRED]}",
    Extended: f"open {STATUS_LETTER[InterruptStatus.PENDING]}",
}
"""What must be true of the deadline when an event is appended, and the status after it. A mark changes none."""


def made(raw: bytes, event: AnyEvent, before: State | None) -> Made:
    """An event with the terms on which it is appended to what it was decided on."""
    assert before is not None  # only a creation is decided on nothing
    said = _GUARD_AND_STATUS.get(type(event)) or f"any {STATUS_LETTER[before.interrupt.status]}"
    ttl_ms = event.ttl_ms if isinstance(event, Extended) and before.terms.auto_expire else None
    return raw, f"{event.version - 1} {said}", ttl_ms


class Execution:
    """Carries out commands on one log, and tells the ports what became of them."""

    def __init__(self, log: Log, ports: Ports, payload_bytes_max: int) -> None:
        self._log = log
        self._ports = ports
        self._payload_bytes_max = payload_bytes_max

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
                after = evolve(step.state, line_of(appended, step.event), appended.partition, answer)
                if not self._ports.idle:
                    await self._ports.announce(after.interrupt, step.event)
                if not appended.confirmed:
                    raise not_confirmed(after.interrupt)
                return after, step.event, appended.now_ms
            again = step(appended)
            if again is None:
                return await self._nothing_to_do(step, appended)
            appended = await self._log.append(command.id, *again)
        raise UnavailableError(
            f"Interrupt {command.id} was moved by others {DECIDE_AGAIN_MAX} times while this was decided. Nothing was "
            "written. Try again."
        )

    async def _nothing_to_do(self, step: _Step, appended: Appended | None) -> tuple[State, AnyEvent | None, int]:
        """The command has acted before, or there is nothing to expire."""
        state = step.state
        assert state is not None  # without a state there is something to do, or a refusal
        found(self._log, state)
        event = state.caused_by(step.command.command_id)
        if event is None:
            return state, None, step.now_ms
        # By an attempt of ours whose reply was lost; else by an earlier call, or by one at the same time.
        ours = appended is not None and appended.again
        if ours and not self._ports.idle:
            await self._ports.announce(state.interrupt, event)
        confirmed = appended.confirmed if appended is not None else await self._log.confirmed(step.command.id)
        if not confirmed:
            raise not_confirmed(state.interrupt)
        return state, event if ours else None, step.now_ms


class _Step(msgspec.Struct, gc=False):
    """One command on its way: decides on what is there, and remembers on what it has decided."""

    command: Command
    payload_bytes_max: int
    state: State | None = None
    event: AnyEvent | None = None
    now_ms: int = 0

    def __call__(self, seen: Read) -> Made | None:
        """The event to append and its terms, or None if there is nothing to do. Raises what `decide` raises."""
        self.now_ms = seen.now_ms
        self.state = None if seen.there is None else fold(seen.there, seen.partition)
        event = self.event = decide(self.state, self.command, seen.now_ms, fits_schema)
        if event is None:
            return None
        raw = encode(event)
        if len(raw) > self.payload_bytes_max:
            check_size(len(raw), self.payload_bytes_max, "reason" if isinstance(self.command, Cancel) else "response")
        return made(raw, event, self.state)
