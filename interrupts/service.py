"""The service: create, read, answer, cancel, expire.

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
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from interrupts.checks import check_id, check_optional_id, check_size, check_text, check_version, resolved_content
from interrupts.codec import STATUS_LETTER, Line, decode_lines, encode
from interrupts.commands import Cancel, Command, Expire, Respond
from interrupts.config import InterruptConfig
from interrupts.creation import CreateOptions, Creation
from interrupts.creators import Creators
from interrupts.decide import decide, lost
from interrupts.errors import (
    AuthorizationError,
    ConflictError,
    InterruptsError,
    NotConfirmedError,
    NotFoundError,
    UnavailableError,
    ValidationError,
)
from interrupts.events import AnyEvent, Cancelled, Expired, Resolved
from interrupts.evolve import State, as_of, evolve, fold
from interrupts.ids import is_id, new_command_id
from interrupts.limits import DECIDE_AGAIN_MAX, EXPIRE_BATCH_MAX, PAYLOAD_BYTES_MAX
from interrupts.model import FlowInterrupt, InterruptKind, InterruptResponse, InterruptStatus
from interrupts.ports import Ports
from interrupts.protocols import DatabaseProtocol, LoggerProtocol, OTelAdapterProtocol, WebhookServiceProtocol
from interrupts.recorded import RecordedEvent, recorded
from interrupts.schemas import fits_schema
from interrupts.store.log import Appended, Log
from interrupts.store.memory import memory_log
from interrupts.store.reader import LogReader

_GUARD_AND_STATUS = {
    Resolved: f"open {STATUS_LETTER[InterruptStatus.RESOLVED]}",
    Cancelled: f"open {STATUS_LETTER[InterruptStatus.CANCELLED]}",
    Expired: f"due {STATUS_LETTER[InterruptStatus.EXPIRED]}",
}
"""What must be true of the deadline when an event is appended, and the status after it."""


_NOTHING = CreateOptions()
_ALL_NONE = (None,) * len(CreateOptions.__annotations__)


class InterruptService(Creators):
    """Pauses, and the answers to them. Make one with `interrupts.connect()`, share it in the whole process.

    Made directly, as `InterruptService()`, it keeps everything in this process's memory. `db` gets a copy of every
    interrupt as a row; it is never read. The service belongs to one event loop; any number of tasks may use it at once.
    """

    def __init__(
        self,
        db: DatabaseProtocol | None = None,
        logger: LoggerProtocol | None = None,
        webhook_service: WebhookServiceProtocol | None = None,
        otel_adapter: OTelAdapterProtocol | None = None,
        configs: Mapping[InterruptKind, InterruptConfig] | None = None,
        *,
        log: Log | None = None,
        payload_bytes_max: int = PAYLOAD_BYTES_MAX,
    ) -> None:
        self._ports = Ports(db=db, logger=logger, webhook_service=webhook_service, otel_adapter=otel_adapter)
        self._creation = Creation(configs, self._ports)
        self._log = log or memory_log()
        self._payload_bytes_max = payload_bytes_max
        self.log = LogReader(self._log.keys, self._log.server)
        """Reading the log: ranges, the last position, tails."""

    async def create_interrupt(
        self,
        kind: InterruptKind | str,
        request_id: str,
        user_id: str,
        session_id: str,
        envelope_id: str | None = None,
        question: str | None = None,
        message: str | None = None,
        data: dict[str, Any] | None = None,
        ttl: timedelta | None = None,
        *,
        ttl_seconds: float | None = None,
        auto_expire: bool | None = None,
        allowed_responses: Sequence[str] | None = None,
        response_schema: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> FlowInterrupt:
        """A new interrupt, in the log when this returns.

        With an `idempotency_key` that its session has seen: the first interrupt as it now is. Raises
        `ValidationError`; `ConflictError` for a key used again with another body; `UnavailableError`.
        """
        options = _NOTHING
        given = (ttl, ttl_seconds, auto_expire, allowed_responses, response_schema, idempotency_key)
        if given != _ALL_NONE:
            options = _only_given(
                ttl=ttl,
                ttl_seconds=ttl_seconds,
                auto_expire=auto_expire,
                allowed_responses=allowed_responses,
                response_schema=response_schema,
                idempotency_key=idempotency_key,
            )
        return await self._make(kind, request_id, user_id, session_id, envelope_id, question, message, data, options)

    async def get_interrupt(self, interrupt_id: str) -> FlowInterrupt | None:
        """The interrupt as it now is, or None. An overdue one reads as expired. Raises `UnavailableError`."""
        if not is_id(interrupt_id):
            return None
        read = await self._log.read(interrupt_id)
        if read.there is None:
            return None
        return as_of(fold(read.there, read.partition), read.now_ms)

    async def history(self, interrupt_id: str) -> list[RecordedEvent]:
        """The interrupt's events, oldest first; empty if there is no such interrupt. Raises `UnavailableError`."""
        if not is_id(interrupt_id):
            return []
        read = await self._log.read(interrupt_id)
        return [] if read.there is None else [recorded(line, read.partition) for line in decode_lines(read.there)]

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
                interrupt_id,
                _command_id(command_id),
                answer,
                content,
                check_optional_id("user_id", user_id),
                check_optional_id("actor", actor),
                check_version(expected_version),
            )
            return _closed(*await self._carry_out(command))
        except NotFoundError:
            return None
        except InterruptsError as error:
            self._tell_refusal("respond", interrupt_id, error)
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
                interrupt_id,
                _command_id(command_id),
                check_text("reason", reason),
                check_optional_id("user_id", user_id),
                check_optional_id("actor", actor),
                check_version(expected_version),
            )
            return _closed(*await self._carry_out(command))
        except NotFoundError:
            return None
        except InterruptsError as error:
            self._tell_refusal("cancel", interrupt_id, error)
            raise

    async def expire_pending(self) -> int:
        """Writes down every deadline that has passed; returns how many this call did. Raises `UnavailableError`.

        Nothing depends on when this runs: an overdue interrupt reads as expired and refuses answers at once.
        """
        partitions = range(self._log.keys.partitions)
        return sum(await asyncio.gather(*(self._expire_partition(partition) for partition in partitions)))

    async def aclose(self) -> None:
        """Sends what was handed over, and closes the connections. `connect()` does this at the end of its block."""
        await self._log.drain()
        await self._log.server.close()

    async def _make(
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
        try:
            command, content = self._creation.command(
                kind, request_id, user_id, session_id, envelope_id, question, message, data, options
            )
            event = decide(None, command, 0, fits_schema)
            assert event is not None  # nothing is there yet, so there is something to do
            raw = encode(event)
            check_size(len(raw), self._payload_bytes_max, "data")
            terms = command.terms
            appended = await self._log.append(command.id, raw, ttl_ms=terms.ttl_ms if terms.auto_expire else None)
            if appended.sequence:
                interrupt = evolve(None, _line(appended, event), appended.partition, content).interrupt
                if appended.confirmed and self._ports.idle:
                    return interrupt
                created = True
            else:
                assert appended.there is not None  # the script refuses a creation only with what is there
                state = fold(appended.there, appended.partition)
                decide(state, command, appended.now_ms, fits_schema)  # refuses another body under the same key
                event = state.events[0]
                # With our own command's id it was made by an attempt of ours whose reply was lost.
                interrupt, created = as_of(state, appended.now_ms), event.about.command_id == command.command_id
            if not appended.confirmed:
                raise _not_confirmed(interrupt)
            if created:
                await self._ports.announce(interrupt, event)
            return interrupt
        except InterruptsError as error:
            self._tell_refusal("create", None, error)
            raise

    async def _carry_out(self, command: Command) -> tuple[State, AnyEvent | None, int]:
        """The state after the command, the event that it caused now (None: nothing to do), and the partition's time."""
        if not is_id(command.id):
            raise NotFoundError(f"There is no interrupt {str(command.id)[:64]}.")
        read = await self._log.read(command.id)
        partition, there, now_ms = read.partition, read.there, read.now_ms
        appended: Appended | None = None
        for _ in range(DECIDE_AGAIN_MAX):
            state = None if there is None else fold(there, partition)
            event = decide(state, command, now_ms, fits_schema)
            if event is None:
                return await self._nothing_to_do(command, state, appended, now_ms)
            raw = encode(event)
            check_size(len(raw), self._payload_bytes_max, "response")
            appended = await self._log.append(command.id, raw, f"{event.version - 1} {_GUARD_AND_STATUS[type(event)]}")
            if appended.sequence:
                after = evolve(state, _line(appended, event), partition)
                if not appended.confirmed:
                    raise _not_confirmed(after.interrupt)
                if not self._ports.idle:
                    await self._ports.announce(after.interrupt, event)
                return after, event, appended.now_ms
            there, now_ms = appended.there, appended.now_ms
        raise UnavailableError(
            f"Interrupt {command.id} was moved by others {DECIDE_AGAIN_MAX} times while this was decided. Nothing was "
            "written. Try again."
        )

    async def _nothing_to_do(
        self, command: Command, state: State | None, appended: Appended | None, now_ms: int
    ) -> tuple[State, AnyEvent | None, int]:
        """The command has acted before, or there is nothing to expire."""
        assert state is not None  # without a state there is something to do, or a refusal
        event = state.caused_by(command.command_id)
        if event is None:
            return state, None, now_ms
        ours = appended is not None  # by an attempt of ours whose reply was lost; else by an earlier call
        confirmed = appended.confirmed if appended is not None else await self._log.confirmed(command.id)
        if not confirmed:
            raise _not_confirmed(state.interrupt)
        if ours and not self._ports.idle:
            await self._ports.announce(state.interrupt, event)
        return state, event if ours else None, now_ms

    async def _expire_partition(self, partition: int) -> int:
        expired = stuck = 0
        while True:
            due = await self._log.due(partition, stuck, EXPIRE_BATCH_MAX)
            if not due:
                return expired
            outcomes = await asyncio.gather(*map(self._expire, due))
            expired += outcomes.count(True)
            # What is closed, by whomever, has left the list; what is there by mistake must not block the rest.
            stuck += outcomes.count(None)

    async def _expire(self, interrupt_id: str) -> bool | None:
        """Whether this call closed it; None if there is no such interrupt, only its deadline."""
        try:
            _, event, _ = await self._carry_out(Expire(interrupt_id, new_command_id()))
        except NotFoundError:
            self._ports.logger.error("interrupts.deadline_without_interrupt", interrupt_id=interrupt_id)
            return None
        return event is not None

    def _tell_refusal(self, command: str, interrupt_id: object, error: InterruptsError) -> None:
        """A refusal is worth a line, a fault a loud one."""
        refusal = isinstance(error, ConflictError | AuthorizationError | ValidationError | NotFoundError)
        line = self._ports.logger.info if refusal else self._ports.logger.error
        line(
            "interrupt.refused" if refusal else "interrupt.failed",
            command=command,
            interrupt_id=None if interrupt_id is None else str(interrupt_id)[:64],
            error=type(error).__name__,
            why=str(error)[:500],
        )


def _only_given(**options: Any) -> CreateOptions:
    return cast(CreateOptions, {name: value for name, value in options.items() if value is not None})


def _closed(state: State, event: AnyEvent | None, now_ms: int) -> FlowInterrupt:
    """The reply to a command that closes; whoever came after the deadline is told so."""
    if isinstance(event, Expired):
        raise lost(state.interrupt)
    return as_of(state, now_ms)


def _line(appended: Appended, event: AnyEvent) -> Line:
    return Line(appended.stream_id, appended.now_ms, event, appended.sequence)


def _command_id(given: str | None) -> str:
    return new_command_id() if given is None else check_id("command_id", given)


def _not_confirmed(interrupt: FlowInterrupt) -> NotConfirmedError:
    return NotConfirmedError(
        f"Interrupt {interrupt.id} is written as {interrupt.status.value}, but its durability was not confirmed in "
        "time. It is neither a success nor a failure: repeat the call with the same idempotency key or command id.",
        interrupt=interrupt,
    )
