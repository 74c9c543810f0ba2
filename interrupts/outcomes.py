"""What creations and all other commands have in common once the log has answered."""

from __future__ import annotations

from interrupts.codec import Line
from interrupts.errors import (
    AuthorizationError,
    ConflictError,
    InterruptsError,
    NotConfirmedError,
    NotFoundError,
    RateLimitedError,
    ValidationError,
)
from interrupts.events import AnyEvent
from interrupts.evolve import State
from interrupts.model import FlowInterrupt
from interrupts.ports import Ports
from interrupts.positions import Position
from interrupts.store.log import Appended, Log


def line_of(appended: Appended, event: AnyEvent) -> Line:
    """An event with its place, as it was appended."""
    return Line(appended.stream_id, appended.now_ms, event, appended.sequence)


def found(log: Log, state: State) -> None:
    """What a call returns as done, be it done by an earlier one, its caller's next list shows."""
    position = Position.parse(state.interrupt.position or "")
    log.saw(position.partition, (position.ms, position.number))


def not_confirmed(interrupt: FlowInterrupt) -> NotConfirmedError:
    """The write happened, and may not last."""
    return NotConfirmedError(
        f"Interrupt {interrupt.id} is written as {interrupt.status.value}, but its durability was not confirmed in "
        "time. It is neither a success nor a failure: repeat the call with the same idempotency key or command id.",
        interrupt=interrupt,
    )


def tell_refusal(ports: Ports, command: str, interrupt_id: object, error: InterruptsError) -> None:
    """A refusal is worth a line, a fault a loud one."""
    refusal = isinstance(error, ConflictError | AuthorizationError | ValidationError | NotFoundError | RateLimitedError)
    ports.say(
        "info" if refusal else "error",
        "interrupt.refused" if refusal else "interrupt.failed",
        command=command,
        interrupt_id=None if interrupt_id is None else str(interrupt_id)[:64],
        error=type(error).__name__,
        why=str(error)[:500],
    )
