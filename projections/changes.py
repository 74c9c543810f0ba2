"""What a fold wants changed: keys of the view, in words that Redis has a command for.

All changes but `count` say what shall be, not what to do: said again, they change nothing. Of several that concern the
same member or field the last one holds, so a batch is as large as what is left in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

Command = tuple[str, str, Sequence[Any]]
"""the command, the key (within the view), and the arguments"""

MEMBERS_MAX: Final = 1_000
"""Members that one command names at most: Redis's Lua can't pass many thousands of arguments at once."""


class Changes:
    """Changes of one view in one partition, gathered while events are folded."""

    __slots__ = ("_counts", "_fields", "_newest", "_scores")

    def __init__(self) -> None:
        # Most keys have one change in a batch: a pair is much cheaper than a dict for it.
        self._scores: dict[str, tuple[str, int | None] | dict[str, int | None]] = {}
        self._newest: dict[str, int] = {}
        self._fields: dict[str, dict[str, str | None]] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def put(self, key: str, member: str, score: int | None) -> None:
        """The member is in this sorted set, with this score."""
        there = self._scores.get(key)
        if there is None:
            self._scores[key] = member, score
        elif type(there) is tuple:
            self._scores[key] = {there[0]: there[1], member: score}
        else:
            there[member] = score  # type: ignore[index] # it is a dict

    def remove(self, key: str, member: str) -> None:
        """The member is not in this sorted set."""
        self.put(key, member, None)

    def keep_newest(self, key: str, count: int) -> None:
        """This sorted set keeps only so many members, those with the highest scores."""
        self._newest[key] = count

    def write(self, key: str, field: str, value: str) -> None:
        """The field of this hash has this value."""
        self._fields.setdefault(key, {})[field] = value

    def erase(self, key: str, field: str) -> None:
        """The field is not in this hash."""
        self._fields.setdefault(key, {})[field] = None

    def count(self, key: str, field: str, by: int = 1) -> None:
        """The number in this hash's field is so much larger."""
        fields = self._counts.setdefault(key, {})
        fields[field] = fields.get(field, 0) + by

    def commands(self) -> list[Command]:
        """The changes as commands, in an order that does not matter but for `keep_newest`, which is after `put`."""
        made: list[Command] = []
        for key, members in self._scores.items():
            if type(members) is tuple:
                member, score = members
                made.append(("ZREM", key, (member,)) if score is None else ("ZADD", key, (score, member)))
                continue
            put: list[Any] = []
            gone: list[Any] = []
            for member, score in members.items():  # type: ignore[union-attr] # it is a dict
                if score is None:
                    gone.append(member)
                else:
                    put += (score, member)
            made += _chunked("ZADD", key, put, 2 * MEMBERS_MAX) + _chunked("ZREM", key, gone, MEMBERS_MAX)
        made += [("ZREMRANGEBYRANK", key, (0, -count - 1)) for key, count in self._newest.items()]
        for key, fields in self._fields.items():
            written = [part for field, value in fields.items() if value is not None for part in (field, value)]
            erased = [field for field, value in fields.items() if value is None]
            made += _chunked("HSET", key, written, 2 * MEMBERS_MAX) + _chunked("HDEL", key, erased, MEMBERS_MAX)
        for key, counts in self._counts.items():
            moved = [part for field, by in counts.items() if by for part in (field, by)]
            made += _chunked("HINCRBY", key, moved, 2 * MEMBERS_MAX)
        return made


def _chunked(command: str, key: str, arguments: list[Any], size: int) -> list[Command]:
    return [(command, key, arguments[at : at + size]) for at in range(0, len(arguments), size)]
