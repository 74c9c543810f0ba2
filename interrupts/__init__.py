"""Durable pauses for agents and pipelines: create an interrupt, let somebody answer, prove afterwards what happened."""

from interrupts.blocking import BlockingInterruptService, connect_blocking
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
    UnavailableError,
    UnsuitableServerError,
    ValidationError,
    ViewBehindError,
    ViewStoppedError,
)
from interrupts.model import FlowInterrupt, InterruptKind, InterruptResponse, InterruptStatus
from interrupts.pages import Counts, Page, PaginatedResult, PaginationParams
from interrupts.positions import Position
from interrupts.protocols import (
    DatabaseProtocol,
    InterruptServiceProtocol,
    LoggerProtocol,
    OTelAdapterProtocol,
    WebhookServiceProtocol,
)
from interrupts.recorded import RecordedEvent
from interrupts.service import InterruptService

__all__ = [
    "DEFAULT_INTERRUPT_CONFIGS",
    "AuthenticationError",
    "AuthorizationError",
    "BlockingInterruptService",
    "ConflictError",
    "CorruptLogError",
    "Counts",
    "DatabaseProtocol",
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
    "RecordedEvent",
    "UnavailableError",
    "UnsuitableServerError",
    "ValidationError",
    "ViewBehindError",
    "ViewStoppedError",
    "WebhookServiceProtocol",
    "connect",
    "connect_blocking",
]
