"""Where the log is read for webhooks: the place of a group of reactions, of which there is one in each partition."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from interrupts import InterruptService
from interrupts.store.groups import Groups
from interrupts.views import Checkpoint
from workers.item import Entry
from workers.subscriptions import WEBHOOKS_GROUP, GroupInfo

GROUP: Final = WEBHOOKS_GROUP


class Place:
    """How far one partition is read: up to where it is written down, and up to where it is read."""

    def __init__(self, at: Checkpoint) -> None:
        self.written = at
        self.read_to: Entry | Checkpoint = at
        self.news: int | None = None

    @property
    def read_id(self) -> str:
        """The stream id up to which it is read."""
        return self.read_to.stream_id if isinstance(self.read_to, Checkpoint) else self.read_to[0].decode()


async def enlist(service: InterruptService) -> None:
    """Has the log read for webhooks from now on, if it is not yet. Raises `UnavailableError`."""
    groups = Groups(service.store.server, service.store.keys)
    about = GroupInfo(["*"], False, "workers.webhooks", 0)
    await groups.register(GROUP, msgspec.json.encode(about))
    partitions = range(service.store.keys.partitions)
    await asyncio.gather(*(groups.enlist(GROUP, partition, "now") for partition in partitions))
