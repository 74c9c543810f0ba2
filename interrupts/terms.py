"""What is decided for one interrupt before it is made: its kind's configuration, with what the caller says instead."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from interrupts.checks import check_answer_fields, check_flag, check_id, check_ttl_ms
from interrupts.codec import encode_sorted
from interrupts.config import WEBHOOK_EVENT_OF_KIND, InterruptConfig, merged
from interrupts.errors import ValidationError
from interrupts.events import Terms
from interrupts.model import InterruptKind
from interrupts.rate_rules import CREATE, RateLimits


def default_terms(kind: InterruptKind, config: InterruptConfig) -> Terms:
    """The terms of an interrupt whose creator says nothing. Refuses a configuration that can't be meant."""
    try:
        return Terms(
            ttl_ms=check_ttl_ms(config.default_ttl, None, None),
            auto_expire=bool(config.auto_expire),
            require_response=bool(config.require_response),
            allowed_responses=check_answer_fields(config.allowed_responses),
            webhook_event=_webhook_event(kind, config),
        )
    except ValidationError as error:
        raise ValidationError(f"configs[{kind.value}]: {error}", field="configs") from None


def all_terms(
    configs: Mapping[InterruptKind, InterruptConfig] | None, limits: RateLimits | None = None
) -> dict[InterruptKind, Terms]:
    """The default terms of every kind, under these configurations and limits. Raises `ValidationError`."""
    terms = {kind: default_terms(kind, config) for kind, config in merged(configs).items()}
    if limits is not None:
        for kind, own in terms.items():
            groups = tuple(rule.group for rule in limits.rules_of_creation(kind))
            if groups != (CREATE,):
                terms[kind] = msgspec.structs.replace(own, counted_in=groups)
    return terms


def _webhook_event(kind: InterruptKind, config: InterruptConfig) -> str | None:
    own = check_id("webhook_event", config.webhook_event)
    return None if own in (InterruptConfig().webhook_event, WEBHOOK_EVENT_OF_KIND[kind]) else own


def settle(
    default: Terms,
    *,
    ttl: timedelta | None,
    ttl_seconds: float | None,
    auto_expire: bool | None,
    allowed_responses: Sequence[str] | None,
    response_schema: dict[str, Any] | None,
    envelope_id: str | None,
    trace_id: str | None,
    span_id: str | None,
) -> Terms:
    """The terms of one interrupt. Refuses, by name, what can't be meant."""
    own_ttl = ttl is not None or ttl_seconds is not None
    flag = check_flag("auto_expire", auto_expire)
    return Terms(
        ttl_ms=check_ttl_ms(ttl, ttl_seconds, None) if own_ttl else default.ttl_ms,
        auto_expire=default.auto_expire if flag is None else flag,
        require_response=default.require_response,
        allowed_responses=(
            default.allowed_responses if allowed_responses is None else check_answer_fields(allowed_responses)
        ),
        webhook_event=default.webhook_event,
        envelope_id=envelope_id,
        trace_id=trace_id,
        span_id=span_id,
        response_schema=response_schema,
        counted_in=default.counted_in,
    )


def fingerprint_of(asked: dict[str, Any]) -> str:
    """What a caller asked for, in 128 bits: equal for equal requests, whatever the order of keys in them.

    It covers the caller's words only, not what configuration, clock or tracing added to them.
    """
    return hashlib.sha256(encode_sorted(asked)).hexdigest()[:32]
