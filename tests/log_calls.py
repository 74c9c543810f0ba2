"""How Python calls the scripts of the log, and the same calls in the words of the headers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from interrupts.expiry import Expiry
from interrupts.keys import meta_key
from interrupts.limits import EXPIRE_BATCH_MAX, EXPIRE_BYTES_MAX
from interrupts.open_log import _settle_partitions
from interrupts.ports import Ports
from interrupts.store.log import Log
from tests.headers import Call
from tests.recording import KEYS, Recorder

BATCH: dict[int, dict[str, tuple[str, int | None]]] = {  # partition, interrupt, terms, ttl_ms
    3: {"3000" + "a" * 28: ("new", 60_000), "3fff" + "b" * 28: ("1 open r", None)},
    0: {"0000" + "c" * 28: ("new", None)},
    15: {"f000" + "d" * 28: ("2 due x", None), "ffff" + "e" * 28: ("new", 1)},
}


def groups_of(call: Sequence[int], *, marks: bool = False) -> Call:
    """The batch's items of these partitions, in the words of the headers."""
    made: Call = {"head": [{"partitions": len(call), "mark": "1"}], "partition": [], "item": []}
    for number in call:
        partition = {"log": KEYS.logs[number], "deadlines": KEYS.deadlines[number], "items": len(BATCH[number])}
        made["partition"].append(partition | ({"mark": KEYS.marks[number]} if marks else {}))
        made["item"] += (
            {"interrupt": KEYS.interrupt(name), "terms": terms, "ttl_ms": ttl_ms or "", "event": b'["event"]'}
            for name, (terms, ttl_ms) in BATCH[number].items()
        )
    return made


def calls_of(server: Recorder, *, marks: bool = False) -> list[Call]:
    """On one server one call has all partitions; in a cluster each has a call of its own."""
    together = [list(BATCH)] if server.route.one_server else [[number] for number in BATCH]
    return [groups_of(numbers, marks=marks) for numbers in together]


async def append(server: Recorder) -> list[Call]:
    """Appends the batch."""
    log = Log(KEYS, server)
    items = [(name, *said) for batch in BATCH.values() for name, said in batch.items()]
    await asyncio.gather(*(log.append(name, b'["event"]', terms, ttl_ms) for name, terms, ttl_ms in items))
    return calls_of(server, marks=True)


async def read(server: Recorder) -> list[Call]:
    """Looks at the batch."""
    log = Log(KEYS, server)
    await asyncio.gather(*(log.read(name) for batch in BATCH.values() for name in batch))
    return calls_of(server)


async def due(server: Recorder) -> list[Call]:
    """Asks a partition for what is overdue."""
    await Expiry(Log(KEYS, server), Ports()).round([3])
    asked = {"interrupts": KEYS.interrupts[3], "limit": EXPIRE_BATCH_MAX, "bytes": EXPIRE_BYTES_MAX, "known": []}
    return [{"head": [{"log": KEYS.logs[3], "deadlines": KEYS.deadlines[3]} | asked]}]


async def namespace(server: Recorder) -> list[Call]:
    """Settles a namespace's number of partitions."""
    await _settle_partitions(server, "scripts", 4)
    return [{"head": [{"meta": meta_key("scripts"), "wanted": b'{"format":1,"partitions":4}'}]}]
