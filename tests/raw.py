"""A store behind its back, for tests that damage it, or take its log back to what it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from interrupts import InterruptService
from interrupts.codec import Line
from interrupts.views import Card
from projections import Projection
from projections.changes import Changes
from projections.names import key_names
from projections.store import Standing, Views
from projections.view_check import Difference
from tests.folding import by_hand

Dumps = dict[int, dict[str, bytes]]


class Refusing:
    """A projection that folds as another does, and refuses one interrupt's events."""

    def __init__(self, inner: Projection, refused: str) -> None:
        self.view = inner.view
        self._inner = inner
        self._refused = refused

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """As the other folds."""
        if any(line.event.id == self._refused for line in lines):
            raise ValueError("this one is too much")
        self._inner.fold(lines, changes)


def told(differences: Sequence[Difference]) -> list[tuple[str, str, str | None, str | None, str | None]]:
    """What, key, member, expected and found."""
    return [(one.what, one.key, one.member, one.expected, one.found) for one in differences]


async def checkpoints(service: InterruptService, count: int) -> list[str]:
    """The ids of so many new interrupts in one session."""
    return [(await service.create_checkpoint("r", "u", "s")).id for _ in range(count)]


async def raw(service: InterruptService, *command: Any, partition: int = 0) -> Any:
    """A command's reply, from where a partition is."""
    return await service.store.server.command(service.store.keys.slots[partition], *command)


async def standing(service: InterruptService, view: str, partition: int = 0) -> Standing:
    """How a view stands in a partition."""
    (found,) = await Views(service.store).standings([view], [partition])
    return found


async def cards(service: InterruptService, view: str) -> list[Card]:
    """A view's cards, partition by partition."""
    partitions = range(service.log.partitions)
    return [found.card for found in await Views(service.store).standings([view], partitions)]


async def generations(service: InterruptService, view: str) -> list[set[int]]:
    """Partition by partition the generations of which there are keys, read or not."""
    keys, found = service.store.keys, []
    for partition in range(service.log.partitions):
        begin = f"{keys.card(partition, view)}:"
        names = await _names(service, partition)
        found.append({int(name[len(begin) :].partition(":")[0]) for name in names if name.startswith(begin)})
    return found


async def live_key(service: InterruptService, view: str, key: str, partition: int = 0) -> str:
    """The whole name of a key of a live view."""
    live = (await standing(service, view, partition)).card.live
    assert live is not None
    return service.store.keys.generation(partition, view, live.number) + key


async def folded(service: InterruptService, projections: Sequence[Projection]) -> None:
    """Brings views to the end of the log, as a worker does."""
    async with by_hand(service, projections) as worker:
        await worker.fold()


async def _names(service: InterruptService, partition: int) -> list[str]:
    """The names of all keys of a partition."""
    found: set[str] = set()
    async for names in key_names(service.store.server, service.store.keys, [partition]):
        found.update(names[partition])
    return sorted(found)


async def _primary(service: InterruptService, partition: int) -> list[str]:
    """The names of all keys of a partition but those of the views; what is counted of users is one."""
    keys = service.store.keys
    views = f"{{{keys.tags[partition]}}}:view:", keys.rates[partition], keys.counted[partition]
    return [name for name in await _names(service, partition) if not name.startswith(views)]


async def remember(service: InterruptService) -> Dumps:
    """The log, the interrupts and their deadlines as they are now."""
    return {
        partition: {
            name: await raw(service, "DUMP", name, partition=partition) for name in await _primary(service, partition)
        }
        for partition in range(service.log.partitions)
    }


async def go_back(service: InterruptService, dumps: Dumps) -> None:
    """The log, the interrupts and their deadlines are what they were; the views are not told."""
    for partition, there in dumps.items():
        for name in await _primary(service, partition):
            await raw(service, "DEL", name, partition=partition)
        for name, dump in there.items():
            await raw(service, "RESTORE", name, 0, dump, partition=partition)


async def write_entry(service: InterruptService, sequence: int, event: str, partition: int = 0) -> str:
    """An entry of the log that the library has not written; where it is."""
    log = service.store.keys.logs[partition]
    stream_id = await raw(service, "XADD", log, "*", "s", sequence, "e", event, partition=partition)
    return f"{partition}:{stream_id.decode()}"


def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on views are folded some events at a time, and all progress is told."""
    monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", 8)
    monkeypatch.setattr("projections.progress.REPORT_EVERY_S", 0.0)
