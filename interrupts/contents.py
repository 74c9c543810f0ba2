"""What people write, checked and encoded: it is stored only if JSON gives it back as it was."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from interrupts.checks import SHOWN_CHARS_MAX, encodable, shown
from interrupts.codec import decode_created_content, decode_resolved_content, encode
from interrupts.errors import ValidationError
from interrupts.events import CreatedContent, ResolvedContent
from interrupts.limits import INT_BITS_MAX, NESTING_MAX
from interrupts.model import InterruptResponse

_CONTENT_FAULTS: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


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


def published_content(data: object) -> msgspec.Raw:
    """What is published, encoded."""
    if type(data) is not dict:
        raise ValidationError(f"data: must be a dict, not {type(data).__name__}.", field="data")
    check_json("data", data)
    return msgspec.Raw(encode(data))


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
        if not encodable(text):
            return ValidationError(f"{field}: has broken text in it (lone surrogates).", field=field)
    try:
        check_json(data_field, data)
    except ValidationError as found:
        return found
    return ValidationError(f"{data_field}: JSON can't hold it ({error}).", field=data_field)


def _nested_deeply(raw: bytes) -> bool:
    """Whether this JSON might be nested too deeply: a quick look that spares the slow one."""
    return raw.count(b"{") > NESTING_MAX // 2 or raw.count(b"[") > NESTING_MAX // 2


def check_json(field: str, value: object) -> None:
    """Refuses, by its path, the first thing that JSON can't give back as it was, or that is nested too deeply."""
    _check_json(field, field, value, 0)


def _check_json(field: str, path: str, value: object, depth: int) -> None:
    # A tuple comes back as a list, which is close enough to let it pass.
    if depth > NESTING_MAX:
        raise ValidationError(f"{field}: is nested deeper than {NESTING_MAX} levels.", field=field)
    match value:
        case None | bool():
            return
        case str() if not encodable(value):
            problem = "broken text (lone surrogates)"
        case str() if type(value) is str:
            return
        case int() if type(value) is int and value.bit_length() <= INT_BITS_MAX:
            return
        case int() if type(value) is int:
            problem = f"a whole number of {value.bit_length()} bits"
        case float() if math.isfinite(value):
            return
        case float():
            problem = f"{value}"
        case dict():
            for key, item in value.items():
                if type(key) is not str:
                    raise ValidationError(f"{path}: has the key {shown(key)}, and keys must be text.", field=field)
                _check_json(field, f"{path}.{key[:SHOWN_CHARS_MAX]}", item, depth + 1)
            return
        case list() | tuple():
            for index, item in enumerate(value):
                _check_json(field, f"{path}[{index}]", item, depth + 1)
            return
        case _:
            problem = f"a {type(value).__name__}"
    raise ValidationError(f"{path}: JSON can't hold {problem}.", field=field)
