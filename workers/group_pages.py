"""What the lists about groups of reactions have in common: which groups there are, and where a list goes on.

A list goes through the groups by name, in each through the partitions, and in each of these in the order of the log.
Its cursor is the place of the last entry that was told, as `<group>/<position>`: readable, and good for as long as the
group is there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from interrupts import InterruptService, NotFoundError, Position, ValidationError
from interrupts.checks import shown
from interrupts.limits import LIST_LIMIT_MAX
from interrupts.store.groups import Groups
from interrupts.views import place_of
from workers.subscriptions import GroupInfo

_DAMAGED: Final = GroupInfo([], False, "", 0)


class Place(msgspec.Struct, frozen=True):
    """How far a list has come."""

    group: str
    partition: int
    stream_id: str

    @classmethod
    def parse(cls, cursor: str | None) -> Place | None:
        """The inverse of `str`; None for None. Raises `ValidationError`."""
        if cursor is None:
            return None
        try:
            group, slash, position = cursor.rpartition("/")
            if not slash:
                raise ValidationError("")
            at = Position.parse(position)
        except ValidationError:
            raise ValidationError(
                f"cursor: {shown(cursor)} is none. Pass on the `next_cursor` of the page before as it is.",
                field="cursor",
            ) from None
        return cls(group, at.partition, at.stream_id)

    def __str__(self) -> str:
        return f"{self.group}/{self.partition}:{self.stream_id}"

    def passed(self, group: str, partition: int) -> bool:
        """Whether the list is through with this partition of this group."""
        return (group, partition) < (self.group, self.partition)

    def behind_in(self, group: str, partition: int) -> tuple[int, int]:
        """Behind which place it goes on there."""
        return place_of(self.stream_id) if (group, partition) == (self.group, self.partition) else (-1, 0)


async def known_groups(service: InterruptService, group: str | None = None) -> dict[str, GroupInfo]:
    """All groups in the order of their names, or this one, with what was written down of them.

    Raises `NotFoundError` if there is no such group, `UnavailableError`.
    """
    about = await Groups(service.store.server, service.store.keys).registered()
    if group is not None and group not in about:
        there = ", ".join(sorted(about)[:20]) or "none yet: a worker makes them known when it first runs their handlers"
        raise NotFoundError(f"there is no group {shown(group)}. There are: {there}.")
    names = sorted(about) if group is None else [group]
    return {name: _info(about[name]) for name in names}


def check_limit(limit: object) -> int:
    """How many a page may have. Raises `ValidationError`."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIST_LIMIT_MAX:
        raise ValidationError(f"limit: {shown(limit)} is not a number from 1 to {LIST_LIMIT_MAX:,}.", field="limit")
    return limit


def _info(about: bytes) -> GroupInfo:
    try:
        return msgspec.json.decode(about, type=GroupInfo)
    except msgspec.MsgspecError:
        return _DAMAGED
