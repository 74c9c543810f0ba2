"""What callers may send: each refusal names its field, and comes before anything is written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from interrupts.codec import decode_created_content, decode_resolved_content, encode
from interrupts.errors import ValidationError
from interrupts.events import CreatedContent, ResolvedContent
from interrupts.limits import ID_CHARS_MAX, NESTING_MAX, TTL_S_MAX
from interrupts.model import InterruptKind, InterruptResponse

ANSWER_FIELDS: Final = ("text", "approved", "decision", "data")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_KINDS: Final = ", ".join(kind.value for kind in InterruptKind)
_SHOWN_CHARS_MAX: Final = 64
_CONTENT_FAULTS: Final = (
    TypeError,
    ValueError,
    OverflowError,
    RecursionError,
    UnicodeEncodeError,
    msgspec.MsgspecError,
)


def check_id(field: str, value: object) -> str:
    """An id of the caller's own: some text, not too long, without control characters."""
    if type(value) is str and value and len(value) <= ID_CHARS_MAX and value.isprintable():
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
    try:
        return InterruptKind(value)
    except ValueError:
        raise ValidationError(f"kind: {shown(value)} is not a kind. There are {_KINDS}.", field="kind") from None


def check_text(field: str, value: object) -> str | None:
    """A text that people read, or None."""
    if value is None or isinstance(value, str):
        return value
    raise ValidationError(f"{field}: must be text, not {type(value).__name__}.", field=field)


def check_flag(field: str, value: object) -> bool | None:
    """True, False, or None for the default."""
    if value is None or isinstance(value, bool):
        return value
    raise ValidationError(f"{field}: must be True or False, not {shown(value)}.", field=field)


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
        if isinstance(ttl_seconds, bool) or not isinstance(ttl_seconds, int | float) or not math.isfinite(ttl_seconds):
            raise ValidationError(f"ttl_seconds: {shown(ttl_seconds)} is not a number of seconds.", field=field)
        if abs(ttl_seconds) > TTL_S_MAX:
            raise _ttl_out_of_bounds(field, ttl_seconds)
        seconds = timedelta(seconds=ttl_seconds)
    if seconds is None:
        return None
    milliseconds = round(seconds / timedelta(milliseconds=1))
    if not 1 <= milliseconds <= TTL_S_MAX * 1000:
        raise _ttl_out_of_bounds(field, seconds.total_seconds())
    return milliseconds


def _ttl_out_of_bounds(field: str, seconds: float) -> ValidationError:
    return ValidationError(
        f"{field}: {seconds:g} seconds is no time to live. It is more than 0, and at most {TTL_S_MAX} (ten years).",
        field=field,
    )


def check_answer_fields(value: object) -> tuple[str, ...]:
    """Which fields an answer may use."""
    if isinstance(value, str) or not isinstance(value, Sequence) or any(name not in ANSWER_FIELDS for name in value):
        raise ValidationError(
            f"allowed_responses: {shown(value)} is not a list of {', '.join(ANSWER_FIELDS)}.", field="allowed_responses"
        )
    return tuple(dict.fromkeys(value))


def created_content(question: str | None, message: str | None, data: object) -> tuple[msgspec.Raw, CreatedContent]:
    """What will be stored, encoded, and what a reader of it will see: a copy that shares nothing with the caller."""
    if data is None:
        data = {}
    elif type(data) is not dict:
        raise ValidationError(f"data: must be a dict, not {type(data).__name__}.", field="data")
    try:
        raw = encode(CreatedContent(question, message, data))
        read_back = decode_created_content(raw)
    except _CONTENT_FAULTS as error:
        raise _unstorable(error, {"question": question, "message": message}, "data", data) from None
    if data != read_back.data or _nested_deeply(raw):
        check_json("data", data)
    return msgspec.Raw(raw), read_back


