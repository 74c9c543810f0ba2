"""Writing down that deadlines have passed: all that is due and nothing else, once, in bounded steps."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from interrupts import FlowInterrupt, InterruptService, InterruptStatus, connect
from interrupts.store.lanes import Command, Lanes, UnreachableError
from interrupts.store.log import APPEND
from projections import PROJECTIONS
from projections.verify import verify
from tests.conftest import World, until_expired, whole_log
from tests.raw import folded
from tests.servers import sessions
from tests.waiting import YES, ask, run

SHORT = timedelta(milliseconds=1)
LONG = timedelta(hours=1)
TURNS = 30


async def due(service: InterruptService, count: int, **options: Any) -> list[FlowInterrupt]:
    """So many, in all partitions in turn, whose deadlines have passed."""
    there = sessions(service)
    calls = (ask(service, there[n % len(there)], ttl=SHORT, **options) for n in range(count))
    made = await asyncio.gather(*calls)
    await asyncio.gather(*(until_expired(service, one.id) for one in made))
    return list(made)


async def assert_expired(service: InterruptService, asked: Sequence[FlowInterrupt]) -> None:
    """Each of them has its one expiry in the log, and nobody else has."""
    expired = [event.interrupt_id for event in await whole_log(service) if event.type == "interrupt.expired"]
    assert Counter(expired) == Counter(one.id for one in asked)


def test_one_round_expires_what_is_due_and_says_what_is_next(url: str, namespace: str) -> None:
    """In all partitions that were asked for, and no others; nothing that is not due."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service:
            asked = await due(service, 40)
            there = sessions(service)
            later = [await ask(service, there[1], ttl=LONG), await ask(service, there[1], ttl=2 * LONG)]
            left, expired = await service.expiry.round([0, 1])
            assert (set(left), expired, service.expiry.expired) == ({0, 1}, 20, 20)
            assert (left[0].next_ms, left[0].more) == (None, False)
            next_ms = left[1].next_ms
            assert next_ms is not None
            assert LONG / SHORT - 60_000 < next_ms <= LONG / SHORT
            await assert_expired(service, [one for one in asked if one.session_id in there[:2]])
            again, expired = await service.expiry.round(range(4))
            assert expired == 20
            assert not any(again[partition].more for partition in range(4))
            await assert_expired(service, asked)
            assert await service.expiry.round([]) == ({}, 0)
            assert [await service.get_interrupt(one.id) for one in later] == later

    run(main())


