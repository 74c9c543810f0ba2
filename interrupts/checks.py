"""What callers may send: each refusal names its field, and comes before anything is written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from interrupts.errors import ValidationError
from interrupts.limits import ID_CHARS_MAX, TTL_S_MAX
from interrupts.model import InterruptKind

ANSWER_FIELDS: Final = ("text", "approved", "decision", "data")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KINDS: Final = ", ".join(kind.value for kind in InterruptKind)
SHOWN_CHARS_MAX: Final = 64


def check_id(field: str, value: object) -> str:
    """An id of the caller's own: some text, not too long, without control characters."""
    if type(value) is str and value and len(value) <= ID_CHARS_MAX and value.isprintable() and not value.isspace():
        return value
    if not isinstance(value, str):
        what = "is missing" if value is None else f"must be text, not {type(value).__name__}"
    elif not value.strip():
        what = "is empty"
    elif len(value) > ID_CHARS_MAX:
        what = f"has {len(value)} characters, the most is {ID_CHARS_MAX}"
    elif _CONTROL.search(value):
        what = f"has a control character or broken text in it: {shown(value)}"
    else:
        return str(value)
    raise ValidationError(f"{field}: {what}.", field=field)


def check_ids(request_id: object, user_id: object, session_id: object) -> None:
    """The three ids that every interrupt has; all at once, since nearly always all are fine."""
    if not (
        type(request_id) is type(user_id) is type(session_id) is str
        and request_id
        and user_id
        and session_id
        and len(request_id) <= ID_CHARS_MAX
        and len(user_id) <= ID_CHARS_MAX
        and len(session_id) <= ID_CHARS_MAX
        and (request_id + user_id + session_id).isprintable()
        and not (request_id.isspace() or user_id.isspace() or session_id.isspace())
    ):
        check_id("request_id", request_id)
        check_id("user_id", user_id)
        check_id("session_id", session_id)


def check_optional_id(field: str, value: object) -> str | None:
    """Like `check_id`, and None is fine."""
    return None if value is None else check_id(field, value)


def check_kind(value: object) -> InterruptKind:
    """A kind, or its name."""
    if type(value) is InterruptKind:
        return value
    with contextlib.suppress(ValueError):
        if isinstance(value, str):
            return InterruptKind(value)
    raise ValidationError(f"kind: {shown(value)} is not a kind. There are {_KINDS}.", field="kind")


def check_text(field: str, value: object) -> str | None:
    """A text that people read, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValidationError(f"{field}: must be text, not {type(value).__name__}.", field=field)
    if not value.isascii() and not encodable(value):
        raise ValidationError(f"{field}: has broken text in it (lone surrogates).", field=field)
    return value


def check_said(field: str, value: object) -> None:
    """Something that has to be said, in words."""
    if not isinstance(value, str) or not value or value.isspace():
        raise ValidationError(f"{field}: must say something, and is {shown(value)}.", field=field)


def check_seconds(field: str, value: object) -> None:
    """A number of seconds, from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TTL_S_MAX:
        raise ValidationError(f"{field}: {shown(value)} is not a number of seconds.", field=field)


def check_flag(field: str, value: object) -> bool | None:
    """True, False, or None for the default."""
    if value is None or isinstance(value, bool):
        return value
    raise ValidationError(f"{field}: must be True or False, not {shown(value)}.", field=field)


def check_on_limit(value: object) -> None:
    """What is to happen over the limit; None is fine."""
    if value not in (None, "raise", "interrupt"):
        raise ValidationError(f'on_limit: {shown(value)} is neither "raise" nor "interrupt".', field="on_limit")


def check_version(value: object) -> int | None:
    """A version to compare with, or None."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ValidationError(f"expected_version: {shown(value)} is not a version.", field="expected_version")


def check_ttl_ms(ttl: object, ttl_seconds: object, default: timedelta | None) -> int | None:
    """The time to live in milliseconds: `ttl` or `ttl_seconds`, not both, else the kind's own, which may be none."""
    if ttl is not None and ttl_seconds is not None:
        raise ValidationError("ttl: give ttl or ttl_seconds, not both.", field="ttl")
    field, seconds = "ttl", default
    if ttl is not None:
        if not isinstance(ttl, timedelta):
            raise ValidationError(
                f"ttl: must be a timedelta, not {type(ttl).__name__}; or use ttl_seconds.", field="ttl"
            )
        seconds = ttl
    elif ttl_seconds is not None:
        field = "ttl_seconds"
        if isinstance(ttl_seconds, bool) or not isinstance(ttl_seconds, int | float):
            raise ValidationError(f"ttl_seconds: {shown(ttl_seconds)} is not a number of seconds.", field=field)
        if not -TTL_S_MAX <= ttl_seconds <= TTL_S_MAX:  # neither is NaN
            raise _ttl_out_of_bounds(field, shown(ttl_seconds))
        seconds = timedelta(seconds=ttl_seconds)
    if seconds is None:
        return None
    milliseconds = round(seconds / timedelta(milliseconds=1))
    if not 1 <= milliseconds <= TTL_S_MAX * 1000:
        raise _ttl_out_of_bounds(field, f"{seconds.total_seconds():g}")
    return milliseconds


def _ttl_out_of_bounds(field: str, seconds: str) -> ValidationError:
    return ValidationError(
        f"{field}: {seconds} seconds is no time to live. It is more than 0, and at most {TTL_S_MAX} (ten years).",
        field=field,
    )


def check_answer_fields(value: object) -> tuple[str, ...]:
    """Which fields an answer may use."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or any(x not in ANSWER_FIELDS for x in value):
        raise ValidationError(
            f"allowed_responses: {shown(value)} is not a list of {', '.join(ANSWER_FIELDS)}.", field="allowed_responses"
        )
    return tuple(dict.fromkeys(value))


def encodable(text: str | None) -> bool:
    """Whether UTF-8 can hold this text."""
    return text is None or not any("\ud800" <= character <= "\udfff" for character in text)


def check_size(size_bytes: int, size_bytes_max: int, field: str) -> None:
    """The bound of one stored event."""
    if size_bytes > size_bytes_max:
        raise ValidationError(
            f"{field}: too large. As stored it has {size_bytes} bytes, the most is {size_bytes_max}. Store the bulk "
            "elsewhere and give its address.",
            field=field,
        )


def shown(value: object) -> str:
    """A value in an error message: short, on one line, and whatever the value does when it is asked for its text."""
    try:
        text = repr(value[: SHOWN_CHARS_MAX + 1] if isinstance(value, str) else value)
    except Exception:  # noqa: BLE001 - the value is a stranger's
        text = f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN_CHARS_MAX + 2 else text[:SHOWN_CHARS_MAX] + "…"
