"""Between events and bytes: the one place that knows how things are stored.

An interrupt's key holds one packed string, a line for its head and a line for each of its events, oldest first:

    <version><letter of the status><deadline in ms, where one is enforced>
    <stream id> <event as JSON>

The letters are p(ending), r(esolved), c(ancelled) and x (expired). Each line ends with a line break, and JSON never
contains a raw one, so lines can be split blindly. It is short because every pending interrupt is in memory twice, here
and in the log. An entry of the log has two fields, `s` (its number in the partition) and `e` (the event).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from interrupts.errors import CorruptLogError
from interrupts.events import AnyEvent, CancelledContent, CreatedContent, LogEvent, Published, ResolvedContent
from interrupts.model import InterruptStatus

Upcaster = Callable[[list[Any]], list[Any]]
UPCASTERS: Final[dict[str, Upcaster]] = {}
"""Old tag → how its array becomes that of a younger tag. They run one after the other up to a current tag."""
_UPCASTS_MAX: Final = 100

_encoder: Final = msgspec.json.Encoder()
encode: Final = _encoder.encode
encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode
"""Equal for equal values, whatever the order of their keys."""
_decode_event: Final[Callable[[bytes], LogEvent]] = msgspec.json.Decoder(LogEvent).decode
decode_created_content: Final = msgspec.json.Decoder(CreatedContent).decode
decode_resolved_content: Final = msgspec.json.Decoder(ResolvedContent).decode
STATUS_LETTER: Final = {
    InterruptStatus.PENDING: "p",
    InterruptStatus.RESOLVED: "r",
    InterruptStatus.CANCELLED: "c",
    InterruptStatus.EXPIRED: "x",
}

decode_cancelled_content: Final = msgspec.json.Decoder(CancelledContent).decode


class Line(msgspec.Struct, frozen=True, gc=False):
    """One event of an interrupt with its place: the stream id, its milliseconds and, if read from the log, its number
    there."""

    stream_id: str
    ms: int
    event: AnyEvent
    sequence: int | None = None


class PublishedLine(msgspec.Struct, frozen=True, gc=False):
    """Something that was published, with its place."""

    stream_id: str
    ms: int
    event: Published
    sequence: int | None = None


LogLine = Line | PublishedLine
"""An event of the log with its place."""


def decode_event(raw: bytes) -> LogEvent:
    """The event in these bytes, of whatever age. Refuses what no version of this library has written."""
    try:
        return _decode_event(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _decode_old_event(raw, error)


def _decode_old_event(raw: bytes, error: Exception) -> LogEvent:
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


def decode_entry(stream_id: bytes, fields: list[bytes]) -> LogLine:
    """One entry of the log, as XRANGE and XREAD return it."""
    try:
        if len(fields) == 4 and fields[0] == b"s" and fields[2] == b"e":
            return _line(stream_id, fields[3], int(fields[1]))
        named = dict(zip(fields[::2], fields[1::2], strict=False))
        return _line(stream_id, named[b"e"], int(named[b"s"]))
    except (KeyError, ValueError) as error:
        raise CorruptLogError(f"The entry {stream_id!r} of the log can't be read ({error!r}): not ours.") from error


def decode_only(packed: bytes) -> tuple[str, int, AnyEvent] | None:
    """The one event in an interrupt's key, with its stream id and milliseconds; None if there are more.

    Nearly always there is one, and this is twice as quick as to take the lines apart.
    """
    try:
        start = packed.index(b"\n") + 1
        if packed.index(b"\n", start) != len(packed) - 1:
            return None
        space = packed.index(b" ", start)
        ms = int(packed[start : packed.index(b"-", start)])
        return packed[start:space].decode(), ms, _of_interrupt(decode_event(packed[space + 1 : -1]))
    except ValueError as error:
        raise _damaged(error) from error


def decode_lines(packed: bytes) -> list[Line]:
    """The events in an interrupt's key, oldest first."""
    try:
        lines = [line.partition(b" ") for line in packed.split(b"\n")[1:-1]]
        return [
            Line(stream_id.decode(), int(stream_id.partition(b"-")[0]), _of_interrupt(decode_event(raw)))
            for stream_id, _, raw in lines
        ]
    except ValueError as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> CorruptLogError:
    return CorruptLogError(f"An interrupt's key can't be read ({error}): not written by us, or damaged.")


def _of_interrupt(event: LogEvent) -> AnyEvent:
    if isinstance(event, Published):
        raise CorruptLogError(f"An interrupt's key holds an event that was published ({event.name[:64]}).")
    return event


def _line(stream_id: bytes, raw: bytes, sequence: int) -> LogLine:
    event, ms = decode_event(raw), int(stream_id.partition(b"-")[0])
    if isinstance(event, Published):
        return PublishedLine(stream_id.decode(), ms, event, sequence)
    return Line(stream_id.decode(), ms, event, sequence)
