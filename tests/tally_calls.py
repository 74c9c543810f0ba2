"""How Python calls the scripts that count what users do, and the same calls in the words of the headers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from interrupts.limits import RESERVATION_MAX_S
from interrupts.rates import RateLimitConfig
from interrupts.store.log import Log
from interrupts.store.tallies import Tallies
from interrupts.views import Checkpoint
from projections.changes import Changes, Creation
from projections.counting import Counting
from projections.folding import Folded
from projections.progress import Meter
from projections.rates import Rates
from projections.rates_check import RatesCheck
from projections.store import Views
from projections.units import Unit
from tests.headers import Call, Values
from tests.recording import COUNTED_USERS, GROUPS, KEYS, RESERVED, TALLY, Recorder

CONFIG = RateLimitConfig(7, 8, 9, 6)
ASKED = "\n".join(f"{CONFIG.words()} {group}" for group in GROUPS)
PLACES = list(COUNTED_USERS)  # partitions
LIFE_MS = round(RESERVATION_MAX_S * 1000)
ALL_GROUPS = "\n".join(GROUPS)


def counts(partition: int) -> str:
    """Where it is kept what the user of a partition does."""
    return KEYS.rates[partition] + COUNTED_USERS[partition]


def reservations(partition: int) -> str:
    """Where the reservations of the user of a partition are."""
    return KEYS.reserved[partition] + COUNTED_USERS[partition]


def together(server: Recorder) -> list[list[int]]:
    """On one server one call has all partitions; in a cluster each has a call of its own."""
    return [PLACES] if server.route.one_server else [[partition] for partition in PLACES]


async def take(server: Recorder) -> list[Call]:
    """Two calls of each user."""
    tallies, terms = Tallies(Log(KEYS, server)), (f"take 1 {CONFIG.words()}", f"peek 2 {CONFIG.words()}")
    await asyncio.gather(*(tallies.take(COUNTED_USERS[p], each, "g", CONFIG) for p in PLACES for each in terms))
    return [
        {
            "head": [{"partitions": len(some)}],
            "partition": [{"limits": KEYS.limits[p], "items": 2} for p in some],
            "item": [{"counts": counts(p), "terms": each, "group": "g"} for p in some for each in terms],
        }
        for some in together(server)
    ]


async def reserve(server: Recorder) -> list[Call]:
    """A creation of each user."""
    tallies = Tallies(Log(KEYS, server))
    await asyncio.gather(*(tallies.reserve(COUNTED_USERS[p], f"{p}", ASKED, [CONFIG] * 2) for p in PLACES))
    return [
        {
            "head": [{"partitions": len(some), "life_ms": LIFE_MS}],
            "partition": [{"limits": KEYS.limits[p], "items": 1} for p in some],
            "item": [
                {"counts": counts(p), "reserved": reservations(p), "interrupt": f"{p}", "asked": ASKED} for p in some
            ],
        }
        for some in together(server)
    ]


SETTLED = ("interrupt", "groups", "own", "source", "ms", "number", "per_minute")
APPENDED = (RESERVED, ALL_GROUPS, 5, 3, "7", "1", "60")
REFUSED = (RESERVED, ALL_GROUPS, 7, "", "", "", "60")


def settled(partitions: Sequence[int], args: Sequence[Any]) -> Call:
    """What became of the reservations of these partitions' users."""
    items: list[Values] = [
        {"counts": counts(p), "reserved": reservations(p), "counted": KEYS.counted[p]}
        | dict(zip(SETTLED, args, strict=True))
        for p in partitions
    ]
    return {"head": [{"life_ms": LIFE_MS}], "item": items}


async def settle(server: Recorder) -> list[Call]:
    """All were appended, and then said to be so once more; then one is refused."""
    tallies = Tallies(Log(KEYS, server))
    await asyncio.gather(*(tallies.settle(COUNTED_USERS[p], APPENDED) for p in PLACES))
    await tallies.settle(COUNTED_USERS[3], APPENDED)
    await tallies.settle(COUNTED_USERS[3], REFUSED)
    return [*(settled(some, APPENDED) for some in together(server)), settled([3], APPENDED), settled([3], REFUSED)]


