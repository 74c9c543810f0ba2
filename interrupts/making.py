"""Making interrupts: a creation is decided on nothing and appended under the guard "there is none"; one round trip.

With rate limits there is one more before it, at the gate. See `gate` for why never more pass than the limit.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interrupts.checks import check_size
from interrupts.codec import decode_created_content, decode_event, encode
from interrupts.commands import Create
from interrupts.creation import CreateOptions, Creation
from interrupts.decide import decide
from interrupts.errors import InterruptsError, RateLimitedError
from interrupts.events import Created, CreatedContent
from interrupts.evolve import as_of, evolve, fold
from interrupts.gate import Gate, Refusal
from interrupts.model import FlowInterrupt, InterruptKind, InterruptStatus
from interrupts.outcomes import found, line_of, not_confirmed, tell_refusal
from interrupts.ports import Ports
from interrupts.rate_rules import CREATE
from interrupts.schemas import fits_schema
from interrupts.store.log import Appended, Log

_EXHAUSTED: Final = "Too many interrupts were created. "


class Making:
    """Carries out creations on one log, and tells the ports what became of them. `gate` None: there is no limit."""

    def __init__(self, log: Log, ports: Ports, creation: Creation, gate: Gate | None, payload_bytes_max: int) -> None:
        self._log = log
        self._ports = ports
        self._creation = creation
        self._gate = gate
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
            assert isinstance(event, Created)  # nothing is there yet, so there is something to do
            raw = encode(event)
            if len(raw) > self._payload_bytes_max:
                parts = {"question": question, "message": message, "data": data, **options}
                check_size(len(raw), self._payload_bytes_max, max(parts, key=lambda part: len(encode(parts[part]))))
            if self._gate is None:
                outcome: Appended | Refusal = await self._log.append(command.id, raw, ttl_ms=_enforced_ms(event))
            else:
                outcome = await self._gate.append(command, raw, _enforced_ms(event))
                if isinstance(outcome, Refusal) and options.get("on_limit") == "interrupt":
                    return await self._exhausted(self._gate, command, outcome)
            if isinstance(outcome, Refusal):
                why = outcome.result.reason
                raise RateLimitedError(
                    f"User {user_id[:64]!r} may not create an interrupt now. {why} Nothing was written.",
                    result=outcome.result,
                )
            return await self._made(outcome, command, event, content)
        except InterruptsError as error:
            tell_refusal(self._ports, "create", None, error)
            raise

    async def _made(
        self, appended: Appended, command: Create | None, event: Created, content: CreatedContent
    ) -> FlowInterrupt:
        """What became of an append. Without a command, whatever is there under its id is the same."""
        if appended.sequence:
            interrupt = evolve(None, line_of(appended, event), appended.partition, content).interrupt
            created = True
        else:
            assert appended.there is not None  # the script refuses a creation only with what is there
            state = fold(appended.there, appended.partition)
            found(self._log, state)
            if command is not None:
                decide(state, command, appended.now_ms, fits_schema)  # refuses another body under the same key
            # It was made by an attempt of ours whose reply was lost: its own command's id says so, or the log.
            created = state.created.about.command_id == command.command_id if command else appended.again
            interrupt = as_of(state, appended.now_ms)
        if created and not self._ports.idle:
            await self._ports.announce(interrupt, event)
        if not appended.confirmed:
            raise not_confirmed(interrupt)
        return interrupt

    async def _exhausted(self, gate: Gate, refused: Create, refusal: Refusal) -> FlowInterrupt:
        """The interrupt that says that the user has to wait; for each limit one of it is pending until then.

        The first to claim it says what it is, and everybody appends that very event: it is there once, and also if the
        first has crashed in between. It is exempt from the limit.
        """
        result = refusal.result
        command, _ = self._creation.command(
            InterruptKind.RESOURCE_EXHAUSTED,
            refused.request_id,
            refused.user_id,
            refused.session_id,
            refused.terms.envelope_id,
            None,
            _EXHAUSTED + (result.reason or ""),
            {
                "resource_type": CREATE,
                "retry_after_seconds": result.retry_after_seconds,
                "limit_type": result.limit_type,
                "limit": result.limit,
            },
            CreateOptions(ttl_seconds=result.retry_after_seconds, auto_expire=True),
        )
        command = msgspec.structs.replace(command, terms=msgspec.structs.replace(command.terms, counted_in=()))
        own, closed = encode(decide(None, command, 0, fits_schema)), b""
        while True:
            claimed = await gate.claim(refused.user_id, refusal.group, own, closed, result.retry_after_seconds)
            event = decode_event(claimed)
            assert isinstance(event, Created)
            appended = await self._log.append(event.id, claimed, ttl_ms=_enforced_ms(event))
            interrupt = await self._made(appended, None, event, decode_created_content(event.content))
            if interrupt.status is InterruptStatus.PENDING or claimed in (own, closed):
                return interrupt
            closed = claimed  # somebody has ended that one early, and it is nothing to wait for


def _enforced_ms(event: Created) -> int | None:
    return event.terms.ttl_ms if event.terms.auto_expire else None
