"""Text that others have written, made safe to print; times and spans in words. Pure.

Whoever creates an interrupt writes its question, and whoever looks at it sits at a terminal, which obeys control
characters. So nothing from the store is printed that has not gone through here.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

_BREAKS: Final = re.compile("[\t\r\n\v\f\x85\u2028\u2029]+")
# Control characters, which begin terminal sequences; marks that turn the direction of writing round, behind which a
# text can look like another one; and halves of characters, which can't be written at all.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# JSON escapes the first 32 itself; line breaks are the layout's.
_UNSAFE_IN_JSON: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def plain(text: str) -> str:
    """A text on one line, without anything that a terminal would act on."""
    return _UNSAFE.sub("", _BREAKS.sub(" ", text))


def plain_lines(text: str) -> list[str]:
    """The same, line by line."""
    return [plain(line) for line in text.splitlines()]


def json_text(value: object, *, indent: int = 0) -> str:
    """A value as JSON that is safe to print, and reads back as exactly what it was."""
    encoded = msgspec.json.encode(value)
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    # JSON escapes the first 32 itself, so what is left stands within a string, where an escape says the same.
    return "".join(f"\\u{ord(each):04x}" if each != "\n" and _UNSAFE.match(each) else each for each in text)


def moment(at: datetime) -> str:
    """A time in UTC, to the millisecond: 2026-11-20T21:51:01.492Z."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def span(seconds: float) -> str:
    """How long, in the two largest units: 45 ms, 2.5 s, 3 min 20 s, 4 h 5 min."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    smaller = {"d": (3_600, "h"), "h": (60, "min"), "min": (1, "s")}
    size, unit = next((size, unit) for size, unit in _UNITS if seconds >= size)
    small, name = smaller[unit]
    rest = int(seconds % size // small)
    return f"{int(seconds // size):,} {unit}" + (f" {rest} {name}" if rest else "")


def left(until: datetime | None, now: datetime) -> str:
    """How long is left until a deadline."""
    if until is None:
        return "no deadline"
    seconds = (until - now).total_seconds()
    return f"{span(seconds)} left" if seconds > 0 else f"{span(-seconds)} over"


def counted(number: int, what: str) -> str:
    """So many of them: 1 event, 2,000 events."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def content_text(content: dict[str, Any]) -> str:
    """What people wrote, as JSON on one line; nothing for nothing."""
    return json_text(content) if content else ""
