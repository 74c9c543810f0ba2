"""Folding as a load: fill a log, fold it in this process, look at the views, remove them; and the floor: bare reads."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Final

import redis

from benchmarks.measuring import per_second
from benchmarks.server import BenchServer
from benchmarks.shape import ANSWER, Ask, creating
from benchmarks.stored import KEYS, pending
from interrupts import InterruptResponse, InterruptService
from interrupts.views import BY_KIND, BY_REQUEST, BY_SESSION, BY_USER, CLOSED, COUNTED, COUNTS, PENDING
from projections import PROJECTIONS
from workers.projecting import Projecting

IN_FLIGHT: Final = 512
ANSWERED: Final = 3
"""Of so many interrupts one is answered: then 3/4 of the events are creations and 1/4 answers."""
READ_COUNT: Final = 1_000
BARE_READS: Final = (
    f"a bare loop of redis-py's xrange with COUNT {READ_COUNT:,} over the same logs (with hiredis), which throws the "
    "entries away"
)
INDEXES: Final = (BY_KIND, BY_SESSION, BY_REQUEST, BY_USER)
_FOLD_TIMEOUT_S: Final = 600.0
_REMOVED_AT_ONCE: Final = 10_000


async def fill(service: InterruptService, callers: Iterable[Ask]) -> None:
    """Creates, and answers one of three as soon as it is there."""
    create = creating(service)

    async def create_and_answer(numbered: tuple[int, Ask]) -> None:
        number, ask = numbered
        interrupt = await create(ask)
        if number % ANSWERED == 0:
            answered = await service.respond(interrupt.id, InterruptResponse(text=ANSWER), user_id=interrupt.user_id)
            assert answered is not None

    await per_second(create_and_answer, enumerate(callers), IN_FLIGHT)


async def fold_all(service: InterruptService, events: int) -> float:
    """Folds all that is in the log into all views, in this process; returns how many events a second that were.

    The time goes from before the worker joins until its views are live and at the end of the log.
    """
    gc.collect()  # what the measurement before has left
    projecting = Projecting(service, PROJECTIONS)
    began = perf_counter()
    await projecting.start()
    try:
        ready = await projecting.ready(_FOLD_TIMEOUT_S)
        took_s = perf_counter() - began
    finally:
        await projecting.stop()
    assert ready, f"not folded within {_FOLD_TIMEOUT_S:.0f} s"
    assert projecting.folded == events, f"{projecting.folded} events were folded, and {events} written"
    return events / took_s


def check_views(server: BenchServer, closed: int) -> None:
    """The views hold what is pending and what is closed, each interrupt once in each of its indexes."""
    still = pending(server)
    for index in INDEXES:
        assert in_index(server, index) == still, f"by {index} there are not {still:,} pending ones"
    assert in_index(server, BY_SESSION, CLOSED.name) == closed
    for status, expected in (("pending", still), ("resolved", closed)):
        counted = [key for keys in _keys_like(server, f"*:view:{COUNTS.name}:*:{COUNTED}") for key in keys]
        told = server.commands([("HGET", key, f"clarification:{status}") for key in set(counted)])
        assert sum(int(number or 0) for number in told) == expected


def in_index(server: BenchServer, index: str, view: str = PENDING.name) -> int:
    """How many entries an index of a view has, where the view has one generation."""
    found = list({key for keys in _keys_like(server, f"*:view:{view}:*:{index}*") for key in keys})
    return sum(server.commands([("ZCARD", key) for key in found]))


def remove_views(server: BenchServer, which: str = "") -> int:
    """Removes all views as if they had never been, or those keys of theirs that begin so; returns how many keys."""
    return sum(server.command("DEL", *keys) for keys in _keys_like(server, f"*:view:{which}*"))


def bare_reads(server: BenchServer, *, parsed: bool = True) -> float:
    """The floor: events a second that a loop of XRANGE gets from all logs, one page at a time, and throws away.

    As redis-py does it, which makes a dict of each entry's fields; not `parsed`, they stay as hiredis returns them.
    Plain redis-py, not its asyncio client, which is no faster.
    """
    read = 0
    with redis.Redis(port=server.port) as client:
        if not parsed:
            client.response_callbacks.pop("XRANGE", None)
        gc.collect()
        began = perf_counter()
        for log in KEYS.logs:
            after = "-"
            while True:
                entries = client.execute_command("XRANGE", log, after, "+", "COUNT", READ_COUNT)
                read += len(entries)
                if len(entries) < READ_COUNT:
                    break
                after = f"({entries[-1][0].decode()}"
        took_s = perf_counter() - began
    return read / took_s


def _keys_like(server: BenchServer, pattern: str) -> Iterator[list[bytes]]:
    """The server's keys that match, some thousand at a time; one may come twice."""
    cursor = 0
    while True:
        cursor, keys = server.command("SCAN", cursor, "MATCH", pattern, "COUNT", _REMOVED_AT_ONCE)
        if keys:
            yield keys
        if not int(cursor):
            return
