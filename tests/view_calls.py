"""How Python calls the scripts of the views, and the same calls in the words of the headers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interrupts.cursors import encode_cursor
from interrupts.keys import workers_key
from interrupts.limits import PAGE_BYTES_MAX, PAGE_SCAN_MAX, WORKER_LEASE_S
from interrupts.listing import Asked, Listing
from interrupts.store.log import Log
from interrupts.store.lookup import ViewLookup
from interrupts.views import CLOSED, COUNTED, COUNTS, PENDING, Checkpoint, Stopped, View
from projections.changes import Changes
from projections.closed import Closed
from projections.folding import Folded
from projections.interrupts_check import check_interrupts
from projections.pending import Pending
from projections.progress import Meter
from projections.store import Views
from projections.units import Unit
from projections.view_check import HIGHEST, LOWEST, MEMBERS_AT_ONCE, check_view
from tests.headers import Call, Values
from tests.recording import KEYS, LISTED, Recorder, within
from workers.sharing import Membership

PLACES = (3, 0)  # partitions
PARTITION_LISTED = 3
GROUPS = [["session:s"], ["kind:clarification", "kind:checkpoint"]]
INDEXES = [key for group in GROUPS for key in group]


def listing(server: Recorder) -> Listing:
    """Lists, as the service has them."""
    log = Log(KEYS, server)
    return Listing(log, ViewLookup(KEYS, server, log.wrote, log.forget))


def asked(partitions: Sequence[int], view: View = PENDING) -> Asked:
    """What is in both groups of indexes, in some partitions."""
    return Asked(view, partitions, GROUPS, {}, False)


def asks(partition: int, view: View = PENDING, **values: Any) -> Call:
    """One partition's call of a script that reads a view."""
    head = {"log": KEYS.logs[partition], "card": KEYS.card(partition, view.name), "generation": 1}
    return {
        "head": [head | {"deadlines": KEYS.deadlines[partition], "groups": len(GROUPS)} | values],
        "index": [{"key": within(view, partition, key)} for key in INDEXES],
        "group": [{"keys": len(group)} for group in GROUPS],
    }


def next_ones(partition: int, after: int | str, limit: int) -> Call:
    """One partition's call of a script that finds the next ones."""
    bounds: Values = {"after": after, "limit": limit, "scan": PAGE_SCAN_MAX + limit, "bytes": PAGE_BYTES_MAX}
    made = asks(partition, interrupts=KEYS.interrupts[partition], status="pending", **bounds)
    return made | {"item": [{}] * len(LISTED) if partition == PARTITION_LISTED else []}


async def page(server: Recorder) -> list[Call]:
    """A page of one partition, and one that goes on."""
    lists, alone = listing(server), asked([3])
    await lists.page(alone, 5, None)
    await lists.page(alone, 6, encode_cursor(alone.fingerprint, {3: 6}))
    return [next_ones(3, "", 5), next_ones(3, 6, 6)]


async def heads(server: Recorder) -> list[Call]:
    """Where the next ones of several partitions are."""
    await listing(server).ids(asked([3, 15]), 7, {15: 9})
    return [next_ones(3, "", 7), next_ones(15, 9, 7)]


async def total(server: Recorder) -> list[Call]:
    """How many are listed."""
    await listing(server).total(asked(PLACES))
    return [asks(partition, scan=PAGE_SCAN_MAX) for partition in PLACES]


async def counts(server: Recorder) -> list[Call]:
    """How many there are by kind and status."""
    await listing(server).counts(asked(PLACES, COUNTS))
    return [asks(partition, COUNTS, counted=within(COUNTS, partition, COUNTED)) for partition in PLACES]


async def views(server: Recorder) -> list[Call]:
    """How two views stand in two partitions."""
    names = ["pending", "counts"]
    await Views(Log(KEYS, server)).standings(names, PLACES)
    return [{"head": [{"log": KEYS.logs[p]}], "view": [{"card": KEYS.card(p, name)} for name in names]} for p in PLACES]


