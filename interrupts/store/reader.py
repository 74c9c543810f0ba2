"""Reading the log itself: a range by position or by time, the last position, a tail that waits for more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import datetime

from interrupts.checks import check_id
from interrupts.codec import decode_entry
from interrupts.errors import ValidationError
from interrupts.keys import Keys
from interrupts.limits import READ_COUNT_MAX, RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S, TAIL_COUNT_MAX
from interrupts.positions import Position, ms_of
from interrupts.recorded import RecordedEvent, recorded
from interrupts.store.follow import Follow
from interrupts.store.lanes import UnreachableError
from interrupts.store.server import Server

Say = Callable[..., None]
"""Tells an operator: the level, the event and its fields."""


class LogReader:
    """The log of a namespace, as `service.log`. Each partition has an order of its own; a session is in one of them."""

    def __init__(self, keys: Keys, server: Server, say: Say = lambda *_, **__: None) -> None:
        self._keys = keys
        self._server = server
        self._say = say

    @property
    def partitions(self) -> int:
        """How many partitions there are, numbered from 0."""
        return self._keys.partitions

    def partition_of(self, session_id: str) -> int:
        """The partition of a session. Raises `ValidationError`."""
        check_id("session_id", session_id)
        return self._keys.partition_of_session(session_id)

    async def range(
        self,
        partition: int,
        *,
        after: str | Position | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 1_000,
    ) -> list[RecordedEvent]:
        """Events in order: those after a position, or from a time on, up to and with another time, at most `limit`.

        Go on from the last one's position. Raises `ValidationError`, `UnavailableError`.
        """
        self._check(partition)
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= READ_COUNT_MAX:
            raise ValidationError(f"limit: {limit!r} is not a number from 1 to {READ_COUNT_MAX}.", field="limit")
        if after is not None and since is not None:
            raise ValidationError("after: give after or since, not both.", field="after")
        first = "-"
        if after is not None:
            first = f"({self._inside(partition, after).stream_id}"
        elif since is not None:
            first = str(max(0, ms_of(_time("since", since))))
        last = "+" if until is None else str(max(0, ms_of(_time("until", until))))
        entries = await self._server.command(
            self._keys.slots[partition], "XRANGE", self._keys.logs[partition], first, last, "COUNT", limit
        )
        return [recorded(decode_entry(stream_id, fields), partition) for stream_id, fields in entries]

    async def last(self, partition: int) -> Position:
        """The position of the newest event; `<partition>:0-0` in an empty log. Raises `UnavailableError`."""
        self._check(partition)
        entries = await self._server.command(
            self._keys.slots[partition], "XREVRANGE", self._keys.logs[partition], "+", "-", "COUNT", 1
        )
        return Position.parse(f"{partition}:{entries[0][0].decode() if entries else '0-0'}")

    async def tail(self, partition: int, *, after: str | Position | None = None) -> AsyncGenerator[RecordedEvent, None]:
        """Events after a position (or after now) as they come, without end and without polling.

        "Now" is when the first event is asked for; to miss nothing from an earlier moment on, take `last()` then, and
        give it as `after`. A broken connection is made again, and the tail goes on where it was: nothing is skipped or
        told twice. End it by leaving the loop. Raises `UnavailableError` for what waiting can't mend: wrong
        credentials, a key that is no log, a closed service.
        """
        at = await self.last(partition) if after is None else self._inside(partition, after)
        follow = Follow(self._server, self._keys)
        pause_s = RETRY_PAUSE_FIRST_S
        try:
            while True:
                try:
                    found = await follow.read({partition: at.stream_id}, TAIL_COUNT_MAX)
                except UnreachableError as error:
                    if pause_s == RETRY_PAUSE_FIRST_S:
                        self._say(
                            "warning", "interrupts.tail_waits", partition=partition, after=str(at), why=str(error)
                        )
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
                    continue
                pause_s = RETRY_PAUSE_FIRST_S
                for stream_id, fields in found.get(partition, ()):
                    event = recorded(decode_entry(stream_id, fields), partition)
                    at = Position.parse(event.position)
                    yield event
        finally:
            await follow.close()

    def _check(self, partition: int) -> None:
        if isinstance(partition, bool) or not isinstance(partition, int) or not 0 <= partition < self.partitions:
            raise ValidationError(
                f"partition: {partition!r} is none of this namespace's, 0 to {self.partitions - 1}.", field="partition"
            )

    def _inside(self, partition: int, position: str | Position) -> Position:
        parsed = Position.parse(position)
        if parsed.partition != partition:
            raise ValidationError(f"position: {parsed} is not in partition {partition}.", field="position")
        return parsed


def _time(field: str, value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    raise ValidationError(f"{field}: must be a datetime, not {type(value).__name__}.", field=field)