def test_rounds_and_batches_are_bounded(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round takes so many of a partition and not more, a script call so many of all; together they do everything."""
    monkeypatch.setattr("interrupts.expiry.EXPIRE_BATCH_MAX", 8)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            asked = await due(service, 60)
            append_all, batches = service.store.append_all, list[int]()

            async def noted(items: Any) -> Any:
                batches.append(len(items))
                return await append_all(items)

            service.store.append_all = noted  # type: ignore[method-assign]
            await service.expiry.round(range(2))
            assert (service.expiry.expired, batches) == (16, [8, 8])
            assert await service.expire_pending() == 44
            assert max(batches) == 8
            await assert_expired(service, asked)

    run(main())


def test_large_interrupts_are_read_some_at_a_time(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large they are: a round ends after so many bytes, and never without having done something."""
    monkeypatch.setattr("interrupts.expiry.EXPIRE_BYTES_MAX", 10_000)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            asked = []
            for size in [4_000] * 12 + [20_000] * 2:
                data = {"much": "x" * size}
                asked.append(await service.create_interrupt("timeout", "r", "u", "s", data=data, ttl=SHORT))
            await until_expired(service, asked[-1].id)
            _, expired = await service.expiry.round([0])
            assert 1 <= expired <= 3
            assert await service.expire_pending() == len(asked) - expired
            await assert_expired(service, asked)

    run(main())


def test_what_has_no_deadline_to_enforce_never_expires(url: str, namespace: str) -> None:
    """`auto_expire=False`, or none at all, extended or not: expire_pending finds nothing, however late it is."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            shown = [await ask(service, f"s{number}", ttl=SHORT, auto_expire=False) for number in range(4)]
            await service.extend(shown[0].id, timedelta(milliseconds=200))
            never = await service.create_checkpoint("r", "u", "s")
            await until_expired(service, (await due(service, 1))[0].id)
            assert await service.expire_pending() == 1
            assert await service.expire_pending() == 0
            for one in (*shown, never):
                now = await service.get_interrupt(one.id)
                assert now is not None
                assert now.status is InterruptStatus.PENDING

    run(main())


def test_services_that_expire_at_once_write_each_expiry_once(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In many small steps, beside answers that are too late: one event and one telling each, and the counts add up."""
    monkeypatch.setattr("interrupts.expiry.EXPIRE_BATCH_MAX", 5)
    world = World()

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=2, webhook_service=world) as one,
            connect(url, namespace=namespace, webhook_service=world) as two,
        ):
            asked = await due(one, 100)
            answers = [two.respond(interrupt.id, YES) for interrupt in asked[::7]]
            counts = await asyncio.gather(one.expire_pending(), two.expire_pending(), *answers, return_exceptions=True)
            await assert_expired(one, asked)
            assert len(await whole_log(one)) == 200
            assert world.announced().count("interrupt.expired") == 100
            assert isinstance(counts[0], int)
            assert isinstance(counts[1], int)
            assert 100 - len(answers) <= counts[0] + counts[1] <= 100
            await folded(one, PROJECTIONS)
            assert (await verify(one)).differences == []

    run(main())


def test_all_ports_hear_of_an_expiry(url: str, namespace: str) -> None:
    """Once each, of the interrupt as it then is; one that fails spoils nothing."""

    def harm(port: str) -> None:
        if port == "otel_adapter":
            raise RuntimeError("no")

    world, spoilt = World(), World(harm)

    async def main() -> None:
        async with connect(url, namespace=namespace, **(world.ports() | {"otel_adapter": spoilt})) as service:
            (asked,) = await due(service, 1)
            world.told.clear()
            assert await service.expire_pending() == 1
            now = await service.get_interrupt(asked.id)
            assert now is not None
            row = now.to_db_row()
            names = ("status", "response", "resolved_at", "version", "position", "resolved_by", "reason")
            changed = {name: row[name] for name in names}
            assert world.told == [
                ("update", "flow_interrupts", changed, {"id": asked.id}),
                ("webhook", "interrupt.expired", now.to_dict(), "r"),
            ]
            assert await service.expire_pending() == 0

    run(main())


def test_lost_replies_expire_once_and_are_told(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replies to appends are lost after they ran: what was expired is counted and told all the same, once."""
    call, lost = Lanes.call, [0]
    world = World()

    async def losing(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        replies = await call(lanes, commands, timeout_s)
        if commands[0][1:2] and commands[0][1] in (APPEND.sha, APPEND.text):
            lost[0] += 1
            if lost[0] % 2:
                raise UnreachableError("the reply was lost", sent=True)
        return replies

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2, webhook_service=world) as service:
            asked = await due(service, 10)
            monkeypatch.setattr(Lanes, "call", losing)
            counted = await service.expire_pending()
            monkeypatch.undo()
            await assert_expired(service, asked)
            assert world.announced().count("interrupt.expired") == counted == 10

    run(main())


def test_whatever_is_cut_off_is_done_by_the_next(url: str, namespace: str) -> None:
    """Called off at any turn of the loop: each is expired at most once, and by the next call at the latest."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            asked: list[FlowInterrupt] = []
            for turn in range(TURNS):
                asked += await due(service, 2)
                task = asyncio.create_task(service.expire_pending())
                for _ in range(turn):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await service.store.drain()
            await service.expire_pending()
            await assert_expired(service, asked)

    run(main())
