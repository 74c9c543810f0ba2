"""What each kind of interrupt does unless a caller says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import msgspec

from interrupts.errors import ValidationError
from interrupts.model import OLD_NAME, InterruptKind


class InterruptConfig(msgspec.Struct):
    """The defaults of one kind.

    `default_ttl` None: no deadline. `auto_expire` False: a deadline is shown, never enforced. `require_response`: an
    answer has to say something. `allowed_responses`: which fields an answer may use (empty: any); `data` may always go
    along. `webhook_event`: the name under which a creation is announced; left as it is, the kind's own name stands.
    """

    default_ttl: timedelta | None = None
    auto_expire: bool = True
    require_response: bool = True
    webhook_event: str = "interrupt.created"
    allowed_responses: list[str] = msgspec.field(default_factory=list)


DEFAULT_INTERRUPT_CONFIGS: Final[dict[InterruptKind, InterruptConfig]] = {
    InterruptKind.CLARIFICATION: InterruptConfig(
        default_ttl=timedelta(hours=24),
        webhook_event="interrupt.clarification_needed",
        allowed_responses=["text"],
    ),
    InterruptKind.CONFIRMATION: InterruptConfig(
        default_ttl=timedelta(hours=1),
        webhook_event="interrupt.confirmation_needed",
        allowed_responses=["approved"],
    ),
    InterruptKind.AGENT_REVIEW: InterruptConfig(
        default_ttl=timedelta(minutes=30),
        webhook_event="interrupt.agent_review",
        allowed_responses=["decision"],
    ),
    InterruptKind.CHECKPOINT: InterruptConfig(
        default_ttl=None,
        auto_expire=False,
        require_response=False,
        webhook_event="interrupt.checkpoint",
    ),
    InterruptKind.RESOURCE_EXHAUSTED: InterruptConfig(
        default_ttl=timedelta(minutes=5),
        webhook_event="interrupt.resource_exhausted",
        require_response=False,
    ),
    InterruptKind.TIMEOUT: InterruptConfig(
        default_ttl=timedelta(minutes=5),
        webhook_event="interrupt.timeout",
        require_response=False,
    ),
    InterruptKind.SYSTEM_ERROR: InterruptConfig(
        default_ttl=timedelta(hours=1),
        webhook_event="interrupt.system_error",
        require_response=False,
    ),
}

WEBHOOK_EVENT_OF_KIND: Final[dict[InterruptKind, str]] = {
    kind: config.webhook_event for kind, config in DEFAULT_INTERRUPT_CONFIGS.items()
}
"""The names under which creations are announced. They are part of the stored form: an event that carries no name of
its own has its kind's."""


def merged(configs: Mapping[InterruptKind, InterruptConfig] | None) -> dict[InterruptKind, InterruptConfig]:
    """The defaults with a caller's own in their place, kind by kind. Raises `ValidationError`."""
    if configs is not None and not isinstance(configs, Mapping):
        raise ValidationError(f"configs: must be a dict, not {type(configs).__name__}.", field="configs")
    own = dict(configs or {})
    for kind, config in own.items():
        if kind not in (*InterruptKind, OLD_NAME) or not isinstance(config, InterruptConfig):
            raise ValidationError(
                f"configs: {str(kind)[:64]!r} → {type(config).__name__} is not a kind with an InterruptConfig.",
                field="configs",
            )
    return DEFAULT_INTERRUPT_CONFIGS | {InterruptKind(kind): config for kind, config in own.items()}
