"""Waiting for one interrupt: whatever closes it, wherever, wakes whoever waits, and nothing else does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from interrupts import FlowInterrupt, InterruptsError, InterruptService, InterruptStatus, connect
from interrupts.commands import Mark
from interrupts.errors import WaitTimeoutError
from tests.conftest import World, until_expired, whole_log
from tests.raw import write_entry
from tests.servers import until
from tests.waiting import YES, ask, asleep, begun, hung_up, looks, run, types

SHORT = timedelta(milliseconds=1)
LONG = timedelta(hours=1)
HOWS = ["resolved", "cancelled", "expired"]
WAITERS = 25


async def closed(service: InterruptService, asked: FlowInterrupt, how: str) -> None:
    """Closes it, and sees to it that this is written down."""
    if how == "resolved":
        await service.respond(asked.id, YES)
    elif how == "cancelled":
        await service.cancel(asked.id, "off")
    else:
        await until_expired(service, asked.id)
        await service.expire_pending()


@pytest.mark.parametrize("how", HOWS)
def test_what_is_closed_is_returned_at_once(url: str, namespace: str, how: str) -> None:
    """Even a wait of no time at all gives what is closed, as it is."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service, ttl=SHORT if how == "expired" else LONG)
            await closed(service, asked, how)
            for timeout in (0, timedelta(0), 5, None):
                there = await service.wait(asked.id, timeout)
                assert there == await service.get_interrupt(asked.id)
                assert (there.status.value, there.version) == (how, 2)
            assert hung_up(service) == []

    run(main())


@pytest.mark.parametrize("how", HOWS)
def test_whoever_waits_is_woken_by_what_another_service_does(url: str, namespace: str, how: str) -> None:
    """It is told by status what has become of it; only an answer has a response."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = await ask(one, ttl=timedelta(milliseconds=400) if how == "expired" else LONG)
            (waiter,) = await begun(one, one.wait(asked.id))
            await closed(two, asked, how)
            told = await waiter
            assert told == await two.get_interrupt(asked.id)
            assert told.status.value == how
            assert told.response == (YES if how == "resolved" else None)
            assert await types(two, asked.id) == ["interrupt.created", f"interrupt.{how}"]

    run(main())


@pytest.mark.parametrize("timeout", [0, 0.0, 0.03, SHORT, timedelta(milliseconds=50)])
def test_a_wait_that_runs_out_of_time_leaves_the_interrupt_as_it_is(
    url: str, namespace: str, timeout: float | timedelta
) -> None:
    """It is a TimeoutError and one of ours, shows what was seen, writes nothing, and the wait may begin again."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            for _ in range(2):
                with pytest.raises(WaitTimeoutError, match=asked.id) as late:
                    await service.wait(asked.id, timeout)
                assert isinstance(late.value, TimeoutError)
                assert isinstance(late.value, InterruptsError)
                assert late.value.interrupt == asked
            assert await whole_log(service) == await service.log.range(service.log.partition_of("s"))
            assert await types(service, asked.id) == ["interrupt.created"]
            assert hung_up(service) == []
            answered = await service.respond(asked.id, YES)
            assert await service.wait(asked.id, timeout) == answered

    run(main())


def test_at_its_deadline_those_who_wait_write_the_expiry_once(url: str, namespace: str) -> None:
    """Without a worker: many waiters of several services, one event, one telling of the ports, not before its time."""
    world = World()

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, webhook_service=world) as one,
            connect(url, namespace=namespace, webhook_service=world) as two,
        ):
            asked = await ask(one, ttl=timedelta(milliseconds=100))
            waits = [service.wait(asked.id) for service in (one, two) for _ in range(WAITERS)]
            ends = await asyncio.gather(*waits)
            _, expired = await one.history(asked.id)
            assert len(await whole_log(one)) == 2
            assert asked.expires_at is not None
            assert expired.type == "interrupt.expired"
            assert expired.at >= asked.expires_at
            assert {(end.status, end.position) for end in ends} == {(InterruptStatus.EXPIRED, expired.position)}
            assert all(end.response is None for end in ends)

    run(main())
    assert world.announced() == ["interrupt.confirmation_needed", "interrupt.expired"]


