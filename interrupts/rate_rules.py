"""Which limits hold at an endpoint, and what it is counted under: the rules that the code gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from interrupts.checks import check_id, shown
from interrupts.errors import ValidationError
from interrupts.limits import RATE_ENDPOINTS_KNOWN_MAX, RATE_RULES_MAX
from interrupts.model import InterruptKind
from interrupts.patterns import compiled
from interrupts.rates import RateLimitConfig, check_config

CREATE: Final = "interrupts.create"
"""The endpoint under which creations of interrupts are counted; `interrupts.create.<kind>` is one kind's own."""


def reservation(interrupt_id: str, groups: str) -> str:
    """The name of what is reserved for a creation in these groups, one a line. A key that is used again for another
    kind names the same interrupt, and reserves something else."""
    return interrupt_id if groups == CREATE else f"{interrupt_id} {groups}"


class EndpointLimit(msgspec.Struct, frozen=True):
    """The limits of one endpoint, or of several that count together under the name of a `group`."""

    config: RateLimitConfig
    group: str | None = None


class Rule(msgspec.Struct, frozen=True):
    """What holds at one endpoint: the limits, the name that its calls are counted under, and whether it is the
    default, because no pattern matches."""

    config: RateLimitConfig
    group: str
    default: bool = False


class RateLimits:
    """Limits by endpoint: for each the first pattern that matches it, else the default.

        RateLimits(
            RateLimitConfig(),
            {
                "/api/search": RateLimitConfig(requests_per_minute=10),
                "/api/*": EndpointLimit(RateLimitConfig(requests_per_minute=300), group="api"),
            },
        )

    In a pattern `*` stands for any text. Each endpoint is counted by itself, unless a `group` is named. What an
    operator has set for a user holds in place of all of these. Raises `ValidationError` for what can't be meant.
    """

    def __init__(
        self,
        default: RateLimitConfig | None = None,
        endpoints: Mapping[str, RateLimitConfig | EndpointLimit] | None = None,
    ) -> None:
        self.default = RateLimitConfig() if default is None else check_config("limits", default)
        if not isinstance(endpoints or {}, Mapping) or len(endpoints or ()) > RATE_RULES_MAX:
            raise ValidationError(
                f"limits: endpoints must be a dict of pattern and limit, of at most {RATE_RULES_MAX}.", field="limits"
            )
        self._patterns = [_pattern(pattern, limit) for pattern, limit in (endpoints or {}).items()]
        self._known: dict[str, Rule] = {}

    def rule(self, endpoint: str) -> Rule:
        """What holds at this endpoint."""
        rule = self._known.get(check_id("endpoint", endpoint))
        if rule is None:
            if len(self._known) >= RATE_ENDPOINTS_KNOWN_MAX:
                self._known.clear()
            rule = self._known[endpoint] = self._match(endpoint)
        return rule

    def config_of(self, group: str) -> RateLimitConfig:
        """The limits of what is counted under this name."""
        for _, limit in self._patterns:
            if limit.group == group:
                return limit.config
        return self._match(group).config

    def rules_of_creation(self, kind: InterruptKind) -> tuple[Rule, ...]:
        """What holds when an interrupt of this kind is made: the rule for all, and the kind's own if there is one."""
        every, own = self.rule(CREATE), self.rule(f"{CREATE}.{kind.value}")
        return (every,) if own.default or own.group == every.group else (every, own)

    def _match(self, endpoint: str) -> Rule:
        for pattern, limit in self._patterns:
            if pattern.fullmatch(endpoint):
                return Rule(limit.config, limit.group or endpoint)
        return Rule(self.default, endpoint, default=True)


def _pattern(pattern: object, limit: object) -> tuple[re.Pattern[str], EndpointLimit]:
    text = check_id("limits", pattern)
    if isinstance(limit, RateLimitConfig):
        limit = EndpointLimit(limit)
    if not isinstance(limit, EndpointLimit):
        raise ValidationError(
            f"limits: {shown(text)} → {type(limit).__name__} is no RateLimitConfig or EndpointLimit.", field="limits"
        )
    check_config("limits", limit.config)
    if limit.group is not None:
        check_id("limits", limit.group)
    return compiled(text), limit


def check_limits(limits: object) -> RateLimits:
    """Limits as callers give them: by endpoint, one for all, or None for the defaults."""
    if isinstance(limits, RateLimits):
        return limits
    if limits is None or isinstance(limits, RateLimitConfig):
        return RateLimits(limits)
    return RateLimits(check_config("limits", limits))
