"""What a fold wants changed: keys of the view, in words that Redis has a command for.

The changes are kept as they are sent, in the order in which they were said: the keys in one list, and in another for
each change its command, how many of the keys it is for, and its arguments. An interrupt is in several indexes with the
same number, so one change for several keys is what a fold mostly has to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

Command = tuple[str, Sequence[str], Sequence[Any]]
"""the command, the keys (within the view), and the arguments after the key"""


COUNT_MAX: Final = 2**53
"""The largest number that is counted by, or up to: what Redis's Lua holds exactly."""


class Creation(msgspec.Struct, frozen=True, gc=False):
    """A creation to be counted in the user's partition, in each of these groups, as made at this place of the log."""

    user_id: str
    interrupt_id: str
    groups: tuple[str, ...]
    place: tuple[int, int]


class Changes:
    """Changes of one view in one partition, gathered while events are folded.

    All but `count` say what shall be, not what to do: said again, they change nothing. `creations` are counted
    elsewhere, by a view that `crosses`.
    """

    __slots__ = ("_counts", "arguments", "creations", "keys", "length")

    def __init__(self) -> None:
        self.length = 0
        self.keys: list[str] = []
        self.arguments: list[Any] = []
        self.creations: list[Creation] = []
        self._counts: dict[tuple[str, str], int] = {}

    def put(self, keys: Sequence[str], member: str, score: int) -> None:
        """The member is in these sorted sets, with this score."""
        self.length += 1
        self.keys += keys
        self.arguments += ("ZADD", len(keys), 2, score, member)

    def remove(self, keys: Sequence[str], member: str) -> None:
        """The member is not in these sorted sets."""
        self.length += 1
        self.keys += keys
        self.arguments += ("ZREM", len(keys), 1, member)

    def keep_newest(self, key: str, count: int) -> None:
        """This sorted set keeps only so many members, those with the highest scores."""
        self._say("ZREMRANGEBYRANK", key, 0, -count - 1)

    def write(self, key: str, field: str, value: str) -> None:
        """The field of this hash has this value."""
        self._say("HSET", key, field, value)

    def erase(self, key: str, field: str) -> None:
        """The field is not in this hash."""
        self._say("HDEL", key, field)

    def count(self, key: str, field: str, by: int = 1) -> None:
        """The number in this hash's field is so much larger. A key that is counted in is used for nothing else.

        Refuses what is no whole number, or too large for one.
        """
        if type(by) is not int or abs(by) > COUNT_MAX:
            raise ValueError(f"can't count by {by!r:.64}: give a whole number of at most {COUNT_MAX}")
        self._counts[key, field] = self._counts.get((key, field), 0) + by

    def created(self, creation: Creation) -> None:
        """One more creation of a user."""
        self.creations.append(creation)

    def add(self, later: Changes) -> None:
        """Further changes, after these."""
        self.length += later.length
        self.keys += later.keys
        self.arguments += later.arguments
        self.creations += later.creations
        for counted, by in later._counts.items():
            self._counts[counted] = self._counts.get(counted, 0) + by

    def check(self) -> None:
        """Refuses what can't be sent: anything but texts and numbers, and keys that are counted in and more.

        Raises `TypeError`, `ValueError`.
        """
        counted = [part for counted in self._counts for part in counted]
        wrong = {*map(type, self.keys), *map(type, self.arguments), *map(type, counted)} - {str, int, float}
        if wrong:
            names = ", ".join(sorted(each.__name__ for each in wrong))
            raise TypeError(f"changes are made of texts and numbers, not of {names}")
        "".join((*self.keys, *counted)).encode()
        "".join(map(str, self.arguments)).encode()
        self.check_apart(self)

    def check_apart(self, later: Changes) -> None:
        """Refuses keys that are counted in by these or later changes and used for something else by the others."""
        mixed = {key for key, _ in self._counts}.intersection(later.keys) if self._counts else set()
        mixed |= {key for key, _ in later._counts}.intersection(self.keys) if later._counts else set()
        if mixed:
            raise ValueError(f"the key {min(mixed)!r:.64} is counted in, and used for something else")

    def seal(self) -> Changes:
        """Itself, with what was counted as the last of its commands; after that nothing is added."""
        for (key, field), by in self._counts.items():  # 0, too: a field must not depend on how events are split
            self._say("HINCRBY", key, field, by)
        self._counts = {}
        return self

    def commands(self) -> Iterator[Command]:
        """The changes one by one."""
        key = argument = 0
        for _ in range(self.length):
            command, keys, count = self.arguments[argument : argument + 3]
            yield command, self.keys[key : key + keys], self.arguments[argument + 3 : argument + 3 + count]
            key += keys
            argument += 3 + count

    def _say(self, command: str, key: str, *arguments: Any) -> None:
        self.length += 1
        self.keys.append(key)
        self.arguments += (command, 1, len(arguments), *arguments)