async def usage(server: Recorder) -> list[Call]:
    """What a user has used."""
    await Tallies(Log(KEYS, server)).usage(COUNTED_USERS[3])
    head = {"limits": KEYS.limits[3], "counts": counts(3), "user": COUNTED_USERS[3]}
    return [{"head": [head | {"flat": [None] * 2}]}]


async def forgive(server: Recorder) -> list[Call]:
    """A user begins anew in one group, and in all."""
    tallies, groups = Tallies(Log(KEYS, server)), ("g", "")
    for group in groups:
        await tallies.forgive(COUNTED_USERS[3], group)
    keys = {"counts": counts(3), "reserved": reservations(3), "exhausted": KEYS.exhausted[3] + COUNTED_USERS[3]}
    return [{"head": [keys | {"group": group, "usual": "interrupts.create"}]} for group in groups]


async def claim(server: Recorder) -> list[Call]:
    """The first one, one that comes later, and one that is to be instead of the first."""
    tallies, texts = Tallies(Log(KEYS, server)), ((b"1", b"", b"1"), (b"2", b"", b"1"), (b"3", b"1", b"3"))
    for text, instead_of, claimed in texts:
        assert await tallies.claim(COUNTED_USERS[3], "g", text, instead_of, 60_000) == claimed
    head = {"place": KEYS.exhausted[3] + COUNTED_USERS[3], "name": "g", "lasts_ms": 60_000}
    return [{"head": [head | {"text": text, "instead_of": instead_of}]} for text, instead_of, _ in texts]


def counting(some: Sequence[int], numbers: Sequence[int], before: str) -> Call:
    """Creations of the users of some partitions, in the words of the header."""
    targets: list[Values] = [
        {"counted": KEYS.counted[p], "items": len(numbers), "before": before, "upto": f"7 {numbers[-1]}"} for p in some
    ]
    items: list[Values] = [
        {
            "counts": counts(p),
            "reserved": reservations(p),
            "interrupt": f"{p} {number} {ALL_GROUPS}",
            "groups": ALL_GROUPS,
            "ms": 7,
            "number": number,
        }
        for p in some
        for number in numbers
    ]
    return {"head": [{"source": 3, "targets": len(some)}], "target": targets, "item": items}


async def count(server: Recorder) -> list[Call]:
    """A step with two creations of each user in one partition, and the next one with two more."""
    work, unit, steps = Counting(KEYS, server, pytest.fail), Unit(3, Rates(), 1, Checkpoint(), True), ((1, 2), (3, 4))
    for numbers in steps:
        changes = Changes()
        for p, number in itertools.product(PLACES, numbers):
            changes.created(Creation(COUNTED_USERS[p], f"{p} {number}", GROUPS, (7, number)))
        folded = Folded(Checkpoint(f"7-{numbers[-1]}", numbers[-1]), changes)
        await work.step(unit, folded)
        unit.at = folded.to
    return [
        counting(some, numbers, before)
        for numbers, before in zip(steps, ("", "7 2"), strict=True)
        for some in together(server)
    ]


async def _check(server: Recorder, *, mends: bool) -> None:
    views: Any = Views(Log(KEYS, server))
    await RatesCheck(views, Meter("", 1, None), lambda _: None, mends=mends).run()


async def tallied(server: Recorder) -> list[Call]:
    """Asks up to where the logs are counted in each partition, and then what is counted of each user."""
    await _check(server, mends=False)
    marks: list[Call] = [{"head": [{"counted": counted}]} for counted in KEYS.counted]
    return marks + [{"head": [{"counted": KEYS.counted[p]}], "user": [{"counts": counts(p)}]} for p in sorted(PLACES)]


async def mend(server: Recorder) -> list[Call]:
    """Puts right what is counted of each user: the log has nothing."""
    await _check(server, mends=True)
    return [{"head": [{"counts": counts(p), "group": "g", "found": TALLY, "right": ""}]} for p in sorted(PLACES)]
