"""The rate limit types of the contract, as it has them (`interrupt-protocols.md`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class RateLimitConfig:
    """Configuration for rate limiting."""

    requests_per_minute: int = 60
    requests_per_hour: int = 1000
    requests_per_day: int = 10000
    burst_size: int = 10


@dataclass
class RateLimitResult:
    """Result of a rate limit check."""

    allowed: bool
    exceeded: bool = False
    reason: str | None = None
    limit_type: str | None = None
    current_count: int = 0
    limit: int = 0
    retry_after_seconds: float = 0.0
    remaining: int = 0
