"""How groups of reactions stand: how far behind the log, what they hold and have parked, and who runs them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import msgspec

from interrupts import InterruptService, ValidationError
from interrupts.keys import slot_of_tag, workers_key
from interrupts.store.groups import Groups
from interrupts.store.lookup import ATTEND
from interrupts.views import place_of
from workers.group_pages import known_groups
from workers.log_entries import entries_between, id_of, newest_entry, number_of


class PartitionStanding(msgspec.Struct, frozen=True):
    """A group in one partition.

    `position`: up to where everything is done, held or parked. `behind`: how many events of the log come after that,
    wanted or not, and `seconds`: for how long the first of them has been there. `owner`: the process that has the
    lease; None if nobody has.
    """

    partition: int
    position: str
    behind: int
    seconds: float
    held: int
    parked: int
    owner: str | None


class GroupStanding(msgspec.Struct, frozen=True):
    """A group: what it is, and how it stands, in all and in each partition. `attempts_max` 0: that is not known."""

    group: str
    patterns: list[str]
    resumes: bool
    handler: str
    attempts_max: int
    behind: int
    seconds: float
    held: int
    parked: int
    owners: list[str]
    partitions: list[PartitionStanding]


async def group_standings(service: InterruptService, group: str | None = None) -> list[GroupStanding]:
    """All groups in the order of their names, or this one. Raises `NotFoundError`, `UnavailableError`."""
    found = []
    for name, info in (await known_groups(service, group)).items():
        each = await asyncio.gather(*(_in(service, name, partition) for partition in range(service.log.partitions)))
        found.append(
            GroupStanding(
                name,
                info.patterns,
                info.resumes,
                info.handler,
                info.attempts_max,
                sum(one.behind for one in each),
                max(one.seconds for one in each),
                sum(one.held for one in each),
                sum(one.parked for one in each),
                sorted({one.owner for one in each if one.owner is not None}),
                list(each),
            )
        )
    return found


async def held_count(service: InterruptService, group: str, partition: int) -> int:
    """How many events a group holds in a partition. Raises `UnavailableError`."""
    return await _length(service, partition, f"{service.store.keys.group(partition, group)}:held")


async def forget(service: InterruptService, group: str) -> int:
    """Removes all that a group remembers: how far it is, what it holds, what it has parked. Returns its partitions.

    Whoever runs a handler under its name makes it anew. Refused, with nothing changed, while a process runs it, or is
    about to; it is kept from getting a lease meanwhile. Called again after it was interrupted, it goes on. Raises
    `NotFoundError`, `ValidationError`, `UnavailableError`.
    """
    await known_groups(service, group)
    keys, server = service.store.keys, service.store.server
    groups, owner = Groups(server, keys), f"forget-{secrets.token_hex(8)}"
    partitions = range(keys.partitions)
    taken = await asyncio.gather(*(groups.lease(group, partition, owner) for partition in partitions))
    free = [partition for partition, lease in enumerate(taken) if lease is not None]
    slot, workers = slot_of_tag(keys.namespace), workers_key(keys.namespace, f"group:{group}")
    there = await server.read(ATTEND, slot, [workers], ["", ""])
    if len(free) < keys.partitions or there:
        await asyncio.gather(*(groups.give_back(group, partition, owner) for partition in free))
        raise ValidationError(
            f"group: {group!r} is being run by a worker. Nothing was changed. End the workers that run it, and call "
            "this again.",
            field="group",
        )
    for partition in partitions:
        card = keys.group(partition, group)
        for name in (f"{card}:held", f"{card}:parked", card):
            await server.command(keys.slots[partition], "DEL", name, writes=True)
    await server.command(slot, "DEL", workers, writes=True)
    await server.command(slot, "HDEL", keys.groups, group, writes=True)
    return keys.partitions


async def _in(service: InterruptService, group: str, partition: int) -> PartitionStanding:
    groups, keys = Groups(service.store.server, service.store.keys), service.store.keys
    (at, card), held, parked, now_ms = await asyncio.gather(
        groups.standing(group, partition),
        held_count(service, group, partition),
        _length(service, partition, f"{keys.group(partition, group)}:parked"),
        _now_ms(service, partition),
    )
    last = await newest_entry(service, partition)
    behind = 0
    if last is not None and place_of(id_of(last)) > at.place:
        behind = max(1, (number_of(last) or 0) - at.sequence)
    first = await entries_between(service, partition, f"({at.stream_id}", "+", 1) if behind else []
    waits_ms = max(0, now_ms - place_of(id_of(first[0]))[0]) if first else 0
    return PartitionStanding(
        partition, f"{partition}:{at.stream_id}", behind, waits_ms / 1000, held, parked, leased_to(card, now_ms)
    )


def leased_to(card: dict[str, str], now_ms: int) -> str | None:
    """Who has the lease, if anybody has."""
    until = card.get("until", "0")
    return card.get("owner") if until.isdecimal() and int(until) > now_ms else None


async def owners_in(service: InterruptService, group: str, partitions: Sequence[int]) -> list[str | None]:
    """By whom a group is run in these partitions. Raises `UnavailableError`."""
    groups = Groups(service.store.server, service.store.keys)

    async def owner(partition: int) -> str | None:
        (_, card), now_ms = await asyncio.gather(groups.standing(group, partition), _now_ms(service, partition))
        return leased_to(card, now_ms)

    return list(await asyncio.gather(*map(owner, partitions)))


async def _length(service: InterruptService, partition: int, key: str) -> int:
    return int(await service.store.server.command(service.store.keys.slots[partition], "HLEN", key))


async def _now_ms(service: InterruptService, partition: int) -> int:
    seconds, microseconds = await service.store.server.command(service.store.keys.slots[partition], "TIME")
    return int(seconds) * 1000 + int(microseconds) // 1000
