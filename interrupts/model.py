"""What an interrupt is, as callers see it: kinds, statuses, the interrupt and the answer to it.

The structs are made, compared and printed like dataclasses. `to_dict` and `from_dict`, and `to_db_row` and
`from_db_row`, are exact inverses of each other. They hold JSON, which has no cycles, and so are left out of the garbage
collector's rounds: under load it would go round for them all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timezone
from enum import Enum
from typing import Any, Final, TypeVar

import msgspec

from interrupts.errors import ValidationError

OLD_NAME: Final = "critic_review"


class InterruptKind(str, Enum):  # noqa: UP042 - the contract's bases; StrEnum prints differently
    """Why something pauses."""

    CLARIFICATION = "clarification"
    CONFIRMATION = "confirmation"
    AGENT_REVIEW = "agent_review"
    CHECKPOINT = "checkpoint"
    RESOURCE_EXHAUSTED = "resource_exhausted"
    TIMEOUT = "timeout"
    SYSTEM_ERROR = "system_error"

    __hash__ = str.__hash__  # equal to its name, so hashed like it; and several times faster than an Enum's own

    @classmethod
    def _missing_(cls, value: object) -> InterruptKind | None:
        """The old name of `agent_review` is read and never written."""
        return cls.AGENT_REVIEW if value == OLD_NAME else None


class InterruptStatus(str, Enum):  # noqa: UP042 - as above
    """Where an interrupt is in its life. All but `pending` are final."""

    PENDING = "pending"
    RESOLVED = "resolved"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    __hash__ = str.__hash__  # as above


class InterruptResponse(msgspec.Struct, omit_defaults=True, gc=False):
    """An answer. `data` may be absent or an empty dict; both are kept as given."""

    text: str | None = None
    approved: bool | None = None
    decision: str | None = None
    data: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields that were set, as JSON can hold them."""
        return {name: deepcopy(value) for name, value in fields_of(self) if value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> InterruptResponse:
        """The inverse of `to_dict`; unknown keys are ignored. Refuses fields of a wrong type by name."""
        return _convert(data, cls, "response")


def utc_now() -> datetime:
    """The default of `created_at` for an interrupt made by hand; what the store returns carries the server's time."""
    return datetime.now(UTC)


class FlowInterrupt(msgspec.Struct, gc=False):
    """One interrupt as it is now.

    From `version` on the fields go beyond the contract: `version` counts the interrupt's events, `position` is the
    place of the last one in the log, `resolved_by`, `reason` and `response` tell how it ended.
    """

    id: str
    kind: InterruptKind
    request_id: str
    user_id: str
    session_id: str
    envelope_id: str | None = None
    question: str | None = None
    message: str | None = None
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    response: InterruptResponse | None = None
    status: InterruptStatus = InterruptStatus.PENDING
    created_at: datetime = msgspec.field(default_factory=utc_now)
    expires_at: datetime | None = None
    resolved_at: datetime | None = None
    trace_id: str | None = None
    span_id: str | None = None
    version: int = 0
    position: str | None = None
    resolved_by: str | None = None
    reason: str | None = None
    allowed_responses: list[str] = msgspec.field(default_factory=list)
    response_schema: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        # A named zone is kept as its offset: two times of a clock change could not be told apart otherwise.
        if isinstance(self.created_at, datetime) and type(self.created_at.tzinfo) is not timezone:
            self.created_at = _with_offset(self.created_at)
        if self.expires_at is not None and type(self.expires_at.tzinfo) is not timezone:
            self.expires_at = _with_offset(self.expires_at)
        if self.resolved_at is not None and type(self.resolved_at.tzinfo) is not timezone:
            self.resolved_at = _with_offset(self.resolved_at)

    @property
    def is_pending(self) -> bool:
        """Whether an answer can still come."""
        return self.status is InterruptStatus.PENDING

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON can hold it: times in ISO 8601 with their offset, kind and status by value."""
        return {name: _plain(value) for name, value in fields_of(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FlowInterrupt:
        """The inverse of `to_dict`; unknown keys are ignored. Refuses missing or wrong fields by name."""
        return _read(cls, data, dict.fromkeys(_TIMES, _time_from))

    def to_db_row(self) -> dict[str, Any]:
        """Every field as a column: times as datetimes, nested values as JSON text."""
        row = dict(fields_of(self))
        row["kind"], row["status"] = _plain(self.kind), _plain(self.status)
        for name in _JSON_COLUMNS:
            value = row[name]
            row[name] = None if value is None else msgspec.json.encode(value).decode()
        if self.response is not None:
            row["response"] = msgspec.json.encode(self.response.to_dict()).decode()
        return row

    @classmethod
    def from_db_row(cls, row: Mapping[str, Any]) -> FlowInterrupt:
        """The inverse of `to_db_row`. Times and JSON may come as text or already read by the driver."""
        readers = dict.fromkeys(_TIMES, _time_from) | dict.fromkeys(_JSON_COLUMNS, _json_from)
        return _read(cls, row, readers)


S = TypeVar("S")
_TIMES: Final = ("created_at", "expires_at", "resolved_at")
_JSON_COLUMNS: Final = ("data", "response", "allowed_responses", "response_schema")


def fields_of(struct: msgspec.Struct) -> list[tuple[str, Any]]:
    """A struct's fields in order, with their values."""
    return [(name, getattr(struct, name)) for name in struct.__struct_fields__]


def _with_offset(time: datetime) -> datetime:
    offset = time.utcoffset()
    return time if offset is None else time.replace(tzinfo=timezone(offset), fold=0)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, InterruptResponse):
        return value.to_dict()
    return deepcopy(value)


def _time_from(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValidationError(f"{name}: {value[:64]!r} is not a time in ISO 8601", field=name) from None


def _json_from(name: str, value: Any) -> Any:
    if not isinstance(value, str | bytes):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValidationError(f"{name}: not readable as JSON ({error})", field=name) from None


def _read(
    cls: type[FlowInterrupt], source: Mapping[str, Any], readers: Mapping[str, Callable[[str, Any], Any]]
) -> FlowInterrupt:
    if not isinstance(source, Mapping):
        raise ValidationError(f"an interrupt is read from a dict, not from {type(source).__name__}", field="data")
    known = {name: source[name] for name in cls.__struct_fields__ if name in source}
    for name, reader in readers.items():
        if known.get(name) is not None:
            known[name] = reader(name, known[name])
    return _convert(known, cls, None)


def _convert(source: Mapping[str, Any], cls: type[S], field: str | None) -> S:
    try:
        return deepcopy(msgspec.convert(source, cls))
    except msgspec.ValidationError as error:
        message = str(error)
        path = message.rpartition("`$")[2].strip("`.") if "`$" in message else field
        if path is None and "required field" in message:
            path = message.partition("`")[2].partition("`")[0]
        raise ValidationError(f"{path or field or cls.__name__}: {message}", field=path or field) from None