async def apply(server: Recorder) -> list[Call]:
    """Changes of two views in one partition, one of which stops there."""
    there, stop = Checkpoint("7-0", 7, b'["event"'), Stopped("3:8-0", 8, "why")
    first, second = Changes(), Changes()
    first.put(["session:s", "kind:checkpoint"], "a", 7)
    first.remove(["session:s"], "b")
    first.keep_newest("session:s", 3)
    second.write("hash", "field", "value")
    second.count("hash", "number", 2)
    units = [Unit(3, Pending(), 1, Checkpoint(), True), Unit(3, Closed(), 1, Checkpoint(), True)]
    await Views(Log(KEYS, server)).apply(
        [(units[0], Folded(there, first.seal()), "worker"), (units[1], Folded(there, second.seal(), stop), "")]
    )
    said: Values = {"log": KEYS.logs[3], "generation": 1, "from": b"0-0 0 ", "to": b'7-0 7 ["event"'}
    views: list[Values] = [
        {
            "card": KEYS.card(3, "pending"),
            "whole": "worker",
            "stopped": b"",
            "changes": 3,
            "keys": 4,
            "length": 5 + 4 + 5,
        },
        {
            "card": KEYS.card(3, "closed"),
            "whole": "",
            "stopped": b'{"position":"3:8-0","sequence":8,"error":"why","problem":"event"}',
            "changes": 2,
            "keys": 2,
            "length": 5 + 5,
        },
    ]
    changes: list[tuple[View, str, list[str], list[Any]]] = [
        (PENDING, "ZADD", ["session:s", "kind:checkpoint"], [7, "a"]),
        (PENDING, "ZREM", ["session:s"], ["b"]),
        (PENDING, "ZREMRANGEBYRANK", ["session:s"], [0, -4]),
        (CLOSED, "HSET", ["hash"], ["field", "value"]),
        (CLOSED, "HINCRBY", ["hash"], ["number", 2]),
    ]
    return [
        {
            "head": [{"views": 2}],
            "view": [said | view for view in views],
            "change": [
                {
                    "key": [within(view, 3, key) for key in keys],
                    "command": command,
                    "keys": len(keys),
                    "count": len(arguments),
                    "arguments": arguments,
                }
                for view, command, keys, arguments in changes
            ],
        }
    ]


async def begin(server: Recorder) -> list[Call]:
    """A younger version of a view is begun, and begun again from the start."""
    store = Views(Log(KEYS, server))
    head = {"log": KEYS.logs[3], "card": KEYS.card(3, "pending"), "version": 2}
    await store.begin(3, "pending", 2)
    await store.begin(3, "pending", 2, from_start=True)
    return [{"head": [head | {"anew": anew}]} for anew in ("", "1")]


async def attend(server: Recorder) -> list[Call]:
    """A process comes, looks, and goes; one that only reads looks, too."""
    log = Log(KEYS, server)
    member = Membership(log, "projections")
    await member.beat()
    await ViewLookup(KEYS, server, log.wrote, log.forget)._attended()
    await member.leave()
    said = [(member.worker, round(WORKER_LEASE_S * 1000)), ("", ""), (member.worker, 0)]
    key = workers_key("scripts", "projections")
    return [{"head": [{"workers": key, "worker": worker, "lease_ms": lease_ms}]} for worker, lease_ms in said]


async def snapshot(server: Recorder) -> list[Call]:
    """Compares a view with the log."""
    keys = [within(PENDING, 3, key) for key in ("kind:checkpoint", "session:s")]
    await check_view(Views(Log(KEYS, server)), Pending(), 3, keys, Meter("", 1, None), lambda _: None)
    head = {"card": KEYS.card(3, "pending"), "generation": 1, "low": LOWEST, "high": HIGHEST}
    return [{"head": [head | {"members": MEMBERS_AT_ONCE}], "view": [{"key": key} for key in keys]}]


async def stored(server: Recorder) -> list[Call]:
    """Compares interrupts with the log."""
    items: list[Values] = [{"interrupt": KEYS.interrupt(event.id), "id": event.id} for event in LISTED]
    names = [item["interrupt"] for item in items]
    await check_interrupts(Views(Log(KEYS, server)), 3, names, Meter("", 1, None), lambda _: None)
    head = {"log": KEYS.logs[3], "deadlines": KEYS.deadlines[3]}
    return [{"head": [head], "item": items}]
