"""Comparing the interrupts' own keys and deadlines, in one partition, with what the log says they should be."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interrupts.codec import STATUS_LETTER, PublishedLine, decode_entry
from interrupts.errors import CorruptLogError
from interrupts.events import Created, Event, Extended
from interrupts.model import InterruptStatus
from interrupts.scripts import script
from projections.counts import STATUS_AFTER
from projections.progress import Meter
from projections.store import Views
from projections.view_check import Difference, Differs, entries

STORED: Final = script("stored")
INTERRUPTS_AT_ONCE: Final = 100


_Different = tuple[str, str | None, str | None, str | None]
"""what, which part of it, what it should be, what it is"""


class _Should(msgspec.Struct):
    """What an interrupt's key should hold: its head, and the checksum of its lines. `enforced`: of its deadline."""

    head: str = ""
    lines: int = 0
    deadline_ms: int | None = None
    enforced: bool = True
    letter: str = STATUS_LETTER[InterruptStatus.PENDING]


class _Expected:
    """What the log says of the interrupts of a partition, up to some event."""

    def __init__(self, views: Views, partition: int) -> None:
        self._views = views
        self._partition = partition
        self.at = "0-0"
        self.should: dict[str, _Should] = {}

    async def to(self, goal: str, meter: Meter) -> None:
        """Goes on up to this event."""
        async for found in entries(self._views, self._partition, self.at, goal):
            for stream_id, fields in found:
                self._add(stream_id, fields)
            self.at = found[-1][0].decode()
            meter.add(len(found))

    def _add(self, stream_id: bytes, fields: list[bytes]) -> None:
        try:
            line = decode_entry(stream_id, fields)
        except CorruptLogError:
            return  # the views say so
        if isinstance(line, PublishedLine):
            return
        event = line.event
        should = self.should.setdefault(event.id, _Should())
        after = STATUS_AFTER.get(type(event))
        if after is not None:
            should.letter = STATUS_LETTER[after]
        if isinstance(event, Created):
            should.enforced = event.terms.auto_expire
        should.deadline_ms = None
        ttl_ms = _ttl_ms(event)
        if should.enforced and ttl_ms is not None:
            should.deadline_ms = line.ms + ttl_ms
        should.head = f"{event.version}{should.letter}{'' if should.deadline_ms is None else should.deadline_ms}"
        should.lines = zlib.crc32(stream_id + b" " + fields[3] + b"\n", should.lines)


def _ttl_ms(event: Event) -> int | None:
    """The time that it gives the interrupt from then on."""
    if isinstance(event, Created):
        return event.terms.ttl_ms
    return event.ttl_ms if isinstance(event, Extended) else None


async def check_interrupts(views: Views, partition: int, there: Iterable[str], meter: Meter, differs: Differs) -> int:
    """Compares all, those of the log and those whose keys are there; returns how many interrupts it looked at."""
    keys = views.keys
    begin, slot = keys.interrupts[partition], keys.slots[partition]
    expected = _Expected(views, partition)
    last = await views.server.command(slot, "XREVRANGE", keys.logs[partition], "+", "-", "COUNT", 1)
    await expected.to(last[0][0].decode() if last else "0-0", meter)
    names = expected.should.keys() | {name.removeprefix(begin) for name in there if name.startswith(begin)}
    kind = (await views.server.command(slot, "TYPE", keys.deadlines[partition])).decode()
    if kind not in ("zset", "none"):
        differs(
            Difference("deadlines", partition, "as a whole", None, "a zset", f"a {kind}", f"{partition}:{expected.at}")
        )
    cursor: Any = 0
    while kind == "zset":
        cursor, found = await views.server.command(slot, "ZSCAN", keys.deadlines[partition], cursor, "COUNT", 1_000)
        names.update(name.decode(errors="backslashreplace") for name in found[::2])
        if int(cursor) == 0:
            break
    ordered = sorted(names)
    for first in range(0, len(ordered), INTERRUPTS_AT_ONCE):
        ids = ordered[first : first + INTERRUPTS_AT_ONCE]
        reply = await views.server.read(
            STORED, slot, [keys.logs[partition], keys.deadlines[partition], *(begin + name for name in ids)], ids
        )
        await expected.to(reply[0].decode(), meter)
        position = f"{partition}:{expected.at}"
        for name, text, deadline in zip(ids, reply[1::2], reply[2::2], strict=True):
            should = expected.should.get(name)
            for what, member, wanted, found in _differing(should, text, deadline):
                differs(Difference(what, partition, name, member, wanted, found, position))
    return len(ordered)


def _differing(
    should: _Should | None, text: Any, deadline: Any
) -> Iterable[tuple[str, str | None, str | None, str | None]]:
    """What is different, in which part, what it should be, and what it is."""
    head: str | None
    if isinstance(text, Exception):
        head, rest = f"a key that can't be read ({text})", b""
    else:
        first, _, rest = (text or b"").partition(b"\n")
        head = None if text is None else first.decode(errors="backslashreplace")
    lines = zlib.crc32(rest)
    if head != (should.head if should else None):
        yield "interrupt", "head", should.head if should else None, head
    elif should is not None and lines != should.lines:
        yield "interrupt", "events", f"checksum {should.lines:08x}", f"checksum {lines:08x}"
    wanted = None if should is None or should.deadline_ms is None else f"{should.deadline_ms}"
    there = None if deadline is None else f"can't be read ({deadline})"
    if isinstance(deadline, bytes):
        there = f"{float(deadline):.0f}"
    if wanted != there:
        yield "deadline", None, wanted, there
