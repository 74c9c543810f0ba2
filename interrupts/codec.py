"""Between events and bytes: the one place that knows how things are stored.

An interrupt's key holds one packed string, a line for its head and a line for each of its events:

    <version> <status> <deadline in ms, where one is enforced>\\n
    <stream id> <sequence> <event as JSON>\\n
    …

JSON never contains a raw line break, so lines can be split blindly. An entry of the log has two fields, `s` (the
sequence number) and `e` (the event).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from interrupts.errors import CorruptLogError
from interrupts.events import AnyEvent, CancelledContent, CreatedContent, ResolvedContent

FIELD_SEQUENCE: Final = "s"
FIELD_EVENT: Final = "e"

Upcaster = Callable[[list[Any]], list[Any]]
UPCASTERS: Final[dict[str, Upcaster]] = {}
"""Old tag → how its array becomes that of a younger tag. They run one after the other up to a current tag."""
_UPCASTS_MAX: Final = 100

_encoder: Final = msgspec.json.Encoder()
encode: Final = _encoder.encode
_decode_event: Final[Callable[[bytes], AnyEvent]] = msgspec.json.Decoder(AnyEvent).decode
decode_created_content: Final = msgspec.json.Decoder(CreatedContent).decode
decode_resolved_content: Final = msgspec.json.Decoder(ResolvedContent).decode
decode_cancelled_content: Final = msgspec.json.Decoder(CancelledContent).decode


class Line(msgspec.Struct, frozen=True, gc=False):
    """One event with its place: the stream id, its milliseconds, the sequence number."""

    stream_id: str
    ms: int
    sequence: int
    event: AnyEvent


def decode_event(raw: bytes) -> AnyEvent:
    """The event in these bytes, of whatever age. Refuses what no version of this library has written."""
    try:
        return _decode_event(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _decode_old_event(raw, error)


def _decode_old_event(raw: bytes, error: Exception) -> AnyEvent:
    try:
        fields = msgspec.json.decode(raw)
        for _ in range(_UPCASTS_MAX):
            upcaster = UPCASTERS.get(fields[0])
            if upcaster is None:
                break
            fields = upcaster(fields)
            if fields[0] not in UPCASTERS:
                return _decode_event(encode(fields))
        tag = repr(fields[0])[:64]
    except Exception as second:  # noqa: BLE001 - whatever is wrong with the bytes, they can't be read
        error, tag = second, "?"
    raise CorruptLogError(
        f"An event of type {tag} can't be read ({error}). It was written by a newer version of this library, or is "
        "damaged. Nothing was changed; update the library, or look at the entry with XRANGE."
    ) from error


def decode_entry(stream_id: bytes, fields: list[bytes]) -> Line:
    """One entry of the log, as XRANGE and XREAD return it."""
    if len(fields) == 4 and fields[0] == b"s" and fields[2] == b"e":
        return _line(stream_id, fields[1], fields[3])
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    try:
        return _line(stream_id, named[b"s"], named[b"e"])
    except KeyError as error:
        raise CorruptLogError(f"The entry {stream_id!r} of the log has no field {error}: not written by us.") from error


def decode_lines(packed: bytes) -> list[Line]:
    """The events in an interrupt's key, oldest first."""
    lines = packed.split(b"\n")
    return [_line(*line.split(b" ", 2)) for line in lines[1:-1]]


def _line(stream_id: bytes, sequence: bytes, raw: bytes) -> Line:
    text = stream_id.decode()
    return Line(text, int(text[: text.index("-")]), int(sequence), decode_event(raw))
