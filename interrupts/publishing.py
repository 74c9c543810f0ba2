"""Publishing events of one's own: they go into the log of their session, and reach whoever subscribes to them.

A call that is repeated, because its reply was lost, must not publish twice. So the script remembers each event for
longer than a call goes on, by the command's id; by the caller's idempotency key for a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw
from msgspec.json import decode
from msgspec.structs import replace

from interrupts.checks import check_id, check_optional_id, check_size
from interrupts.codec import decode_entry, encode, encode_sorted
from interrupts.contents import published_content
from interrupts.errors import ConflictError, NotConfirmedError
from interrupts.event_names import check_event_name
from interrupts.events import About, Published
from interrupts.ids import new_command_id
from interrupts.limits import ONCE_KEYED_S, ONCE_S, PAYLOAD_BYTES_MAX
from interrupts.store.log import Log

_ROUTED_BY: Final = ("session_id", "request_id", "user_id")


class Publishing:
    """The publishing part of the service."""

    _log: Log
    _payload_bytes_max: int

    async def publish(
        self,
        event_type: str,
        data: dict[str, Any] | None = None,
        *,
        session_id: str | None = None,
        request_id: str | None = None,
        user_id: str | None = None,
        actor: str | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Publishes an event; returns its position, in the log when this returns.

        It keeps the order of its session; of its request, where there is no session; else of its name. The ids are
        taken from `data` where they are not given. With an `idempotency_key`, which belongs to its session, it is
        published once, however often it is sent within a day. Raises `ValidationError`, `ConflictError` for a key used
        again with another body, `UnavailableError`.
        """
        return await publish_event(
            self._log,
            check_event_name(event_type),
            data,
            ids={"session_id": session_id, "request_id": request_id, "user_id": user_id},
            actor=actor,
            idempotency_key=idempotency_key,
            bytes_max=self._payload_bytes_max,
        )


async def publish_event(
    log: Log,
    name: str,
    data: dict[str, Any] | None,
    *,
    ids: Mapping[str, str | None],
    actor: str | None = None,
    idempotency_key: str | None = None,
    bytes_max: int = PAYLOAD_BYTES_MAX,
) -> str:
    """Publishes an event whose name is checked. The rest is as for `publish`."""
    said = {} if data is None else data
    content = published_content(said)
    found = {field: _id_of(field, ids.get(field), said) for field in _ROUTED_BY}
    order = found["session_id"] or found["request_id"] or name
    command_id, remember_s = new_command_id(), ONCE_S
    if idempotency_key is not None:
        key = f"{order}\0{check_id('idempotency_key', idempotency_key)}"
        command_id, remember_s = f"key:{hashlib.sha256(key.encode()).hexdigest()[:32]}", ONCE_KEYED_S
    about = About(command_id, check_optional_id("actor", actor))
    event = Published(name, order, found["request_id"] or "", found["user_id"] or "", content, about)
    raw = encode(event)
    check_size(len(raw), bytes_max, "data")
    partition = log.keys.partition_of_session(order)
    appended = await log.append_once(partition, command_id, raw, round(remember_s * 1000))
    stream_id = appended.stream_id
    if not appended.sequence:
        assert appended.there is not None  # the script refuses only what it remembers
        stream_id = appended.there.decode()
        await _check_same(log, partition, stream_id, event)
        ms, _, number = stream_id.partition("-")
        log.saw(partition, (int(ms), int(number)))
    if not appended.confirmed:
        raise NotConfirmedError(
            f"The event {name} is published at {partition}:{stream_id}, but its durability was not confirmed in "
            "time. It is neither a success nor a failure: with an idempotency key it can be published again."
        )
    return f"{partition}:{stream_id}"


async def _check_same(log: Log, partition: int, stream_id: str, event: Published) -> None:
    """What was published under this key before must be the same."""
    keys = log.keys
    entries = await log.server.command(keys.slots[partition], "XRANGE", keys.logs[partition], stream_id, stream_id)
    there = decode_entry(*entries[0]).event if entries else event
    if not isinstance(there, Published) or _words(there) != _words(event):
        raise ConflictError(
            f"The idempotency key was used for another event before, which is at {partition}:{stream_id}. Use a "
            "new key for a new event. Nothing was written.",
            code="idempotency",
        )


def _words(event: Published) -> bytes:
    """What was published, whatever the order in which its data say it."""
    return encode_sorted(replace(event, content=Raw(encode_sorted(decode(event.content)))))


def _id_of(field: str, given: str | None, data: dict[str, Any]) -> str | None:
    """An id that is given, or that stands in the data."""
    said = data.get(field) if given is None else given
    return check_optional_id(field, said)
