"""Ending a pause, or giving it more time: answer, cancel, extend."""

from __future__ import annotations

from datetime import timedelta

from interrupts.checks import check_id, check_optional_id, check_text, check_ttl_ms, check_version
from interrupts.commands import Cancel, Extend, Respond
from interrupts.contents import resolved_content
from interrupts.errors import InterruptsError, NotFoundError, ValidationError
from interrupts.events import AnyEvent, Expired
from interrupts.evolve import State, as_of
from interrupts.execution import Execution
from interrupts.ids import new_command_id
from interrupts.model import FlowInterrupt, InterruptResponse
from interrupts.outcomes import tell_refusal
from interrupts.ports import Ports
from interrupts.refusals import lost


class Answers:
    """The part of the service that moves an interrupt on."""

    execution: Execution
    """What carries out commands; for workers, too."""
    _ports: Ports

    async def respond(
        self,
        interrupt_id: str,
        response: InterruptResponse,
        user_id: str | None = None,
        *,
        actor: str | None = None,
        expected_version: int | None = None,
        command_id: str | None = None,
    ) -> FlowInterrupt | None:
        """Answers, and returns the resolved interrupt; None if there is no such interrupt.

        `user_id`, where given, must be the interrupt's user. `actor` is who did it, where that is not the user. The
        same `command_id` again gives the same reply. Raises `ConflictError` with who won, if the interrupt is closed
        or past its deadline or not at `expected_version`; `AuthorizationError`; `ValidationError` for an answer that
        is not allowed or does not fit; `UnavailableError`. After each of these but the last, nothing was changed,
        except that a deadline found passed is written down.
        """
        try:
            content, answer = resolved_content(response)
            command = Respond(
                asked_id(interrupt_id),
                _command_id(command_id),
                answer,
                content,
                check_optional_id("user_id", user_id),
                check_optional_id("actor", actor),
                check_version(expected_version),
            )
            return _moved_on(*await self.execution.carry_out(command))
        except NotFoundError:
            return None
        except InterruptsError as error:
            tell_refusal(self._ports, "respond", interrupt_id, error)
            raise

    async def cancel(
        self,
        interrupt_id: str,
        reason: str | None = None,
        user_id: str | None = None,
        *,
        actor: str | None = None,
        expected_version: int | None = None,
        command_id: str | None = None,
    ) -> FlowInterrupt | None:
        """Calls it off, and returns the cancelled interrupt; None if there is no such one. Raises as `respond`."""
        try:
            command = Cancel(
                asked_id(interrupt_id),
                _command_id(command_id),
                check_text("reason", reason),
                check_optional_id("user_id", user_id),
                check_optional_id("actor", actor),
                check_version(expected_version),
            )
            return _moved_on(*await self.execution.carry_out(command))
        except NotFoundError:
            return None
        except InterruptsError as error:
            tell_refusal(self._ports, "cancel", interrupt_id, error)
            raise

    async def extend(
        self,
        interrupt_id: str,
        ttl: timedelta | None = None,
        user_id: str | None = None,
        *,
        ttl_seconds: float | None = None,
        actor: str | None = None,
        expected_version: int | None = None,
        command_id: str | None = None,
    ) -> FlowInterrupt | None:
        """Moves the deadline to so long after now, by the server's clock; None if there is no such interrupt.

        Give `ttl` or `ttl_seconds`. A deadline is only moved to later. Raises as `respond`.
        """
        try:
            ttl_ms = check_ttl_ms(ttl, ttl_seconds, None)
            if ttl_ms is None:
                raise ValidationError("ttl: say how long it has from now: ttl or ttl_seconds.", field="ttl")
            command = Extend(
                asked_id(interrupt_id),
                _command_id(command_id),
                ttl_ms,
                check_optional_id("user_id", user_id),
                check_optional_id("actor", actor),
                check_version(expected_version),
            )
            return _moved_on(*await self.execution.carry_out(command))
        except NotFoundError:
            return None
        except InterruptsError as error:
            tell_refusal(self._ports, "extend", interrupt_id, error)
            raise


def _moved_on(state: State, event: AnyEvent | None, now_ms: int) -> FlowInterrupt:
    """The reply to a command; whoever came after the deadline is told so."""
    if isinstance(event, Expired):
        raise lost(state.interrupt)
    return state.interrupt if event is not None else as_of(state, now_ms)


def asked_id(interrupt_id: str) -> str:
    """What is asked for, be it an id or not. Refuses the interrupt itself in place of its id."""
    if isinstance(interrupt_id, FlowInterrupt):
        raise ValidationError("interrupt_id: give the interrupt's id, not the interrupt.", field="interrupt_id")
    return interrupt_id


def _command_id(given: str | None) -> str:
    return new_command_id() if given is None else check_id("command_id", given)
