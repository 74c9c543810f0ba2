"""Going through the names of a namespace's keys: each server once, however many partitions are asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from typing import Any, Final

from interrupts.errors import UnavailableError
from interrupts.keys import Keys
from interrupts.limits import SCAN_KEYS
from interrupts.store.lanes import UnreachableError
from interrupts.store.server import Server

ALL: Final = ":*"


async def key_names(
    server: Server, keys: Keys, partitions: Collection[int], what: str = ALL
) -> AsyncGenerator[dict[int, list[str]], None]:
    """By partition the names of its keys, some at a time; a name may come twice. Raises `UnavailableError`."""
    of_tag = {keys.tags[partition]: partition for partition in partitions}
    for together in await _by_server(server, keys, partitions):
        # A namespace's name has no character that means something in a pattern.
        stem = f"{{{keys.namespace}:*}}" if len(together) > 1 else f"{{{keys.tags[together[0]]}}}"
        cursor: Any = 0
        while True:
            cursor, found = await server.command(
                keys.slots[together[0]], "SCAN", cursor, "MATCH", stem + what, "COUNT", SCAN_KEYS
            )
            names: dict[int, list[str]] = {}
            for name in (raw.decode(errors="backslashreplace") for raw in found):
                partition = of_tag.get(name[1 : name.index("}")])
                if partition in together:
                    names.setdefault(partition, []).append(name)
            if names:
                yield names
            if int(cursor) == 0:
                break


async def _by_server(server: Server, keys: Keys, partitions: Collection[int]) -> list[list[int]]:
    """The partitions that are on one server together."""
    if server.route.one_server:
        return [list(partitions)] if partitions else []
    found: dict[int, list[int]] = {}
    for partition in partitions:
        try:
            lanes = await server.route.lanes(keys.slots[partition])
        except UnreachableError as error:
            raise UnavailableError(f"Redis is away: {error}. Called again, this goes on.") from error
        found.setdefault(id(lanes), []).append(partition)
    return list(found.values())
