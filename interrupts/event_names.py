"""The names of events: `[domain].[entity].[action]`, and patterns of them."""

from __future__ import annotations

import re
from typing import Final

from interrupts.checks import shown
from interrupts.errors import ValidationError

OWN_DOMAIN: Final = "interrupt"
"""The store's own domain: what is in it happens, and can't be published."""
OWN_PATTERNS: Final = tuple(
    f"{OWN_DOMAIN}.{action}" for action in ("created", "resolved", "cancelled", "expired", "extended", "*")
)
_PART: Final = "[a-z][a-z0-9_-]{0,63}"
_NAME: Final = re.compile(rf"{_PART}\.{_PART}\.{_PART}", re.ASCII)
_EMITTED: Final = re.compile(rf"{_PART}(\.{_PART}){{1,5}}", re.ASCII)
_PATTERN: Final = re.compile(rf"\*|{_PART}(\.{_PART})?\.\*|{_PART}\.{_PART}(\.{_PART})?", re.ASCII)


def check_event_name(name: object) -> str:
    """The name of an event that may be published. Raises `ValidationError`."""
    _check_not_ours(name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValidationError(
            f"event_type: {shown(name)} is not of the form [domain].[entity].[action], such as session.chat.completed: "
            "small letters, digits, dashes and underscores.",
            field="event_type",
        )
    return name


def check_emitted_name(name: object) -> str:
    """The name of an event that may be emitted to webhooks: from two to six parts. Raises `ValidationError`."""
    _check_not_ours(name)
    if not isinstance(name, str) or not _EMITTED.fullmatch(name):
        raise ValidationError(
            f"event_type: {shown(name)} is no name of an event, such as request.completed: two parts or more with dots "
            "between, of small letters, digits, dashes and underscores.",
            field="event_type",
        )
    return name


def _check_not_ours(name: object) -> None:
    if isinstance(name, str) and name.startswith(f"{OWN_DOMAIN}."):
        raise ValidationError(
            f"event_type: {shown(name)} is in the domain {OWN_DOMAIN!r}, which is the store's own: its events happen "
            "by creating, answering, cancelling.",
            field="event_type",
        )


def check_event_pattern(pattern: object) -> str:
    """What may be subscribed to: a name, `*`, or the beginning of names and `.*`. Raises `ValidationError`."""
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        raise ValidationError(
            f"pattern: {shown(pattern)} is none. Use the name of an event, such as interrupt.resolved or "
            "session.chat.completed, the beginning of some, such as interrupt.* or session.chat.*, or * for all.",
            field="pattern",
        )
    if pattern.startswith(f"{OWN_DOMAIN}.") and pattern not in OWN_PATTERNS:
        raise ValidationError(
            f"pattern: there is no event {shown(pattern)}. There are {', '.join(OWN_PATTERNS)}.", field="pattern"
        )
    return pattern


def matches(pattern: str, name: str) -> bool:
    """Whether an event of this name is meant."""
    return pattern in ("*", name) or (pattern.endswith(".*") and name.startswith(pattern[:-1]))
