"""Whether an answer fits the JSON Schema that its interrupt asks for.

The schema describes `data`. Where it names `text`, `approved` or `decision` (among its `properties` or `required`),
these fields of the answer are checked along with it, so that

    {"required": ["text"], "properties": {"text": {"maxLength": 40}}}

bounds a free text. A schema is compiled once and kept. Its patterns run in linear time, and nothing is ever fetched.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from msgspec.json import decode

from interrupts.checks import check_size, shown
from interrupts.codec import encode
from interrupts.contents import check_json
from interrupts.errors import UnsuitableServerError, ValidationError
from interrupts.limits import PAYLOAD_BYTES_MAX, SCHEMAS_CACHED_MAX
from interrupts.model import InterruptResponse

jsonschema_rs: Any
try:
    import jsonschema_rs
except ModuleNotFoundError:  # the extra is not installed; check_schema says so where it is needed
    jsonschema_rs = None

_SCALARS: Final = ("text", "approved", "decision")
_PROBLEMS_SHOWN_MAX: Final = 5
_compiled: OrderedDict[bytes, Any] = OrderedDict()


def check_schema(schema: object) -> dict[str, Any] | None:
    """A schema that answers can be checked against, or None. Refuses one that is none, and one without the library."""
    if schema is None:
        return None
    if not isinstance(schema, dict):
        raise ValidationError(
            f"response_schema: must be a dict with a JSON Schema, not {type(schema).__name__}.", field="response_schema"
        )
    if jsonschema_rs is None:
        raise ValidationError(
            "response_schema: checking it needs a library that is not installed: pip install 'interrupts[schema]'.",
            field="response_schema",
        )
    check_json("response_schema", schema)
    stored = encode(schema)
    check_size(len(stored), PAYLOAD_BYTES_MAX, "response_schema")
    _compile(schema)
    copy: dict[str, Any] = decode(stored)
    return copy


def fits_schema(schema: dict[str, Any], response: InterruptResponse) -> None:
    """Raises a `ValidationError` that names the part that does not fit."""
    if jsonschema_rs is None:
        raise UnsuitableServerError(
            "This interrupt asks for an answer that fits a JSON Schema, and the library that checks it is not "
            "installed in this process: pip install 'interrupts[schema]'. Nothing was changed; it still waits."
        )
    named = {*schema.get("properties", {}), *schema.get("required", ())}
    answer: dict[str, Any] = dict(response.data or {})
    for field in _SCALARS:
        value = getattr(response, field)
        if field in named and value is not None:
            answer[field] = value
    problems = [
        (".".join(str(part) for part in error.instance_path), error.message)
        for error, _ in zip(_compile(schema).iter_errors(answer), range(_PROBLEMS_SHOWN_MAX), strict=False)
    ]
    if not problems:
        return
    first = problems[0][0].partition(".")[0]
    inside = first in _SCALARS and getattr(response, first) is not None
    field = f"response.{first}" if inside else "response.data" + (f".{problems[0][0]}" if problems[0][0] else "")
    said = "; ".join(f"{path or 'the whole'}: {message}" for path, message in problems)
    raise ValidationError(
        f"{field}: does not fit the response schema. {said[:1000]}. Nothing was changed; it still waits.", field=field
    )


def _compile(schema: dict[str, Any]) -> Any:
    name = encode(schema)
    compiled = _compiled.get(name)
    if compiled is None:
        try:
            compiled = jsonschema_rs.validator_for(
                name.decode(), offline=True, pattern_options=jsonschema_rs.RegexOptions()
            )
        except ValueError as error:
            problem = getattr(error, "message", str(error))
            raise ValidationError(
                f"response_schema: not a JSON Schema that can be used: {shown(problem)}.", field="response_schema"
            ) from None
        _compiled[name] = compiled
        while len(_compiled) > SCHEMAS_CACHED_MAX:
            _compiled.popitem(last=False)
    else:
        _compiled.move_to_end(name)
    return compiled
