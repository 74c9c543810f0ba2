"""The rules of business: what follows from a command, in a state, at a time. Pure, and the only place that has them.

    state \\ command   create            respond        cancel         extend         expire
    none              Created           not found      not found      not found      not found
    pending           (same id: below)  Resolved       Cancelled      Extended       nothing: not due
    pending, overdue  (same id: below)  Expired        Expired        Expired        Expired
    closed            (same id: below)  conflict       conflict       conflict       nothing: closed

A closed interrupt can still be marked: `Delivered`, then `Acknowledged`, once each for a group of reactions.

An answer or a cancellation that comes after the deadline makes the *expiry* happen: the event is `Expired`, and the
caller is told that it lost. A command that has acted before changes nothing: `decide` returns None, and the reply is
the interrupt as it now is. The same id with another body is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Raw

from interrupts.codec import encode, encode_sorted
from interrupts.commands import Cancel, Command, Create, Expire, Extend, Mark, Respond
from interrupts.errors import ConflictError, NotFoundError, ValidationError
from interrupts.events import (
    NO_CONTENT,
    About,
    Acknowledged,
    AnyEvent,
    Cancelled,
    CancelledContent,
    Created,
    Delivered,
    Expired,
    Extended,
    Resolved,
)
from interrupts.evolve import State, as_of
from interrupts.limits import EVENTS_KEPT_FOR_THE_END, EVENTS_PER_INTERRUPT_MAX
from interrupts.model import InterruptKind, InterruptResponse, InterruptStatus
from interrupts.positions import ms_of
from interrupts.refusals import check_allowed, check_open, check_repeated, check_user

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
        case Extend():
            return _extend(_known(state, command.id), command, now_ms)
        case Mark():
            return _mark(_known(state, command.id), command)
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
    check_user(interrupt, command.user_id)
    actor = command.actor or interrupt.user_id
    before = state.caused_by(command.command_id)
    if before is not None:
        same = (
            isinstance(before, Resolved)
            and encode_sorted(interrupt.response) == encode_sorted(command.response)
            and before.about.actor == actor
        )
        check_repeated(same, interrupt, command.command_id)
        return None
    check_open(state, command.expected_version, now_ms)
    if state.overdue(now_ms):
        return _expired(state, command.command_id)
    check_allowed(state.terms.allowed_responses, state.terms.require_response, interrupt, command.response)
    if interrupt.response_schema is not None:
        fits_schema(interrupt.response_schema, command.response)
    return Resolved(*_envelope(state), command.content, About(command.command_id, actor))


def _cancel(state: State, command: Cancel, now_ms: int) -> AnyEvent | None:
    interrupt = state.interrupt
    check_user(interrupt, command.user_id)
    actor = command.actor or interrupt.user_id
    before = state.caused_by(command.command_id)
    if before is not None:
        same = isinstance(before, Cancelled) and interrupt.reason == command.reason and before.about.actor == actor
        check_repeated(same, interrupt, command.command_id)
        return None
    check_open(state, command.expected_version, now_ms)
    if state.overdue(now_ms):
        return _expired(state, command.command_id)
    content = Raw(encode(CancelledContent(command.reason))) if command.reason is not None else NO_CONTENT
    return Cancelled(*_envelope(state), content, About(command.command_id, actor))


def _extend(state: State, command: Extend, now_ms: int) -> AnyEvent | None:
    interrupt = state.interrupt
    check_user(interrupt, command.user_id)
    actor = command.actor or interrupt.user_id
    before = state.caused_by(command.command_id)
    if before is not None:
        same = isinstance(before, Extended) and before.ttl_ms == command.ttl_ms and before.about.actor == actor
        check_repeated(same, interrupt, command.command_id)
        return None
    check_open(state, command.expected_version, now_ms, EVENTS_PER_INTERRUPT_MAX - EVENTS_KEPT_FOR_THE_END)
    if state.overdue(now_ms):
        return _expired(state, command.command_id)
    if interrupt.expires_at is None:
        raise ValidationError(
            f"ttl: interrupt {interrupt.id} has no deadline, so there is nothing to extend. Nothing was changed.",
            field="ttl",
        )
    if now_ms + command.ttl_ms <= ms_of(interrupt.expires_at):
        raise ValidationError(
            f"ttl: {command.ttl_ms / 1000:g} s from now is before the deadline of interrupt {interrupt.id}, which is "
            f"{interrupt.expires_at.isoformat(timespec='milliseconds')}. A deadline is only moved to later. Nothing "
            "was changed.",
            field="ttl",
        )
    return Extended(*_envelope(state), NO_CONTENT, About(command.command_id, actor), command.ttl_ms)


def _mark(state: State, command: Mark) -> AnyEvent | None:
    closed = state.interrupt.status is not InterruptStatus.PENDING
    full = state.interrupt.version >= EVENTS_PER_INTERRUPT_MAX
    if not closed or full or state.caused_by(command.command_id) is not None:
        return None
    return (Acknowledged if command.done else Delivered)(
        *_envelope(state), NO_CONTENT, About(command.command_id, command.group)
    )


def _expired(state: State, command_id: str) -> Expired:
    return Expired(*_envelope(state), NO_CONTENT, About(command_id))


def _envelope(state: State) -> tuple[str, int, InterruptKind, str, str, str]:
    now = state.interrupt
    return now.id, now.version + 1, now.kind, now.session_id, now.request_id, now.user_id
