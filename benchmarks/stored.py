"""What the library has stored on a benchmark's server: looked at without the library, to check what was measured."""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.server import BenchServer
from benchmarks.shape import asks, content, creating
from interrupts import connect
from interrupts.keys import Keys

PARTITIONS: Final = 16
KEYS: Final = Keys("interrupts", PARTITIONS)
"""What `connect()` uses unless told otherwise."""


class Stored(NamedTuple):
    """An event as it is stored, and the id of its interrupt, which is in it."""

    interrupt_id: str
    event: bytes

    def as_if(self, interrupt_id: str) -> bytes:
        """The same event for another interrupt."""
        return self.event.replace(self.interrupt_id.encode(), interrupt_id.encode())


async def stored_event(server: BenchServer) -> Stored:
    """The creation event of the benchmarks' shape. The server is empty afterwards."""
    async with connect(server.url) as service:
        made = await creating(service)(next(asks(1)))
    ((_, fields),) = server.command("XRANGE", KEYS.logs[KEYS.partition_of_id(made.id)], "-", "+")
    event: bytes = fields[b"e"]
    assert content() in event, "the shape is not stored as it is described"
    server.flush()
    return Stored(made.id, event)


def pending(server: BenchServer) -> int:
    """How many interrupts have a deadline, which are the pending ones of the benchmarks' shape."""
    return sum(server.commands([("ZCARD", deadlines) for deadlines in KEYS.deadlines]))
