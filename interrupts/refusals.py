"""Why a command can't be carried out in a state: each refusal with its facts, in one place."""

from __future__ import annotations

from interrupts.errors import AuthorizationError, ConflictError, ValidationError
from interrupts.evolve import State, as_of
from interrupts.limits import EVENTS_PER_INTERRUPT_MAX
from interrupts.model import FlowInterrupt, InterruptResponse, InterruptStatus


def check_user(interrupt: FlowInterrupt, user_id: str | None) -> None:
    """The user who is named must be the interrupt's."""
    if user_id is not None and user_id != interrupt.user_id:
        raise AuthorizationError(
            f"Interrupt {interrupt.id} waits for another user, not for {user_id}. Nothing was changed."
        )


def check_open(
    state: State, expected_version: int | None, now_ms: int, events_max: int = EVENTS_PER_INTERRUPT_MAX
) -> None:
    """It must be pending, at the version that is expected, and have room for one more event. Overdue is let pass."""
    interrupt = state.interrupt
    if interrupt.status is not InterruptStatus.PENDING:
        raise lost(interrupt)
    if expected_version is not None and expected_version != interrupt.version:
        raise ConflictError(
            f"Interrupt {interrupt.id} is at version {interrupt.version}, not {expected_version}: it has changed since "
            "you read it. Read it again, then decide.",
            interrupt=as_of(state, now_ms),
            code="version",
        )
    if interrupt.version >= events_max and not state.overdue(now_ms):
        raise ConflictError(
            f"Interrupt {interrupt.id} has {interrupt.version} events, the most that one may have.",
            interrupt=interrupt,
            code="full",
        )


def check_repeated(same: bool, interrupt: FlowInterrupt, command_id: str) -> None:
    """A command id that has acted before must have had the same body."""
    if same:
        return
    if interrupt.status is InterruptStatus.EXPIRED:
        raise lost(interrupt)
    raise ConflictError(
        f"The command id {command_id} was used on interrupt {interrupt.id} before, with another body. "
        "Use a new id for a new command.",
        interrupt=interrupt,
        code="idempotency",
    )


def lost(interrupt: FlowInterrupt) -> ConflictError:
    """The refusal for somebody who came too late: it says who won, how and when."""
    at = "" if interrupt.resolved_at is None else f" at {interrupt.resolved_at.isoformat(timespec='milliseconds')}"
    by = "" if interrupt.resolved_by is None else f" by {interrupt.resolved_by}"
    match interrupt.status:
        case InterruptStatus.EXPIRED:
            deadline = interrupt.expires_at
            due = "" if deadline is None else f" at {deadline.isoformat(timespec='milliseconds')}"
            return ConflictError(
                f"Interrupt {interrupt.id} expired: its deadline passed{due}, before this came.",
                interrupt=interrupt,
                code="expired",
            )
        case InterruptStatus.CANCELLED:
            why = "" if interrupt.reason is None else f" ({interrupt.reason[:200]})"
            return ConflictError(
                f"Interrupt {interrupt.id} was already cancelled{by}{at}{why}.", interrupt=interrupt, code="cancelled"
            )
        case _:
            return ConflictError(
                f"Interrupt {interrupt.id} was already answered{by}{at}.", interrupt=interrupt, code="resolved"
            )


def check_allowed(
    allowed: tuple[str, ...], required: bool, interrupt: FlowInterrupt, response: InterruptResponse
) -> None:
    """An answer may use the allowed fields, and `data` along with them; it has to say something where one is required.

    Where the interrupt has a response schema, `data` alone is an answer. Refuses by the field's name.
    """
    given = False
    for name, value in (("text", response.text), ("approved", response.approved), ("decision", response.decision)):
        if value is None:
            continue
        given = True
        if allowed and name not in allowed:
            raise ValidationError(
                f"response.{name}: this {interrupt.kind.value} is answered by {' or '.join(allowed)}, not by {name}. "
                "Nothing was changed; it still waits.",
                field=f"response.{name}",
            )
    if not required or given:
        return
    if response.data is not None and (not allowed or "data" in allowed or interrupt.response_schema is not None):
        return
    wanted = " or ".join(allowed) or "text, approved, decision or data"
    raise ValidationError(
        f"response: it says nothing. This {interrupt.kind.value} is answered by {wanted}. Nothing was changed; it "
        "still waits.",
        field="response",
    )
