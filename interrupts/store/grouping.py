"""A batch's items by partition, and their outcomes back in the order of the items."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any


def by_partition(items: Sequence[tuple[Any, ...]]) -> dict[int, list[int]]:
    """The items' indexes, by partition."""
    groups: dict[int, list[int]] = {}
    for index, item in enumerate(items):
        group = groups.get(item[0])
        if group is None:
            groups[item[0]] = [index]
        else:
            group.append(index)
    return groups


def in_order(count: int, groups: dict[int, list[int]], outcomes: list[Any]) -> list[Any]:
    """Outcomes by partition, put back into the order of the items."""
    ordered: list[Any] = [None] * count
    at = 0
    for indexes in groups.values():
        for index in indexes:
            ordered[index] = outcomes[at]
            at += 1
    return ordered


def flat(results: list[Any], groups: dict[int, list[int]]) -> list[Any]:
    """The outcomes of several calls; a call that failed fails each of its items, and no other."""
    outcomes: list[Any] = []
    for result, indexes in zip(results, groups.values(), strict=True):
        outcomes += [copy(result) for _ in indexes] if isinstance(result, BaseException) else result
    return outcomes
