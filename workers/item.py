"""One event on its way through the handlers, and the session that it belongs to."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from interrupts.views import Checkpoint
from workers.event import Event

if TYPE_CHECKING:
    from workers.lane import Lane

Entry = tuple[bytes, list[bytes]]
"""A stream id and its fields, as the server tells them."""


class Item:
    """One event on its way through the handlers."""

    __slots__ = (
        *("alone", "attempts", "before", "cut", "event", "held", "queued", "session"),
        *("settled", "started_at", "suspect", "task"),
    )

    session: Session

    def __init__(self, event: Event, before: Entry | Checkpoint | None) -> None:
        self.event = event
        self.before = before
        """What stands in front of it in the log."""
        self.attempts = 0
        """How often its handler was begun."""
        self.queued = False
        """It is among its session's. Before, it must not be begun."""
        self.alone = False
        """It is handled alone: if the process ends, it is why."""
        self.held = False
        self.settled = False
        self.suspect = False
        """Its handler was begun in a process that has ended since, and may have been why."""
        self.started_at = 0.0
        self.task: Any = None
        self.cut: BaseException | None = None
        """Why its handler was ended from outside."""


class Session:
    """The events of one session that are not done, in order. One at a time is handled."""

    __slots__ = ("held", "items", "key", "lane", "waits")

    def __init__(self, key: str, lane: Lane) -> None:
        self.key = key
        self.lane = lane
        self.items: deque[Item] = deque()
        self.held = 0
        self.waits = False
        """It is being handled, or rests: nobody else may begin with it."""
