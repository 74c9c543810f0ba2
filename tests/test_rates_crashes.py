"""Crashes, frozen processes and lost replies between counting and the checkpoint: each creation counts exactly once.

(Killed at each step of folding: `test_projection_crashes`. Several at once: `test_sharing_out`.)
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from interrupts import InterruptService, RateLimitConfig, connect
from interrupts.scripts import Script
from interrupts.store.lanes import Command, Lanes, UnreachableError
from interrupts.store.server import Server, Written
from projections.counting import COUNT
from projections.rates import Rates
from projections.rebuild import rebuild
from projections.store import APPLY
from projections.verify import verify
from tests.folding_victim import PARTITIONS, YOUNGER
from tests.following import assert_right, by_hand, create, fold_all, some_more
from tests.servers import RedisServer
from tests.tallies import reserved, users_of
from tests.view_standing import until_folded
from tests.worker_process import Process
from workers import running

RATES = [Rates()]
WIDE = RateLimitConfig(1_000_000, 10_000_000, 100_000_000, 1_000_000)
OF_MENDING = [f"{what}:{when}" for what in ("tallied", "mend", "settle") for when in ("before", "sent", "answered")]


async def assert_counted_once(service: InterruptService) -> None:
    """What is counted is what a plain loop over the log counts, and what `verify` counts."""
    await assert_right(service, RATES)
    assert (await verify(service, ["rates"])).differences == []


async def spoil(service: InterruptService) -> None:
    """Of one user too much is counted, of the others nothing."""
    keys, server = service.store.keys, service.store.server
    for partition in range(service.log.partitions):
        for user in await users_of(service, partition):
            fields = ("HSET", "+interrupts.create", "9 0 7 7 7 7 7 7;;;") if user == "u0" else ("DEL",)
            await server.command(
                keys.slots[partition], fields[0], keys.rates[partition] + user, *fields[1:], writes=True
            )


@pytest.mark.parametrize("step", OF_MENDING)
def test_a_rebuild_killed_at_any_step_is_finished_by_the_next(
    shared_server: RedisServer, namespace: str, step: str
) -> None:
    """Counts that were put right stay right, and the others come right; no reservation of the log's is left."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=PARTITIONS, limits=WIDE) as service:
            await some_more(service, 16)
            assert service._gate is not None
            await service._gate.drain()
            kept = {user: await reserved(service, user) for user in ("u", "u0", "u1")}
            await fold_all(service, YOUNGER)
            await spoil(service)
            for user, there in kept.items():  # as if they had been written by one that came late
                for name, ms in there.items():
                    partition = service.store.keys.partition_of_user(user)
                    slot, key = service.store.keys.slots[partition], service.store.keys.reserved[partition] + user
                    await service.store.server.command(slot, "ZADD", key, ms, name, writes=True)
            victim = await asyncio.to_thread(Process, "tests.folding_victim", shared_server.url, namespace, step, "1")
            try:
                assert await asyncio.to_thread(victim.ready) == ""
                assert await asyncio.to_thread(victim.popen.wait, 60) == -signal.SIGKILL
            finally:
                victim.end()
            await rebuild(service, "rates")
            await assert_counted_once(service)
            assert [await reserved(service, user) for user in kept] == [{}] * len(kept)
            assert (await rebuild(service, "rates")).mended == 0

    asyncio.run(main())


def hold(monkeypatch: pytest.MonkeyPatch, name: str, *, before: bool) -> tuple[asyncio.Event, asyncio.Event]:
    """The first call of a script is held up: before it is sent, or when it is done. When it is there, and goes on."""
    run, there, gate = Server.run, asyncio.Event(), asyncio.Event()

    async def running_(server: Server, script: Script, *args: Any, **options: Any) -> Written:
        holds = script.name == name and not there.is_set()
        if holds:
            there.set()
        if holds and before:
            await gate.wait()
        written = await run(server, script, *args, **options)
        if holds and not before:
            await gate.wait()
        return written

    monkeypatch.setattr(Server, "run", running_)
    return there, gate


