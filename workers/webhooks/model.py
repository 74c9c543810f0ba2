"""What callers of webhooks see: an endpoint's configuration, the endpoint as it is, deliveries and their results.

A secret goes in and never comes out: it is in no representation, and an endpoint that is told about only says whether
it has one. The same goes for the values of its headers, which may be keys as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

import msgspec

from interrupts.event_names import matches
from interrupts.limits import HOOK_OFF_AFTER_S

HIDDEN: Final = "…"
"""What stands in place of what is not told."""


class DeliveryStatus(str, Enum):  # noqa: UP042 - the contract's bases; StrEnum prints differently
    """How far a delivery is."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    RETRYING = "retrying"


@dataclass
class WebhookConfig:
    """Configuration for a webhook endpoint.

    `events`: names (`interrupt.resolved`), beginnings of names (`interrupt.*`), or `*`. `secret`: what deliveries are
    signed with. `headers`: what else is sent along. After a failed try the next one comes after `retry_delay_seconds`,
    then after twice that, and so on up to `max_retry_delay_seconds`; it is given up after `max_retries` of them.
    `concurrency`: how many are sent to it at once by one process. When every try has failed for `off_after_seconds` it
    is switched off; None: never.
    """

    url: str
    events: list[str]
    secret: str | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    timeout_seconds: float = 30
    max_retries: int = 3
    retry_delay_seconds: float = 1.0
    max_retry_delay_seconds: float = 3600.0
    concurrency: int = 16
    off_after_seconds: float | None = HOOK_OFF_AFTER_S

    def matches_event(self, event_type: str) -> bool:
        """Check if this config subscribes to an event type. Supports wildcards: "request.*", "*"."""
        return any(matches(pattern, event_type) for pattern in self.events)


@dataclass
class WebhookDeliveryResult:
    """What came of a delivery so far, or at last. `response_body` is the beginning of it.

    From `delivery_id` on the fields go beyond the contract: the delivery's id, which is also the `webhook-id` that the
    endpoint is sent; the event's place in the log; the endpoint's scope ("" for all); and when it is tried next.
    """

    webhook_id: str
    event_type: str
    status: DeliveryStatus
    attempt: int
    response_status: int | None = None
    response_body: str | None = None
    error: str | None = None
    delivered_at: datetime | None = None
    duration_ms: float = 0.0
    delivery_id: str = ""
    position: str = ""
    scope: str = ""
    next_attempt_at: datetime | None = None


class EndpointStats(msgspec.Struct, frozen=True):
    """Counts of an endpoint since it was registered, and how quickly it answers.

    `waiting`: to be sent, or tried again. `failed`: given up, and kept. `given_up`: how often that has happened.
    `left_out`: those for which there was no room. `dropped`: those that were given up and had to be forgotten.
    `p50_ms` and `p99_ms`: upper bounds, by powers of two. `failing_since`: since when every try has failed.
    """

    delivered: int
    failed_tries: int
    given_up: int
    waiting: int
    failed: int
    left_out: int
    dropped: int
    mean_ms: float
    p50_ms: float
    p99_ms: float
    delivered_at: datetime | None
    failed_at: datetime | None
    failing_since: datetime | None


class Endpoint(msgspec.Struct, frozen=True):
    """An endpoint as it is. `headers`: their names. `off`: why it is switched off, None if it is not."""

    id: str
    scope: str
    url: str
    events: list[str]
    has_secret: bool
    rotating_until: datetime | None
    headers: list[str]
    timeout_seconds: float
    max_retries: int
    retry_delay_seconds: float
    max_retry_delay_seconds: float
    concurrency: int
    off_after_seconds: float | None
    registered_at: datetime
    off: str | None
    off_since: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON can hold it."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


class Delivery(msgspec.Struct, frozen=True):
    """One delivery in full: its result so far, and the beginning of what is, or was, sent."""

    result: WebhookDeliveryResult
    url: str
    body: str | None


class Resent(msgspec.Struct, frozen=True):
    """What became of a call: how many are sent again (or dropped), how many wait already, and which could not be, as
    there is nothing left of them here or in the log."""

    done: int
    waiting: int
    lost: list[str]
