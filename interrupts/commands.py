"""What somebody wants to happen. A command carries all it needs: no clock, no configuration, no connection."""

from __future__ import annotations

import msgspec

from interrupts.events import Terms
from interrupts.model import InterruptKind, InterruptResponse


class Create(msgspec.Struct, frozen=True, gc=False, tag="create", tag_field="command"):
    """Pause for an answer. `content` is what will be stored, encoded once."""

    id: str
    kind: InterruptKind
    session_id: str
    request_id: str
    user_id: str
    command_id: str
    content: msgspec.Raw
    terms: Terms


class Respond(msgspec.Struct, frozen=True, gc=False, tag="respond", tag_field="command"):
    """Answer. `user_id`, where given, must be the interrupt's; `actor` is who did it, where that is not the user."""

    id: str
    command_id: str
    response: InterruptResponse
    content: msgspec.Raw
    user_id: str | None = None
    actor: str | None = None
    expected_version: int | None = None


class Cancel(msgspec.Struct, frozen=True, gc=False, tag="cancel", tag_field="command"):
    """Call it off."""

    id: str
    command_id: str
    reason: str | None = None
    user_id: str | None = None
    actor: str | None = None
    expected_version: int | None = None


class Expire(msgspec.Struct, frozen=True, gc=False, tag="expire", tag_field="command"):
    """Write down that the deadline has passed."""

    id: str
    command_id: str


class Extend(msgspec.Struct, frozen=True, gc=False, tag="extend", tag_field="command"):
    """Move the deadline: it is so long after the time at which this is written."""

    id: str
    command_id: str
    ttl_ms: int
    user_id: str | None = None
    actor: str | None = None
    expected_version: int | None = None


class Mark(msgspec.Struct, frozen=True, gc=False, tag="mark", tag_field="command"):
    """Note that the end of an interrupt was handed over to a group of reactions, or (`done`) that it has gone on."""

    id: str
    command_id: str
    group: str
    done: bool


Command = Create | Respond | Cancel | Expire | Extend | Mark
