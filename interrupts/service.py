"""The service: create, read, answer, cancel, extend, expire, wait, publish.

How a command is carried out, and why no race, crash or lost reply can break it: see `execution`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from interrupts.answers import Answers, asked_id
from interrupts.codec import decode_lines
from interrupts.config import InterruptConfig
from interrupts.creation import CreateOptions, Creation, OnLimit
from interrupts.creators import Creators
from interrupts.deciding import Deciding
from interrupts.evolve import as_of, fold
from interrupts.execution import Execution
from interrupts.expiry import Expiry
from interrupts.gate import Gate
from interrupts.ids import is_id
from interrupts.limits import PAYLOAD_BYTES_MAX, VIEW_WAIT_S
from interrupts.listing import Listing
from interrupts.lists import Lists
from interrupts.making import Making
from interrupts.model import FlowInterrupt, InterruptKind
from interrupts.ports import Ports
from interrupts.protocols import DatabaseProtocol, LoggerProtocol, OTelAdapterProtocol, WebhookServiceProtocol
from interrupts.publishing import Publishing
from interrupts.rate_rules import RateLimits, check_limits
from interrupts.rates import RateLimitConfig
from interrupts.recorded import RecordedEvent, recorded
from interrupts.store.log import Log
from interrupts.store.lookup import ViewLookup
from interrupts.store.memory import memory_log
from interrupts.store.reader import LogReader
from interrupts.waiting import Waiters
from interrupts.waits import Waits

_NOTHING = CreateOptions()
_ALL_NONE = (None,) * len(CreateOptions.__annotations__)


class InterruptService(Creators, Answers, Waits, Publishing, Lists):
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
        view_wait_s: float = VIEW_WAIT_S,
        limits: RateLimitConfig | RateLimits | None = None,
    ) -> None:
        ports = Ports(db=db, logger=logger, webhook_service=webhook_service, otel_adapter=otel_adapter)
        self._log = self.store = log or memory_log()
        """What projections and workers build on."""
        self.say = ports.say
        """Tells an operator: the level, the event and its fields."""
        self._keys = self._log.keys
        self._listing = Listing(
            self._log, ViewLookup(self._keys, self._log.server, self._log.wrote, self._log.forget, wait_s=view_wait_s)
        )
        checked = None if limits is None else check_limits(limits)
        self._gate = None if checked is None else Gate(self._log, checked)
        self._ports = ports
        self._payload_bytes_max = payload_bytes_max
        self.execution = Execution(self._log, ports, payload_bytes_max)
        self._waiters = Waiters(self._log, ports, self.execution)
        self.expiry = Expiry(self._log, ports)
        """What writes down that deadlines have passed; for the worker that does."""
        creation = Creation(configs, ports, checked)
        self.deciding = Deciding(self._log, ports, creation, self._gate, payload_bytes_max)
        """What decides the commands of producers that do not use this library; for the worker that does."""
        making = Making(self._log, ports, creation, self._gate, payload_bytes_max)
        self._make = making.create
        self.log = LogReader(self._log.keys, self._log.server, ports.say)
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
        on_limit: OnLimit | None = None,
    ) -> FlowInterrupt:
        """A new interrupt, in the log when this returns.

        With an `idempotency_key` that its session has seen: the first interrupt as it now is. Raises
        `ValidationError`; `ConflictError` for a key used again with another body; `RateLimitedError`, where the service
        has limits, unless `on_limit` is "interrupt" (see `CreateOptions`); `UnavailableError`.
        """
        options = _NOTHING
        given = (ttl, ttl_seconds, auto_expire, allowed_responses, response_schema, idempotency_key, on_limit)
        if given != _ALL_NONE:
            options = CreateOptions(
                ttl=ttl,
                ttl_seconds=ttl_seconds,
                auto_expire=auto_expire,
                allowed_responses=allowed_responses,
                response_schema=response_schema,
                idempotency_key=idempotency_key,
                on_limit=on_limit,
            )
        return await self._make(kind, request_id, user_id, session_id, envelope_id, question, message, data, options)

    async def get_interrupt(self, interrupt_id: str) -> FlowInterrupt | None:
        """The interrupt as it now is, or None. An overdue one reads as expired. Raises `UnavailableError`."""
        if not is_id(asked_id(interrupt_id)):
            return None
        read = await self._log.read(interrupt_id)
        if read.there is None:
            return None
        return as_of(fold(read.there, read.partition), read.now_ms)

    async def history(self, interrupt_id: str) -> list[RecordedEvent]:
        """The interrupt's events, oldest first; empty if there is no such interrupt. Raises `UnavailableError`."""
        if not is_id(asked_id(interrupt_id)):
            return []
        read = await self._log.read(interrupt_id)
        return [] if read.there is None else [recorded(line, read.partition) for line in decode_lines(read.there)]

    async def expire_pending(self) -> int:
        """Writes down every deadline that has passed; returns how many this call did. Raises `UnavailableError`.

        Nothing depends on when this runs: an overdue interrupt reads as expired and refuses answers at once.
        """
        return await self.expiry.expire_all(range(self._log.keys.partitions))

    async def aclose(self) -> None:
        """Sends what was handed over, and closes the connections. `connect()` does this at the end of its block."""
        if self._gate is not None:
            await self._gate.drain()
        await self._log.drain()
        await self._log.server.close()
        await self._waiters.close()
