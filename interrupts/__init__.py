"""Durable pauses for agents and pipelines: create an interrupt, let somebody answer, prove afterwards what happened."""

from interrupts.blocking import BlockingInterruptService, connect_blocking
from interrupts.blocking_limiter import RateLimiter
from interrupts.config import DEFAULT_INTERRUPT_CONFIGS, InterruptConfig
from interrupts.connect import connect
from interrupts.errors import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    CorruptLogError,
    InterruptsError,
    NotConfirmedError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
    UnsuitableServerError,
    ValidationError,
    ViewBehindError,
    ViewStoppedError,
    WaitTimeoutError,
)
from interrupts.limiter import AsyncRateLimiter
from interrupts.middleware import RateLimitMiddleware
from interrupts.middleware_config import RateLimitMiddlewareConfig, RouteLimit
from interrupts.model import FlowInterrupt, InterruptKind, InterruptResponse, InterruptStatus
from interrupts.pages import Counts, Page, PaginatedResult, PaginationParams
from interrupts.positions import Position
from interrupts.protocols import (
    DatabaseProtocol,
    InterruptServiceProtocol,
    LoggerProtocol,
    OTelAdapterProtocol,
    RateLimiterProtocol,
    WebhookServiceProtocol,
)
from interrupts.rate_rules import EndpointLimit, RateLimits
from interrupts.rates import EndpointUse, RateLimitConfig, RateLimitResult, WindowUse
from interrupts.recorded import RecordedEvent
from interrupts.service import InterruptService

__all__ = [
    "DEFAULT_INTERRUPT_CONFIGS",
    "AsyncRateLimiter",
    "AuthenticationError",
    "AuthorizationError",
    "BlockingInterruptService",
    "ConflictError",
    "CorruptLogError",
    "Counts",
    "DatabaseProtocol",
    "EndpointLimit",
    "EndpointUse",
    "FlowInterrupt",
    "InterruptConfig",
    "InterruptKind",
    "InterruptResponse",
    "InterruptService",
    "InterruptServiceProtocol",
    "InterruptStatus",
    "InterruptsError",
    "LoggerProtocol",
    "NotConfirmedError",
    "NotFoundError",
    "OTelAdapterProtocol",
    "Page",
    "PaginatedResult",
    "PaginationParams",
    "Position",
    "RateLimitConfig",
    "RateLimitMiddleware",
    "RateLimitMiddlewareConfig",
    "RateLimitResult",
    "RateLimitedError",
    "RateLimiter",
    "RateLimiterProtocol",
    "RateLimits",
    "RecordedEvent",
    "RouteLimit",
    "UnavailableError",
    "UnsuitableServerError",
    "ValidationError",
    "ViewBehindError",
    "ViewStoppedError",
    "WaitTimeoutError",
    "WebhookServiceProtocol",
    "WindowUse",
    "connect",
    "connect_blocking",
]
