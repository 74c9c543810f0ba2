"""Deadlines: after one nothing is answered any more, whether or not somebody has written the expiry down by then."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

import pytest

from interrupts import (
    ConflictError,
    FlowInterrupt,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    connect,
)
from interrupts.ids import new_id
from interrupts.limits import EXPIRE_BATCH_MAX
from tests.conftest import until_expired, whole_log

YES = InterruptResponse(approved=True)
SHORT = timedelta(milliseconds=1)
BOUND_S = 10
"""What would otherwise never end is given up after this."""


async def ask(service: InterruptService, session: str = "s", **options: Any) -> FlowInterrupt:
    """A confirmation whose deadline is at once, unless told otherwise."""
    return await service.create_confirmation("r", "u", session, "Go on?", **({"ttl": SHORT} | options))


async def types(service: InterruptService, interrupt_id: str) -> list[str]:
    """What has happened to it."""
    return [event.type for event in await service.history(interrupt_id)]


async def deadlines(service: InterruptService) -> int:
    """How many deadlines are kept, in all partitions."""
    log = service._log
    counts = [await log.server.command(slot, "ZCARD", log.keys.deadlines[n]) for n, slot in enumerate(log.keys.slots)]
    return sum(counts)


def test_an_overdue_interrupt_reads_as_expired_at_once(url: str, namespace: str) -> None:
    """Get says expired as soon as the deadline has passed, and writes nothing."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            assert asked.expires_at == asked.created_at + SHORT
            late = await until_expired(service, asked.id)
            assert (late.status, late.reason) == (InterruptStatus.EXPIRED, "deadline passed")
            assert (late.resolved_at, late.resolved_by, late.version) == (asked.expires_at, None, 1)
            assert not late.is_pending
            assert await types(service, asked.id) == ["interrupt.created"]

    asyncio.run(main())


@pytest.mark.parametrize("late_command", ["respond", "cancel"])
def test_a_command_after_the_deadline_loses_and_writes_the_expiry(url: str, namespace: str, late_command: str) -> None:
    """With no worker running: refused with code expired, and the expired event is in the log, once."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            await until_expired(service, asked.id)
            for _ in range(2):
                call = service.respond(asked.id, YES, "u") if late_command == "respond" else service.cancel(asked.id)
                with pytest.raises(ConflictError, match="expired") as lost:
                    await call
                assert lost.value.code == "expired"
                assert lost.value.interrupt == await service.get_interrupt(asked.id)
            assert await types(service, asked.id) == ["interrupt.created", "interrupt.expired"]
            (_, expired) = await service.history(asked.id)
            assert expired.actor is None
            assert asked.expires_at is not None
            assert expired.at >= asked.expires_at
            assert await service.expire_pending() == await deadlines(service) == 0

    asyncio.run(main())


def test_a_late_command_may_be_repeated(url: str, namespace: str) -> None:
    """The same command id again, after the deadline has made it lose, is told the same: expired, one event."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            await until_expired(service, asked.id)
            for _ in range(3):
                with pytest.raises(ConflictError) as lost:
                    await service.respond(asked.id, YES, command_id="c")
                assert lost.value.code == "expired"
            assert len(await service.history(asked.id)) == 2

    asyncio.run(main())


def test_expire_pending_writes_every_deadline_down_once(url: str, namespace: str) -> None:
    """It counts what it did, in all partitions and over several batches; the second run finds nothing to do."""
    count = EXPIRE_BATCH_MAX + 100

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            sessions = ["one and the same"] * count + [f"s{number}" for number in range(count)]
            asked = await asyncio.gather(*(ask(service, session) for session in sessions))
            waits = await ask(service, ttl=timedelta(hours=1))
            await asyncio.gather(*(until_expired(service, interrupt.id) for interrupt in asked))
            assert await service.expire_pending() == len(asked)
            assert await service.expire_pending() == 0
            expired = [event for event in await whole_log(service) if event.type == "interrupt.expired"]
            assert {event.interrupt_id for event in expired} == {interrupt.id for interrupt in asked}
            assert len(expired) == len(asked)
            partitions = {service.log.partition_of(event.session_id) for event in expired}
            assert partitions == set(range(service.log.partitions))
            assert await service.get_interrupt(waits.id) == waits
            assert await deadlines(service) == 1

    asyncio.run(main())