def test_a_deadline_that_is_only_shown_ends_no_wait(url: str, namespace: str) -> None:
    """`auto_expire=False`: past its `expires_at` the waiter sleeps on, until it is answered."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            shown = await ask(service, ttl=SHORT, auto_expire=False)
            (waiter,) = await begun(service, service.wait(shown.id))
            await until_expired(service, (await ask(service, ttl=SHORT)).id)
            with pytest.raises(WaitTimeoutError):
                await service.wait(shown.id, 0.05)
            await asleep(service, 1)
            assert await types(service, shown.id) == ["interrupt.created"]
            answered = await service.respond(shown.id, YES)
            assert await waiter == answered

    run(main())


def test_a_deadline_that_is_moved_while_somebody_waits_holds_as_moved(url: str, namespace: str) -> None:
    """At the first deadline the waiter sleeps on; at the moved one it writes the expiry, by the log's time after it."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            first, ttl = await ask(one, "t", ttl_seconds=0.8), timedelta(seconds=0.8)
            moved, later = await ask(one, ttl=ttl), await ask(one, ttl=ttl)
            waiters = await begun(one, one.wait(moved.id), one.wait(later.id))
            assert await two.extend(moved.id, timedelta(seconds=1.2)) is not None
            assert await two.extend(later.id, LONG) is not None
            await until_expired(two, first.id)
            assert not waiters[1].done()
            told = await waiters[0]
            _, extended, expired = await two.history(moved.id)
            assert (extended.type, expired.type) == ("interrupt.extended", "interrupt.expired")
            assert expired.at >= extended.at + timedelta(seconds=1.2) == told.expires_at
            assert told.status is InterruptStatus.EXPIRED
            assert await two.respond(later.id, YES) == await waiters[1]

    run(main())


def test_many_may_wait_for_the_same(url: str, namespace: str) -> None:
    """All of them, in whichever service, are told the same."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = await ask(one)
            waiters = await begun(one, *(one.wait(asked.id) for _ in range(WAITERS)))
            waiters += await begun(two, *(two.wait(asked.id, 60) for _ in range(WAITERS)))
            answered = await two.respond(asked.id, YES)
            assert await asyncio.gather(*waiters) == [answered] * 2 * WAITERS

    run(main())


def test_the_events_of_others_wake_nobody(url: str, namespace: str) -> None:
    """Others' creations, answers and marks, what is published, and what is no event: a waiter does not even look."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            asked, last = await ask(service), await ask(service)
            waiters = await begun(service, service.wait(asked.id), service.wait(last.id))
            seen = looks(service)
            other = await ask(service)
            await service.extend(other.id, timedelta(hours=2))
            await service.respond(other.id, YES)
            for done in (False, True):
                await service.execution.carry_out(Mark(other.id, f"m{done}", "g", done))
            await service.publish("a.b.c", {"id": asked.id}, session_id=asked.id, idempotency_key=asked.id)
            await service.publish("a.b.c", {"interrupt_id": asked.id}, request_id=f'"{asked.id}"')
            await service.cancel(last.id)
            assert await waiters[1] == await service.get_interrupt(last.id)
            assert set(seen) == {last.id}
            await service.extend(asked.id, timedelta(hours=3))
            await until(lambda: asked.id in seen, "it looks, as its own deadline was moved")
            await asleep(service, 1)
            assert seen.count(asked.id) == 1
            assert await service.respond(asked.id, YES) == await waiters[0]

    run(main())


def test_an_entry_that_is_no_event_keeps_nobody_asleep(url: str, namespace: str) -> None:
    """Whatever somebody else writes into the log: those who wait hear of the answer that comes behind it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            asked = await ask(service)
            (waiter,) = await begun(service, service.wait(asked.id))
            for number, nonsense in enumerate(("", '"', "[]", '["', "\xff", f'"{asked.id}"', "{}"), 2):
                await write_entry(service, number, nonsense)
            assert await service.respond(asked.id, YES) == await waiter

    run(main())
