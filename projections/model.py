"""A view in this process's memory: what a fold makes of the log, to compare the live view with."""

from __future__ import annotations

from typing import Any, Final

from projections.changes import Changes

Held = dict[str, float] | dict[str, str]
"""What a key holds: a sorted set's members with their scores, or a hash's fields with their values."""


class Model:
    """The keys of one view in one partition."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}

    def apply(self, changes: Changes) -> None:
        """Does what Redis would do."""
        for command, keys, arguments in changes.commands():
            for key in keys:
                there = self.keys.setdefault(key, {})
                _MEANS[command](there, *arguments)
                if not there:
                    del self.keys[key]


def _add(there: dict[str, Any], score: float, member: str) -> None:
    there[member] = float(score)


def _remove(there: dict[str, Any], member: str) -> None:
    there.pop(member, None)


def _keep_newest(there: dict[str, Any], _: int, last: int) -> None:
    count = -last - 1
    if len(there) > count:
        for member, _score in sorted(there.items(), key=lambda pair: (pair[1], pair[0]))[: len(there) - count]:
            del there[member]


def _write(there: dict[str, Any], field: str, value: str) -> None:
    there[field] = value


def _count(there: dict[str, Any], field: str, by: int) -> None:
    there[field] = str(int(there.get(field, 0)) + by)


_MEANS: Final[dict[str, Any]] = {
    "ZADD": _add,
    "ZREM": _remove,
    "ZREMRANGEBYRANK": _keep_newest,
    "HSET": _write,
    "HDEL": _remove,
    "HINCRBY": _count,
}
