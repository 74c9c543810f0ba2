"""The ports: what the service asks of the world around it, and what it offers itself. All work with isinstance."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from interrupts.model import FlowInterrupt, InterruptKind, InterruptResponse
from interrupts.rates import RateLimitConfig, RateLimitResult


@runtime_checkable
class LoggerProtocol(Protocol):
    """A structured logger, such as structlog's: an event and its fields."""

    def debug(self, event: str, **fields: Any) -> Any:
        """For finding a fault: one line per outcome."""

    def info(self, event: str, **fields: Any) -> Any:
        """Refusals."""

    def warning(self, event: str, **fields: Any) -> Any:
        """What an operator should know."""

    def error(self, event: str, **fields: Any) -> Any:
        """Faults."""


@runtime_checkable
class DatabaseProtocol(Protocol):
    """A database that gets a copy of each interrupt as a row of `flow_interrupts`."""

    async def insert(self, table: str, data: dict[str, Any]) -> str:
        """A new row."""

    async def update(self, table: str, data: dict[str, Any], where: dict[str, Any]) -> int:
        """Changes to a row."""

    async def fetch_one(self, query: str, params: tuple[Any, ...] = ()) -> dict[str, Any] | None:
        """One row. Never called: the log is what is read."""

    async def fetch_all(self, query: str, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Rows. Never called: the log is what is read."""


@runtime_checkable
class WebhookServiceProtocol(Protocol):
    """Somebody who tells the outside. One whose attribute `reads_log` is true learns from the log, and isn't called."""

    async def emit_event(self, event_type: str, data: dict[str, Any], request_id: str | None = None) -> int:
        """Announces an event; returns how many will hear of it."""


@runtime_checkable
class OTelAdapterProtocol(Protocol):
    """OpenTelemetry, as far as it is needed here."""

    def record_event(self, name: str, request_id: str, attributes: dict[str, Any] | None = None) -> None:
        """Notes an event in the request's trace."""

    def get_trace_context(self, request_id: str) -> Any | None:
        """Something with `trace_id` and `span_id`, as attributes or keys, or None."""


@runtime_checkable
class RateLimiterProtocol(Protocol):
    """A rate limiter, as code that only uses it should ask for it. `RateLimiter` is one."""

    def check_rate_limit(self, user_id: str, endpoint: str) -> RateLimitResult:
        """Check if a request is allowed under rate limits."""

    def set_user_limits(self, user_id: str, config: RateLimitConfig) -> None:
        """Set rate limits for a specific user."""

    def get_user_limits(self, user_id: str) -> RateLimitConfig | None:
        """Get rate limits for a specific user."""


@runtime_checkable
class InterruptServiceProtocol(Protocol):
    """The service, as code that only uses it should ask for it."""

    async def create_interrupt(
        self,
        kind: InterruptKind,
        request_id: str,
        user_id: str,
        session_id: str,
        envelope_id: str | None = None,
        question: str | None = None,
        message: str | None = None,
        data: dict[str, Any] | None = None,
        ttl_seconds: int | None = None,
    ) -> FlowInterrupt:
        """Create a new interrupt."""

    async def get_interrupt(self, interrupt_id: str) -> FlowInterrupt | None:
        """Get an interrupt by its id."""

    async def respond(self, interrupt_id: str, response: InterruptResponse) -> FlowInterrupt | None:
        """Respond to an interrupt."""

    async def list_pending(
        self, user_id: str | None = None, session_id: str | None = None, request_id: str | None = None
    ) -> list[FlowInterrupt]:
        """List pending interrupts."""

    async def cancel(self, interrupt_id: str) -> Any:
        """Cancel an interrupt; true if there was one."""
