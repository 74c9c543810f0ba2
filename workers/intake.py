"""Reading the command streams of some partitions, and handing what comes to their desks.

Each desk says behind which command to read on. As what is decided is gone from its stream, a desk at which nothing
waits is read from the beginning: nothing can be passed over, whatever has happened to the stream meanwhile.

A blocking read is not called off because a desk has room again, as that would cost the connection: while one has none,
the others are read without waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import (
    COMMANDS_READ_BYTES_MAX,
    COMMANDS_READ_MAX,
    DESKS_LOOK_AGAIN_S,
    RETRY_PAUSE_FIRST_S,
    RETRY_PAUSE_MAX_S,
)
from interrupts.store.follow import Follow
from interrupts.store.lanes import UnreachableError
from workers.desk import Desk

_BYTES_FIRST = 4_096
"""What a command is taken to have before one was read."""


class Intake:
    """Reads for some desks, which must be of one server, or one."""

    def __init__(self, service: InterruptService) -> None:
        keys = service.store.keys
        self.reads = False
        """Whether the last read has succeeded."""
        self._service = service
        self._follow = Follow(service.store.server, keys, keys.commands)
        self._desks: dict[int, Desk] = {}
        self._bytes_each = _BYTES_FIRST

    def want(self, desks: Mapping[int, Desk]) -> None:
        """From now on it reads for these, by partition."""
        if self._desks != desks:
            self._desks = dict(desks)
            self._follow.wake()

    def wake(self) -> None:
        """A desk has room again."""
        self._follow.wake()

    async def run(self) -> None:
        """Reads until it is cancelled."""
        pause_s = RETRY_PAUSE_FIRST_S
        try:
            while True:
                try:
                    await self._read()
                    self.reads, pause_s = True, RETRY_PAUSE_FIRST_S
                except (UnreachableError, UnavailableError) as error:
                    if self.reads:
                        self._service.say("warning", "commands.not_read", why=str(error))
                    self.reads = False
                    await asyncio.sleep(pause_s)
                    pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
        finally:
            await self._follow.close()

    async def _read(self) -> None:
        """Reads once, and waits for something if all desks have room. Raises what `Follow.read` raises."""
        desks = {partition: desk for partition, desk in self._desks.items() if desk.room}
        waits = len(desks) == len(self._desks)
        asked = {partition: (desk, desk.round) for partition, desk in desks.items()}
        after = {partition: desk.after for partition, desk in desks.items()}
        count = COMMANDS_READ_BYTES_MAX // (max(1, len(desks)) * self._bytes_each)
        found = await self._follow.read(after, max(1, min(COMMANDS_READ_MAX, count)), block=waits)
        largest = 0
        for partition, entries in found.items():
            sizes = sum(sum(map(len, fields)) for _, fields in entries)
            largest = max(largest, sizes // len(entries))
            desk, round_then = asked[partition]
            if desk.round == round_then:
                desk.offer(entries)
        if largest:
            self._bytes_each = max(1, largest)
        if not waits and not found:
            await self._follow.read({}, 1, until_s=asyncio.get_running_loop().time() + DESKS_LOOK_AGAIN_S)
