"""The rules of business: what follows from a command, in a state, at a time. Pure, and the only place that has them.

    state \\ command   create            respond            cancel             expire
    none              Created           not found          not found          not found
    pending           (same id: below)  Resolved           Cancelled          nothing: not due
    pending, overdue  (same id: below)  Expired            Expired            Expired
    closed            (same id: below)  conflict           conflict           nothing: closed

An answer or a cancellation that comes after the deadline makes the *expiry* happen: the event is `Expired`, and the
caller is told that it lost. A command that has acted before changes nothing: `decide` returns None, and the reply is
the interrupt as it now is. The same id with another body is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from interrupts.codec import encode, encode_sorted
from interrupts.commands import Cancel, Command, Create, Expire, Respond
from interrupts.errors import AuthorizationError, ConflictError, NotFoundError, ValidationError
from interrupts.events import NO_CONTENT, About, AnyEvent, Cancelled, CancelledContent, Created, Expired, Resolved
from interrupts.evolve import State, as_of
from interrupts.limits import EVENTS_PER_INTERRUPT_MAX
from interrupts.model import FlowInterrupt, InterruptKind, InterruptResponse, InterruptStatus

FitsSchema = Callable[[dict[str, object], InterruptResponse], None]
"""Raises a `ValidationError` if an answer does not fit a JSON Schema. Injected: the check is a library's."""


def decide(state: State | None, command: Command, now_ms: int, fits_schema: FitsSchema) -> AnyEvent | None:
    """The event that this command causes now, or None if there is nothing to do (any more).

    Refuses, typed: an unknown id, the wrong user, a closed interrupt, a stale version, an answer that is not allowed.
    """
    match command:
        case Create():
            return _create(state, command, now_ms)
        case Respond():
            return _respond(_known(state, command.id), command, now_ms, fits_schema)
        case Cancel():
            return _cancel(_known(state, command.id), command, now_ms)
        case Expire():
            known = _known(state, command.id)
            return _expired(known, command.command_id) if known.overdue(now_ms) else None


def _known(state: State | None, interrupt_id: str) -> State:
    if state is None:
        raise NotFoundError(f"There is no interrupt {interrupt_id}.")
    return state


def _create(state: State | None, command: Create, now_ms: int) -> Created | None:
    if state is None:
        return Created(
            command.id,
            1,
            command.kind,
            command.session_id,
            command.request_id,
            command.user_id,
            command.content,
            About(command.command_id),
            command.terms,
        )
    if state.terms.fingerprint != command.terms.fingerprint or state.interrupt.session_id != command.session_id:
        raise ConflictError(
            f"The idempotency key was used in session {command.session_id} before, with another body. "
            f"It belongs to interrupt {command.id}: use a new key for a new interrupt.",
            interrupt=as_of(state, now_ms),
            code="idempotency",
        )
    return None


def _respond(state: State, command: Respond, now_ms: int, fits_schema: FitsSchema) -> AnyEvent | None:
    interrupt = state.interrupt
    _check_user(interrupt, command.user_id)
    actor = command.actor or interrupt.user_id
    before = state.caused_by(command.command_id)
    if before is not None:
        same = (
            isinstance(before, Resolved)
            and encode_sorted(interrupt.response) == encode_sorted(command.response)
            and before.about.actor == actor
        )
        _check_repeated(same, interrupt, command.command_id)
        return None
    _check_open(state, command.expected_version, now_ms)
    if state.overdue(now_ms):
        return _expired(state, command.command_id)
    check_allowed(state.terms.allowed_responses, state.terms.require_response, interrupt, command.response)
    if interrupt.response_schema is not None:
        fits_schema(interrupt.response_schema, command.response)
    return Resolved(*_envelope(state), command.content, About(command.command_id, actor))


def _cancel(state: State, command: Cancel, now_ms: int) -> AnyEvent | None:
    interrupt = state.interrupt
    _check_user(interrupt, command.user_id)
    actor = command.actor or interrupt.user_id
    before = state.caused_by(command.command_id)
    if before is not None:
        same = isinstance(before, Cancelled) and interrupt.reason == command.reason and before.about.actor == actor
        _check_repeated(same, interrupt, command.command_id)
        return None
    _check_open(state, command.expected_version, now_ms)
    if state.overdue(now_ms):
        return _expired(state, command.command_id)
    content = Raw(encode(CancelledContent(command.reason))) if command.reason is not None else NO_CONTENT
    return Cancelled(*_envelope(state), content, About(command.command_id, actor))


def _expired(state: State, command_id: str) -> Expired:
    return Expired(*_envelope(state), NO_CONTENT, About(command_id))


def _envelope(state: State) -> tuple[str, int, InterruptKind, str, str, str]:
    now = state.interrupt
    return now.id, now.version + 1, now.kind, now.session_id, now.request_id, now.user_id


def _check_user(interrupt: FlowInterrupt, user_id: str | None) -> None:
    if user_id is not None and user_id != interrupt.user_id:
        raise AuthorizationError(
            f"Interrupt {interrupt.id} waits for another user, not for {user_id}. Nothing was changed."
        )


def _check_open(state: State, expected_version: int | None, now_ms: int) -> None:
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
    if interrupt.version >= EVENTS_PER_INTERRUPT_MAX and not state.overdue(now_ms):
        raise ConflictError(
            f"Interrupt {interrupt.id} has {interrupt.version} events, the most that one may have.",
            interrupt=interrupt,
            code="full",
        )


def _check_repeated(same: bool, interrupt: FlowInterrupt, command_id: str) -> None:
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