@pytest.mark.parametrize("where", ["before counting", "after counting", "before the checkpoint", "after it"])
@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_one_that_was_frozen_comes_back_with_an_old_step(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, where: str, ahead: int
) -> None:
    """Meanwhile another one has done the same step, or is several further, in other batches: nothing counts twice."""
    name = COUNT.name if "counting" in where else APPLY.name

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            frozen, other = by_hand(stack, service, RATES), by_hand(stack, service, RATES)
            await frozen.all()
            await some_more(service, 12)
            there, gate = hold(monkeypatch, name, before="before" in where)
            held = asyncio.create_task(frozen.step())
            await there.wait()
            monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", 5)
            await other.all()
            for number in range(ahead):
                await create(service, number)
                await other.all()
            gate.set()
            await held
            await frozen.all()
            await assert_counted_once(service)
            await some_more(service, 6)
            await asyncio.gather(frozen.all(), other.all())
            await assert_counted_once(service)

    asyncio.run(main())


@pytest.mark.parametrize("sent", [True, False], ids=["after it ran", "before it ran"])
@pytest.mark.parametrize("every", [2, 3])
def test_lost_replies_count_once(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, sent: bool, every: int
) -> None:
    """Of counting and of the checkpoint: what is sent again finds what it has done."""
    call, lost = Lanes.call, Counter[str]()
    names = {text: script.name for script in (COUNT, APPLY) for text in (script.sha, script.text)}

    async def losing(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        name = names.get(str(commands[0][1:2][0]), "") if commands[0][1:2] else ""
        lost[name] += 1
        if name and lost[name] % every == 1 and not sent:
            raise UnreachableError("it never got there", sent=False)
        replies = await call(lanes, commands, timeout_s)
        if name and lost[name] % every == 1:
            raise UnreachableError("the reply was lost", sent=True)
        return replies

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service, RATES)
            for number in range(10):
                await create(service, number)
                await hand.all()
            await some_more(service)
            await hand.all()
            await rebuild(service, "rates")
            monkeypatch.undo()
            await assert_counted_once(service)

    monkeypatch.setattr(Lanes, "call", losing)
    asyncio.run(main())
    assert min(lost[COUNT.name], lost[APPLY.name]) > 10


def test_a_cancelled_step_is_done_again_by_the_next(url: str, namespace: str) -> None:
    """Wherever in its turn it is cut off, and whoever goes on."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            chance = random.Random(3)
            for _ in range(24):
                await asyncio.gather(*(create(service, number) for number in range(6)))
                hand = by_hand(stack, service, RATES)
                going = asyncio.create_task(hand.all())
                for _ in range(chance.randrange(60)):
                    await asyncio.sleep(0)
                going.cancel()
                await asyncio.gather(going, return_exceptions=True)
            await fold_all(service, RATES)
            await assert_counted_once(service)

    asyncio.run(main())


def test_a_worker_that_is_frozen_and_others_that_go_on_count_once(shared_server: RedisServer, namespace: str) -> None:
    """A process is stopped in its tracks again and again while creations come; two others have all partitions, too."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=4, limits=WIDE) as service:
            process = await asyncio.to_thread(Process, "tests.worker_process", shared_server.url, namespace)
            try:
                assert await asyncio.to_thread(process.ready)
                async with running(service, projections=YOUNGER):
                    for _ in range(6):
                        process.signal(signal.SIGSTOP)
                        await some_more(service, 12)
                        process.signal(signal.SIGCONT)
                        await some_more(service, 12)
                    process.signal(signal.SIGKILL)
                    await some_more(service, 12)
                    await until_folded(service, RATES)
            finally:
                process.end()
            await assert_counted_once(service)
            assert [await reserved(service, user) for user in ("u", "u0", "u1")] == [{}] * 3

    asyncio.run(main())
