"""A drill at one deadline: expirers and answerers in processes of their own, and who waits. It says what it saw."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import ExitStack
from datetime import timedelta

import pytest

from interrupts import FlowInterrupt, InterruptService, InterruptStatus, RecordedEvent, connect
from tests.conftest import whole_log
from tests.deadline_process import Answerer
from tests.servers import RedisServer
from tests.waiting import ask, run

pytestmark = pytest.mark.drill

COUNT = 10_000
AT_ONCE = 500
TTL_S = 20.0
"""Time enough to make them all, and to hand them out."""
TOGETHER_S = 3.0
"""In so many seconds their deadlines pass, and the answers come: about half of them too late."""
EXPIRERS = ["expires 1", "expires 2"]
ANSWERERS = ["answers 1", "answers 2", "answers 3"]
WAITERS = 1_000
BOUND_S = 300.0


async def made(service: InterruptService, until: float) -> list[FlowInterrupt]:
    """So many, the deadlines of all of which are about this moment of the loop's clock."""
    loop, asked = asyncio.get_running_loop(), list[FlowInterrupt]()
    for first in range(0, COUNT, AT_ONCE):
        ttl = timedelta(seconds=until - loop.time())
        asked += await asyncio.gather(*(ask(service, f"s{n}", ttl=ttl) for n in range(first, first + AT_ONCE)))
    return asked


def outcome_of(events: list[RecordedEvent]) -> str:
    """The one end of an interrupt, after its creation, on the right side of its deadline by the log's own times."""
    first, *ends = events
    assert len(ends) == 1, events
    deadline = first.at + timedelta(milliseconds=first.terms["ttl_ms"])
    assert (ends[0].at >= deadline) is (ends[0].type == "interrupt.expired"), events
    return ends[0].actor or ends[0].type


def test_at_one_deadline_of_ten_thousand_each_has_one_outcome(own_server: RedisServer, namespace: str) -> None:
    """Two processes expire and three answer at once: no interrupt ends twice, never, or with an answer after its time;
    what each process says it has done is what the log says, and those who wait are told that."""

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace) as service:
            with ExitStack() as stack:
                processes = {
                    who: stack.enter_context(Answerer(own_server.url, namespace, who)) for who in EXPIRERS + ANSWERERS
                }
                loop = asyncio.get_running_loop()
                deadline = loop.time() + TTL_S
                asked = await made(service, deadline)
                ids = [one.id for one in asked]
                waiting = asyncio.create_task(service.wait_all(ids[:WAITERS]))
                await asyncio.sleep(deadline - loop.time() - TOGETHER_S / 2)
                for process in processes.values():
                    await asyncio.to_thread(process.start, ids, TOGETHER_S)
                won = {who: await asyncio.to_thread(process.won) for who, process in processes.items()}
                told = await waiting
            log: dict[str, list[RecordedEvent]] = {one_id: [] for one_id in ids}
            for event in await whole_log(service):
                log[event.interrupt_id].append(event)
            outcomes = Counter(map(outcome_of, log.values()))
            by_waiters = outcomes["interrupt.expired"] - sum(won[who] for who in EXPIRERS)
            print(f"\nat one deadline: {COUNT}, won by: {won}, expired by those who waited: {by_waiters}")
            assert outcomes.total() == COUNT
            assert {who: outcomes[who] for who in ANSWERERS} == {who: won[who] for who in ANSWERERS}
            assert 0 <= by_waiters <= WAITERS
            assert outcomes["interrupt.expired"] > 0 < sum(outcomes[who] for who in ANSWERERS)
            for one in told:
                end = log[one.id][-1]
                assert one.position == end.position
                assert (one.status is InterruptStatus.EXPIRED) is (end.type == "interrupt.expired")

    run(main(), BOUND_S)
