"""A store in memory that notes how Python calls the scripts, and what the scripts find in it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from interrupts.keys import Keys
from interrupts.rings import Tally
from interrupts.scripts import Script
from interrupts.store.memory import memory_route
from interrupts.store.server import Confirmation, ScriptCall, Server, Written
from interrupts.views import CLOSED, COUNTS, PENDING, Checkpoint, View
from tests.events import created, packed

KEYS = Keys("scripts", 16)
COUNTED_USERS = {
    partition: next(f"u{n}" for n in range(10_000) if KEYS.partition_of_user(f"u{n}") == partition)
    for partition in (3, 0, 15)
}
"""By partition a user of whom something is counted."""
OWNER, COMMAND = "an owner", "7-0"
"""Who decides the commands in partition 3, and the first of them."""
GROUPS = ("g", "h")
LEASE = 7
"""The number of the lease of the group of reactions `g`."""
RESERVED = "an interrupt"
"""What each of them has a reservation for."""
_made = Tally.parse(None)
_made.add(int(time.time() * 1000))
TALLY = _made.text(_made.last_ms).encode()
"""What is counted of each in the first group."""
LISTED = [created("3abc" + letter * 28, kind="checkpoint", session="s") for letter in "ef"]


class Recorder(Server):
    """A store in memory that notes the calls of scripts, and is as durable as it is asked to be."""

    def __init__(self, *, one_server: bool) -> None:
        route = memory_route()
        route.one_server = one_server
        super().__init__(route, confirmation=Confirmation(("WAIT", 1, 1), 0))
        self.calls: list[tuple[str, list[Any], list[Any]]] = []

    async def run(
        self, script: Script, slot: int, keys: Sequence[str], args: Sequence[Any], *, derived: bool = False
    ) -> Written:
        """A writing script."""
        self.calls.append((script.name, list(keys), list(args)))
        written = await super().run(script, slot, keys, args, derived=derived)
        return Written(written.reply, True, written.again)

    async def read(self, script: Script, slot: int, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """A reading script."""
        self.calls.append((script.name, list(keys), list(args)))
        return await super().read(script, slot, keys, args)

    async def read_all(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        """A reading script, for several slots."""
        return [await self.read(script, *call) for call in calls]


def within(view: View, partition: int, key: str) -> str:
    """A key of a view's first generation."""
    return KEYS.generation(partition, view.name, 1) + key


def prepared() -> Iterator[tuple[Any, ...]]:
    """The commands that make what scripts find: views that are live, users of whom something is
    counted, and in partition 3 interrupts in two indexes."""
    for partition in (0, 3, 15):
        for view in (PENDING, COUNTS, CLOSED):
            fields = ("live", "1", "last", "1", "1:version", view.version, "1:at", Checkpoint().encode())
            yield "HSET", KEYS.card(partition, view.name), *fields
    yield "HSET", f"{KEYS.commands[3]}:card", "owner", OWNER, "lease", "1"
    yield "XADD", KEYS.commands[3], COMMAND, "id", "a"
    for partition, user in COUNTED_USERS.items():
        yield "HSET", KEYS.rates[partition] + user, "+g", TALLY, "=g", TALLY
        yield "ZADD", KEYS.reserved[partition] + user, 5, RESERVED
        yield "HSET", KEYS.counted[partition], 3, "5 0"
        yield "HSET", KEYS.group(partition, "g"), "lease", LEASE, "step", 0
    for number, event in enumerate(LISTED, 7):
        yield "SET", KEYS.interrupt(event.id), packed((event, f"{number}-0"))
        for key in ("session:s", "kind:checkpoint"):
            yield "ZADD", within(PENDING, 3, key), number, event.id
    yield "ZADD", KEYS.deadlines[3], 5, LISTED[0].id
