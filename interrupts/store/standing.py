"""How a view stands in a partition, as the scripts that read it tell, and what no waiting mends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from interrupts.errors import ViewStoppedError
from interrupts.views import Checkpoint, View, decode_stopped, place_of

STANDING_FIELDS: Final = 9
_MENDED_BY: Final = {
    "event": "Mend or update the code that folds it and start it again; or, to leave this one event out for good: "
    "python -m workers skip {view} {position}",
    "hole": "If the log was rolled back: python -m workers rebuild {view}. If what is missing is gone for good and may "
    "be: python -m workers skip {view} {position}",
    "key": "A key of the view is not what was written there. Build the view again: python -m workers rebuild {view}",
    "foreign": "It is no event: remove it with XDEL, and find out who wrote it",
}

Place = tuple[int, int]
"""milliseconds and number"""


class Standing(msgspec.Struct):
    """How a view stands in a partition."""

    now_ms: int
    last: Place
    last_sequence: int
    generation: int | None
    version: int
    at: Checkpoint
    stopped: bytes
    there: bool
    waiting_ms: int
    """For how long the first event that it has not folded has been waiting."""

    @property
    def behind(self) -> int:
        """How many events it has not folded."""
        return self.last_sequence - self.at.sequence

    @property
    def stands_still(self) -> bool:
        """Whether there is something that it does not fold any more."""
        return bool(self.stopped) and self.behind > 0

    def lacks(self, needed: Place) -> bool:
        """Whether it does not show this place yet, or is being built for the first time and shows nothing."""
        return self.at.place < needed or (self.generation is None and self.last_sequence > 0)


def standing_of(reply: Sequence[Any]) -> Standing:
    """How a view stands, as the scripts tell it."""
    now_ms, last, last_sequence, live, version, at, stopped, there, waiting_ms = reply[:STANDING_FIELDS]
    return Standing(
        now_ms,
        place_of(last.decode()),
        int(last_sequence),
        int(live) if live else None,
        int(version or 0),
        Checkpoint.parse(at) if at else Checkpoint(),
        stopped,
        bool(there),
        waiting_ms,
    )


def check_mendable(view: View, partition: int, standing: Standing) -> None:
    """Refuses a view that waiting does not mend."""
    if standing.generation is not None and standing.version != view.version:
        raise ViewStoppedError(
            f"The view {view.name!r} of partition {partition} has version {standing.version}, and this library "
            f"reads version {view.version}. If the library was just updated, its workers are building the new "
            "version: try again in a while. Else update the library here.",
            view=view.name,
            partition=partition,
            reason="version",
        )
    if not standing.there:
        raise ViewStoppedError(
            f"The view {view.name!r} of partition {partition} was folded up to event {standing.at.sequence}, and "
            f"the log, which ends at {standing.last_sequence}, has another event there or none: the log was rolled "
            f"back, as by a failover or a restored backup. Build the view again: python -m workers rebuild "
            f"{view.name}",
            view=view.name,
            partition=partition,
            reason="rolled_back",
        )


def lost(view: View, partition: int, standing: Standing, needed: Place) -> ViewStoppedError:
    """The refusal where the log does not have what a list must show."""
    return ViewStoppedError(
        f"The log of partition {partition} ends at {_text(partition, standing.last)}, before "
        f"{_text(partition, needed)}, which the list has to show: the log was rolled back, or this position is not of "
        "this namespace. Look at what you have written, and write again what is lost.",
        view=view.name,
        partition=partition,
        reason="rolled_back",
    )


def check_stopped(view: View, late: Mapping[int, Standing]) -> None:
    """Refuses to wait for a view that stands still."""
    for partition, standing in late.items():
        stopped = decode_stopped(standing.stopped)
        if stopped is not None:
            what = _MENDED_BY[stopped.problem].format(view=view.name, position=stopped.position)
            raise ViewStoppedError(
                f"The view {view.name!r} of partition {partition} stands still before event {stopped.position}, "
                f"and is {events(standing.behind)} behind: {stopped.error.rstrip('.')}. {what}",
                view=view.name,
                partition=partition,
                reason=stopped.problem,
            )


def events(count: int) -> str:
    """So many events, in words."""
    return "1 event" if count == 1 else f"{count} events"


def _text(partition: int, place: Place) -> str:
    return f"{partition}:{place[0]}-{place[1]}"