def resolved_content(response: object) -> tuple[msgspec.Raw, InterruptResponse]:
    """Like `created_content`, for an answer."""
    if not isinstance(response, InterruptResponse):
        raise ValidationError(
            f"response: must be an InterruptResponse, not {type(response).__name__}.", field="response"
        )
    try:
        raw = encode(ResolvedContent(response))
        read_back = decode_resolved_content(raw).response
    except _CONTENT_FAULTS as error:
        _check_types(response)
        texts = {"response.text": response.text, "response.decision": response.decision}
        raise _unstorable(error, texts, "response.data", response.data) from None
    if response != read_back or _nested_deeply(raw):
        _check_types(response)
        check_json("response.data", response.data)
    return msgspec.Raw(raw), read_back


def _check_types(response: InterruptResponse) -> None:
    for field, wanted in (("text", str), ("approved", bool), ("decision", str), ("data", dict)):
        value = getattr(response, field)
        if value is not None and not isinstance(value, wanted):
            raise ValidationError(
                f"response.{field}: must be {wanted.__name__} or None, not {type(value).__name__}.",
                field=f"response.{field}",
            )


def _unstorable(error: Exception, texts: dict[str, str | None], data_field: str, data: object) -> ValidationError:
    """Why JSON can't hold this: the field by name."""
    for field, text in texts.items():
        if not _encodable(text):
            return ValidationError(f"{field}: has broken text in it (lone surrogates).", field=field)
    try:
        check_json(data_field, data)
    except ValidationError as found:
        return found
    return ValidationError(f"{data_field}: JSON can't hold it ({error}).", field=data_field)


def _nested_deeply(raw: bytes) -> bool:
    """Whether this JSON might be nested too deeply: a quick look that spares the slow one."""
    return raw.count(b"{") > NESTING_MAX // 2 or raw.count(b"[") > NESTING_MAX // 2


def _encodable(text: str | None) -> bool:
    return text is None or not any("\ud800" <= character <= "\udfff" for character in text)


def check_json(path: str, value: object) -> None:
    """Refuses, by its path, the first thing that JSON can't give back as it was, or that is nested too deeply."""
    _check_json(path, value, 0)


def _check_json(path: str, value: object, depth: int) -> None:
    # A tuple comes back as a list, which is close enough to let it pass.
    field = re.split(r"[\[.](?!data)", path)[0] if not path.startswith("response.") else "response.data"
    if depth > NESTING_MAX:
        raise ValidationError(f"{field}: is nested deeper than {NESTING_MAX} levels.", field=field)
    match value:
        case None | bool():
            return
        case str() if not _encodable(value):
            problem = "broken text (lone surrogates)"
        case str() if type(value) is str:
            return
        case int() if type(value) is int:
            return
        case float() if math.isfinite(value):
            return
        case float():
            problem = f"{value}"
        case dict():
            for key, item in value.items():
                if type(key) is not str:
                    raise ValidationError(f"{path}: has the key {shown(key)}, and keys must be text.", field=field)
                _check_json(f"{path}.{key[:_SHOWN_CHARS_MAX]}", item, depth + 1)
            return
        case list() | tuple():
            for index, item in enumerate(value):
                _check_json(f"{path}[{index}]", item, depth + 1)
            return
        case _:
            problem = f"a {type(value).__name__}"
    raise ValidationError(f"{path}: JSON can't hold {problem}.", field=field)


def check_size(size_bytes: int, size_bytes_max: int, field: str) -> None:
    """The bound of one stored event."""
    if size_bytes > size_bytes_max:
        raise ValidationError(
            f"{field}: too large. As stored it has {size_bytes} bytes, the most is {size_bytes_max}. Store the bulk "
            "elsewhere and give its address.",
            field=field,
        )


def shown(value: object) -> str:
    """A value in an error message: short, and on one line."""
    text = repr(value) if not isinstance(value, str) else repr(value[: _SHOWN_CHARS_MAX + 1])
    return text if len(text) <= _SHOWN_CHARS_MAX + 2 else text[:_SHOWN_CHARS_MAX] + "…"
