"""What has happened, in the form in which it is stored for ever.

An event is a JSON array: its tag, then an open envelope that views, routing and operators need (ids, version, kind),
then one opaque `content` with what people wrote, then what is known `about` it: the command that caused it, who did it,
and the name of the key that the content is encrypted with (none for now, so that content can be encrypted and erased
one day without a new format). `interrupt.created` ends with its `terms`: everything that the configuration of its day
decided, so that the log can be read without that configuration.

    ["interrupt.created", id, version, kind, session_id, request_id, user_id, content, about, terms]

Two events are marks: they say that an answer was handed over to what goes on with it, and that it is done. They are
in an interrupt's history, and are told to nobody who subscribes.

What callers publish besides interrupts is in the same log, in one type that carries its name:

    ["published", name, session_id, request_id, user_id, content, about]

The time, the position and the sequence number are the log's own and not repeated inside. Stored tags and the order of
fields never change: a changed event is a new tag, and an upcaster in `codec` reads the old one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from interrupts.model import InterruptKind, InterruptResponse

NO_CONTENT = msgspec.Raw(b"{}")


class Terms(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What was decided for one interrupt when it was made.

    `webhook_event` None: the kind's own name. `fingerprint`: what the caller asked for, where a key was given.
    `counted_in`: the groups whose rate limits it counts in; None: in that of all creations.
    """

    ttl_ms: int | None = None
    auto_expire: bool = True
    require_response: bool = True
    allowed_responses: tuple[str, ...] = msgspec.field(default=(), name="allowed")
    webhook_event: str | None = None
    envelope_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    response_schema: dict[str, Any] | None = None
    fingerprint: str | None = None
    counted_in: tuple[str, ...] | None = msgspec.field(default=None, name="counted")


class About(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What is known about an event. The same command never acts twice; "": the interrupt's own id is the command's."""

    command_id: str = msgspec.field(default="", name="command")
    actor: str | None = None
    content_key: str = ""


class Event(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="type"):
    """The envelope that all events share."""

    id: str
    version: int
    kind: InterruptKind
    session_id: str
    request_id: str
    user_id: str
    content: msgspec.Raw
    about: About


class Created(Event, frozen=True, gc=False, array_like=True, tag="interrupt.created"):
    """Somebody waits. The deadline is the event's own time plus `terms.ttl_ms`."""

    terms: Terms


class Resolved(Event, frozen=True, gc=False, array_like=True, tag="interrupt.resolved"):
    """It was answered."""


class Cancelled(Event, frozen=True, gc=False, array_like=True, tag="interrupt.cancelled"):
    """It was called off."""


class Expired(Event, frozen=True, gc=False, array_like=True, tag="interrupt.expired"):
    """Its deadline passed without an answer."""


class Extended(Event, frozen=True, gc=False, array_like=True, tag="interrupt.extended"):
    """Its deadline is now the event's own time plus `ttl_ms`."""

    ttl_ms: int


class Delivered(Event, frozen=True, gc=False, array_like=True, tag="interrupt.delivered"):
    """A mark: what goes on with it (the actor) was handed how it ended."""


class Acknowledged(Event, frozen=True, gc=False, array_like=True, tag="interrupt.acknowledged"):
    """A mark: what goes on with it (the actor) says that it is done."""


class Published(msgspec.Struct, frozen=True, gc=False, array_like=True, tag_field="type", tag="published"):
    """Something that a caller wants to be known, and no interrupt. `session_id` is whose order it keeps."""

    name: str
    session_id: str
    request_id: str
    user_id: str
    content: msgspec.Raw
    about: About


AnyEvent = Created | Resolved | Cancelled | Expired | Extended | Delivered | Acknowledged
"""An event of an interrupt."""
LogEvent = AnyEvent | Published
"""An event of the log."""


class CreatedContent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What the person who answers is shown."""

    question: str | None = None
    message: str | None = None
    data: dict[str, Any] = {}


class ResolvedContent(msgspec.Struct, frozen=True, gc=False):
    """The answer."""

    response: InterruptResponse


class CancelledContent(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Why it was called off."""

    reason: str | None = None


def tag_of(event: LogEvent) -> str:
    """The stored name of an event's type."""
    return str(event.__struct_config__.tag)


def name_of(event: LogEvent) -> str:
    """What an event is called by those who read: its type, or the name that it was published under."""
    return event.name if isinstance(event, Published) else tag_of(event)
