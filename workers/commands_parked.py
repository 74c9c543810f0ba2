"""What was parked of the commands of producers: looked at, and forgotten.

It was either no command (see `interrupts.command_form`), and its producer has to send a right one; or something stored
could not be read when it was decided, and its producer can send it again, under the same id, once that is mended.
So there is nothing to be done with what is parked but to read it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from interrupts import InterruptService
from interrupts.command_form import ParkedCommand
from interrupts.limits import COMMANDS_PARKED_MAX
from interrupts.positions import time_of


class Parked(msgspec.Struct, frozen=True):
    """A command that was parked: under which name here (`partition:stream id`), when, why, its id in the stream it came
    from, and its fields and values in turn, as far as they were kept."""

    name: str
    at: datetime
    why: str
    stream_id: str
    fields: list[str]


async def parked_commands(service: InterruptService, count: int = COMMANDS_PARKED_MAX) -> list[Parked]:
    """What is parked, at most so many of each partition and the newest of them: the oldest first. Raises
    `UnavailableError`."""
    inbox, found = service.deciding.inbox, list[Parked]()
    for partition in range(service.store.keys.partitions):
        for stream_id, raw in await inbox.parked(partition, count):
            one = msgspec.json.decode(raw, type=ParkedCommand)
            at = time_of(int(stream_id.partition("-")[0]))
            found.append(Parked(f"{partition}:{stream_id}", at, one.why, one.stream_id, one.fields))
    return sorted(found, key=lambda one: one.at)


async def drop_commands(service: InterruptService, names: Iterable[str]) -> int:
    """Forgets what is parked under these names; how many there were. Raises `UnavailableError`."""
    by_partition: dict[int, list[str]] = {}
    for name in names:
        partition, _, stream_id = name.partition(":")
        by_partition.setdefault(int(partition), []).append(stream_id)
    inbox = service.deciding.inbox
    return sum([await inbox.drop(partition, stream_ids) for partition, stream_ids in by_partition.items()])
