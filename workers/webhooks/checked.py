"""What a caller's configuration of an endpoint has to be: each refusal names its field, and shows nothing secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from interrupts import ValidationError
from interrupts.checks import check_seconds, shown
from interrupts.limits import (
    HOOK_CONCURRENCY_MAX,
    HOOK_HEADER_CHARS_MAX,
    HOOK_HEADERS_MAX,
    HOOK_PATTERNS_MAX,
    HOOK_RETRIES_MAX,
    HOOK_RETRY_DELAY_S_MAX,
    HOOK_TIMEOUT_S_MAX,
)
from interrupts.signatures import check_secret
from workers.webhooks.model import HIDDEN, WebhookConfig
from workers.webhooks.registered import Stored
from workers.webhooks.rules import Rules
from workers.webhooks.scopes import Scope

_PATTERN: Final = re.compile(r"\*|[a-z][a-z0-9_-]{0,63}(\.[a-z0-9_-]{1,64}){0,5}(\.\*)?", re.ASCII)
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_VALUE: Final = re.compile(r"[\x20-\x7e\t]*", re.ASCII)
_OURS: Final = re.compile(
    r"webhook-.*|x-webhook-signature|host|content-(length|encoding)|transfer-encoding|connection|upgrade|expect|te|"
    r"trailer|keep-alive|proxy-.*",
    re.IGNORECASE,
)


def checked(config: object, scope: Scope, rules: Rules) -> Stored:
    """What is written down for a configuration. Raises `ValidationError`."""
    if not isinstance(config, WebhookConfig):
        raise ValidationError(f"config: must be a WebhookConfig, not {type(config).__name__}.", field="config")
    _check_number("timeout_seconds", config.timeout_seconds, 0.1, HOOK_TIMEOUT_S_MAX)
    _check_number("max_retries", config.max_retries, 0, HOOK_RETRIES_MAX, whole=True)
    _check_number("retry_delay_seconds", config.retry_delay_seconds, 0, HOOK_RETRY_DELAY_S_MAX)
    _check_number("max_retry_delay_seconds", config.max_retry_delay_seconds, 0, HOOK_RETRY_DELAY_S_MAX)
    _check_number("concurrency", config.concurrency, 1, HOOK_CONCURRENCY_MAX, whole=True)
    if config.off_after_seconds is not None:
        check_seconds("off_after_seconds", config.off_after_seconds)
    return Stored(
        rules.check_url(config.url),
        _events(config.events),
        scope.sort,
        scope.id,
        None if config.secret is None else check_secret(config.secret),
        _headers(config.headers),
        config.timeout_seconds,
        config.max_retries,
        config.retry_delay_seconds,
        max(config.retry_delay_seconds, config.max_retry_delay_seconds),
        config.concurrency,
        config.off_after_seconds,
    )


def _events(events: Any) -> list[str]:
    if not isinstance(events, list | tuple) or not events:
        raise ValidationError(
            'events: say at least one, in a list, such as ["interrupt.resolved"] or ["interrupt.*"] or ["*"].',
            field="events",
        )
    if len(events) > HOOK_PATTERNS_MAX:
        raise ValidationError(f"events: {len(events)} are too many, the most is {HOOK_PATTERNS_MAX}.", field="events")
    for event in events:
        if not isinstance(event, str) or not _PATTERN.fullmatch(event):
            raise ValidationError(
                f"events: {shown(event)} is none. Use the name of an event, such as interrupt.resolved, the beginning "
                "of some, such as interrupt.*, or * for all.",
                field="events",
            )
    return list(dict.fromkeys(events))


def _headers(headers: Any) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise ValidationError(f"headers: must be a dict, not {type(headers).__name__}.", field="headers")
    if len(headers) > HOOK_HEADERS_MAX:
        raise ValidationError(f"headers: {len(headers)} are too many, the most is {HOOK_HEADERS_MAX}.", field="headers")
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER.fullmatch(name):
            raise ValidationError(f"headers: {shown(name)} can't be the name of a header.", field="headers")
        if _OURS.fullmatch(name):
            raise ValidationError(f"headers: {name} is set by the sender, and can't be given.", field="headers")
        if value == HIDDEN:
            raise ValidationError(
                f"headers: the value of {name} was left out when this configuration was told. Give it again.",
                field="headers",
            )
        if not isinstance(value, str) or len(value) > HOOK_HEADER_CHARS_MAX or not _VALUE.fullmatch(value):
            raise ValidationError(
                f"headers: the value of {name} can't be sent: it must be text of printable ASCII characters, at most "
                f"{HOOK_HEADER_CHARS_MAX:,}.",
                field="headers",
            )
    return dict(headers)


def _check_number(field: str, value: object, least: float, most: float, *, whole: bool = False) -> None:
    kinds = int if whole else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        what = "a whole number" if whole else "a number"
        raise ValidationError(f"{field}: {shown(value)} is not {what} from {least:g} to {most:,g}.", field=field)