def test_concurrent_expire_pendings_share_the_work(url: str, namespace: str) -> None:
    """Several at once write each expiry once, and their counts add up."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = await asyncio.gather(*(ask(one, f"s{number}") for number in range(100)))
            await asyncio.gather(*(until_expired(one, interrupt.id) for interrupt in asked))
            counts = await asyncio.gather(*(service.expire_pending() for service in (one, two, one, two)))
            assert sum(counts) == 100
            assert len(await whole_log(one)) == 200

    asyncio.run(main())


def test_without_auto_expire_a_deadline_is_only_shown(url: str, namespace: str) -> None:
    """`auto_expire=False`: past its `expires_at` it still waits, nobody expires it, and it can be answered."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            shown = await ask(service, auto_expire=False)
            assert shown.expires_at == shown.created_at + SHORT
            enforced = await ask(service)
            await until_expired(service, enforced.id)
            assert await service.expire_pending() == 1
            assert await service.get_interrupt(shown.id) == shown
            assert shown.is_pending
            answered = await service.respond(shown.id, YES)
            assert answered is not None
            assert answered.status is InterruptStatus.RESOLVED
            assert await service.get_interrupt(shown.id) == answered

    asyncio.run(main())


def test_a_checkpoint_never_expires(url: str, namespace: str) -> None:
    """A kind without a time to live has no deadline at all."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            checkpoint = await service.create_interrupt(InterruptKind.CHECKPOINT, "r", "u", "s")
            assert checkpoint.expires_at is None
            assert await deadlines(service) == 0

    asyncio.run(main())


def test_what_is_closed_leaves_the_deadlines(url: str, namespace: str) -> None:
    """Answered and cancelled in time: no deadline is left, and expire_pending has nothing to look at."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = [await ask(service, ttl=timedelta(hours=1)) for _ in range(3)]
            assert await deadlines(service) == 3
            await service.respond(asked[0].id, YES)
            await service.cancel(asked[1].id)
            assert await deadlines(service) == 1
            assert await service.expire_pending() == 0

    asyncio.run(main())


async def _leave_nonsense(service: InterruptService, session: str, there: bytes | None) -> None:
    """An overdue deadline whose interrupt is missing, or holds these bytes."""
    log, wrong = service._log, new_id(session)
    partition = service.log.partition_of(session)
    await log.server.command(log.keys.slots[partition], "ZADD", log.keys.deadlines[partition], 1, wrong)
    if there is not None:
        await log.server.command(log.keys.slots[partition], "SET", log.keys.interrupt(wrong), there)


@pytest.mark.parametrize(
    "there",
    [None, b'1 pending 1\n1-0 1 ["interrupt.from_the_future",{}]\n', b"1 pending 1\ngarbled\n", b"nonsense", b""],
    ids=["missing", "from a newer version", "garbled", "nonsense", "empty"],
)
def test_a_deadline_that_can_not_be_served_does_not_block_others(
    url: str, namespace: str, there: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    """More than a batch of deadlines with no readable interrupt are said loudly; those behind them expire."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            for _ in range(EXPIRE_BATCH_MAX + 10):
                await _leave_nonsense(service, "s", there)
            asked = [await ask(service) for _ in range(5)]
            await until_expired(service, asked[-1].id)
            assert await service.expire_pending() == 5
            assert [len(await service.history(interrupt.id)) for interrupt in asked] == [2] * 5

    asyncio.run(main())
    assert any(record.levelno == logging.ERROR for record in caplog.records)


@pytest.mark.parametrize("state", ["answered", "not due", "not enforced"])
def test_a_deadline_that_says_otherwise_than_its_interrupt_is_not_believed(
    url: str, namespace: str, state: str
) -> None:
    """An entry for what is closed, due later or never enforced: nothing expires by it, and expire_pending ends."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service, ttl=timedelta(hours=1), auto_expire=state != "not enforced")
            if state == "answered":
                await service.respond(asked.id, YES)
            before = await service.get_interrupt(asked.id)
            log, partition = service._log, service.log.partition_of("s")
            await log.server.command(log.keys.slots[partition], "ZADD", log.keys.deadlines[partition], 1, asked.id)
            late = [await ask(service) for _ in range(3)]
            await until_expired(service, late[-1].id)
            assert await asyncio.wait_for(service.expire_pending(), BOUND_S) == len(late)
            assert await service.get_interrupt(asked.id) == before

    asyncio.run(main())
