"""What an event of the log is to an endpoint: its name there, whose it is, and the body that is sent.

A body is JSON: `type`, `timestamp`, `position`, for an interrupt its `version`, and `data`. Of an interrupt's event the
data are the whole interrupt as it was after this event; of what was published they are what was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import msgspec

from interrupts import InterruptService
from interrupts.codec import Line, decode_event, decode_lines
from interrupts.config import WEBHOOK_EVENT_OF_KIND
from interrupts.errors import CorruptLogError
from interrupts.event_names import OWN_DOMAIN, matches
from interrupts.events import (
    Acknowledged,
    AnyEvent,
    Cancelled,
    Created,
    Delivered,
    Expired,
    Extended,
    LogEvent,
    Published,
    Resolved,
    tag_of,
)
from interrupts.evolve import State, evolve
from interrupts.positions import time_of
from interrupts.store.log import Read
from interrupts.views import place_of
from workers.webhooks.scopes import Scope

TEST_EVENT: Final = "webhook.endpoint.test"
"""The event that goes to the one endpoint that it names, whatever that subscribes to."""
EVENTS: Final = (
    *WEBHOOK_EVENT_OF_KIND.values(),
    *(str(closing.__struct_config__.tag) for closing in (Resolved, Cancelled, Expired)),
)
"""What endpoints are told of interrupts."""
_NOT_TOLD: Final = (Delivered, Acknowledged, Extended)
"""Events of interrupts that are none of the contract's ten."""


class _Body(msgspec.Struct, gc=False, frozen=True, omit_defaults=True, kw_only=True):
    type: str
    timestamp: datetime
    position: str
    version: int = 0
    request_id: str = ""
    session_id: str = ""
    data: Any


class Told(msgspec.Struct, gc=False, frozen=True):
    """An event as endpoints are told of it. `place`: its stream id, to compare; `only`: the one endpoint that it is
    for, if there is one."""

    name: str
    partition: int
    stream_id: str
    place: tuple[int, int]
    event: LogEvent
    scopes: tuple[Scope, ...]
    only: str | None = None

    @property
    def position(self) -> str:
        """Its place in the log."""
        return f"{self.partition}:{self.stream_id}"


def told_of(partition: int, stream_id: str, raw: bytes) -> Told | None:
    """An event of the log; None if endpoints are not told of its sort. Raises `CorruptLogError`."""
    event = decode_event(raw)
    if isinstance(event, _NOT_TOLD):
        return None
    place = place_of(stream_id)
    scopes = tuple(
        Scope(sort, own)
        for sort, own in (("request", event.request_id), ("session", event.session_id), ("user", event.user_id))
        if own
    )
    if isinstance(event, Published):
        only = None
        if event.name == TEST_EVENT:
            only = _named_in(event)
        return Told(event.name, partition, stream_id, place, event, scopes, only)
    name = tag_of(event)
    if isinstance(event, Created):
        name = event.terms.webhook_event or WEBHOOK_EVENT_OF_KIND[event.kind]
    return Told(name, partition, stream_id, place, event, scopes)


def is_unheard_of(pattern: str) -> bool:
    """Whether it names an event of interrupts that there is not, as far as that is known."""
    return pattern.startswith(f"{OWN_DOMAIN}.") and not any(matches(pattern, name) for name in EVENTS)


def delivery_id(position: str, hook: str) -> str:
    """The id of the delivery of an event to an endpoint: the same one however often it is sent."""
    return f"{position.replace(':', '-')}-{hook}"


def parse_delivery_id(text: str) -> tuple[int, str, str] | None:
    """Partition, stream id and endpoint of a delivery id; None if it can't be one."""
    parts = text.split("-", 3)
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) < 20 for part in parts[:3]):
        return None
    return int(parts[0]), f"{parts[1]}-{parts[2]}", parts[3]


async def bodies(service: InterruptService, told: Sequence[Told]) -> list[bytes]:
    """What is sent of each of these. Raises `UnavailableError`."""
    asked = {
        id(one): service.store.read(one.event.id) for one in told if not isinstance(one.event, Created | Published)
    }
    read = dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))
    return [_body(one, read.get(id(one))) for one in told]


def name_in(body: bytes) -> str:
    """The event's name in what is stored to be sent: it is there in front, as a JSON text."""
    try:
        return str(msgspec.json.decode(body))
    except msgspec.MsgspecError:
        return ""


def packed(name: str, body: bytes) -> bytes:
    """How a body is stored: the event's name in a line of its own, so that lists need not look further."""
    return msgspec.json.encode(name) + b"\n" + body


def unpacked(stored: bytes) -> tuple[str, bytes]:
    """The inverse of `packed`."""
    name, _, body = stored.partition(b"\n")
    return name_in(name), body


def _body(told: Told, read: Read | None) -> bytes:
    event = told.event
    at, position = time_of(told.place[0]), told.position
    if isinstance(event, Published):
        # Where no session was named, it stands for whose order the event keeps.
        session_id = "" if event.session_id in (event.name, event.request_id) else event.session_id
        body = _Body(
            type=told.name,
            timestamp=at,
            position=position,
            request_id=event.request_id,
            session_id=session_id,
            data=event.content,
        )
        return msgspec.json.encode(body)
    data: Any = None
    with suppress(CorruptLogError, msgspec.MsgspecError):  # what is not as it was is told from the event alone
        if isinstance(event, Created):
            data = evolve(None, Line(told.stream_id, told.place[0], event), told.partition).interrupt
        elif read is not None and read.there is not None:
            data = _then(read.there, told, event)
    if data is None:
        data = {
            "id": event.id,
            "kind": event.kind,
            "request_id": event.request_id,
            "user_id": event.user_id,
            "session_id": event.session_id,
            "resolved_by": event.about.actor,
            "said": event.content,
        }
    return msgspec.json.encode(_Body(type=told.name, timestamp=at, position=position, version=event.version, data=data))


def _named_in(event: Published) -> str:
    """The endpoint that a test is for; "" if it names none, and then nobody is told."""
    try:
        return str(msgspec.json.decode(event.content, type=dict[str, Any]).get("webhook_id", ""))
    except msgspec.MsgspecError:
        return ""


def _then(stored: bytes, told: Told, event: AnyEvent) -> Any:
    """The interrupt as it was after this event; None if that can't be told any more."""
    state: State | None = None
    for line in decode_lines(stored):
        if line.event.version > event.version:
            break
        state = evolve(state, line, told.partition)
    if state is None or state.interrupt.position != told.position:
        return None
    return state.interrupt
