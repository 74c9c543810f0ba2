"""Expiring while something breaks: kill -9 at each step, frozen processes, cut connections, a server that restarts."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from interrupts import ConflictError, FlowInterrupt, InterruptService, connect
from tests.conftest import World, whole_log
from tests.expiring_process import assert_expired_in_time, expiring, leases, process, processes, until_closed
from tests.reacting import hastened
from tests.servers import RedisServer, until
from tests.test_expiry import due
from tests.waiting import ask, run
from tests.worker_process import Process

LEASE_S = 0.5
SOON = timedelta(seconds=0.3)
LONG = timedelta(hours=1)
STEPS = [
    *(
        (f"{name}:{moment}", 1)
        for name in ("attend", "due", "append", "leave")
        for moment in ("before", "sent", "answered")
    ),
    *((f"{name}:{moment}", 3) for name in ("due", "append") for moment in ("before", "sent", "answered")),
    *((f"read:{moment}", time) for moment in ("before", "sent", "answered") for time in (1, 3)),
    *((f"position:{moment}", 1) for moment in ("sent", "answered")),
    ("attend:sent", 3),
]
AT_ONCE = 6
OVERDUE = 12
CUTS = 25
LATE_S = 3.0
BACK_S = 10.0
"""Within so many seconds workers carry on after a restart, by themselves."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes hear of each other soon."""
    hastened(monkeypatch, leases(LEASE_S))


async def some(service: InterruptService, dice: random.Random, count: int = 8) -> list[FlowInterrupt]:
    """Some with deadlines soon, of which some are extended."""
    made = [await ask(service, f"s{n}", ttl=timedelta(milliseconds=dice.randrange(60, 250))) for n in range(count)]
    for one in made[::4]:
        with contextlib.suppress(ConflictError):  # on a busy machine it may be too late
            await service.extend(one.id, SOON)
    return made


async def killed_at(server: RedisServer, namespace: str, step: str, time: int) -> tuple[str, bool]:
    """A process is killed there, and another one goes on: what is wrong then, and whether it was killed."""
    async with connect(server.url, namespace=namespace, partitions=2) as service:
        asked = await due(service, OVERDUE)
        kept = [await ask(service, ttl=LONG), await ask(service, ttl=SOON / 300, auto_expire=False)]
        victim = await asyncio.to_thread(process, server.url, namespace, step=step, time=time, lease_s=LEASE_S)
        try:
            await asyncio.to_thread(victim.ready)
            asked += await some(service, random.Random(step))
            if step.startswith("leave"):
                victim.signal(signal.SIGTERM)
            elif not step.startswith("attend"):
                asked.append(await ask(service, ttl=SOON / 300))  # one more read, look and append
            code = await asyncio.wait_for(asyncio.to_thread(victim.popen.wait), 20)
        except TimeoutError:
            code = 0
        finally:
            await asyncio.to_thread(victim.end)
        async with expiring(service):
            await until_closed(service, asked)
        try:
            await assert_expired_in_time(service, asked)
        except AssertionError as error:
            return f"{error}"[:500], True
        there = [await service.get_interrupt(one.id) for one in kept]
        fault = "" if all(one is not None and one.is_pending for one in there) else f"{there}"
    return fault, code == -signal.SIGKILL


def test_a_process_killed_at_any_step_changes_nothing(shared_server: RedisServer, namespace: str) -> None:
    """Joining, following, looking, appending, hearing, leaving: whoever goes on brings every deadline to one event."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(step: str, time: int) -> tuple[str, bool]:
        async with room:
            return await killed_at(shared_server, f"{namespace}-{step.replace(':', '-')}-{time}", step, time)

    async def main() -> None:
        outcomes = await asyncio.gather(*(one(*at) for at in STEPS))
        found = dict(zip(STEPS, outcomes, strict=True))
        assert {at: fault for at, (fault, _) in found.items() if fault} == {}
        assert [at for at, (_, was_killed) in found.items() if not was_killed] == [], "they were never there"

    run(main(), 100)


def test_processes_killed_one_after_the_other_beside_others_change_nothing(
    shared_server: RedisServer, namespace: str
) -> None:
    """Under load two are always there, of which one is frozen or killed again and again."""
    url, dice = shared_server.url, random.Random(3)

    async def harm(ended: asyncio.Event, victims: list[Process]) -> None:
        while not ended.is_set():
            victim = await asyncio.to_thread(process, url, namespace, lease_s=LEASE_S)
            victims.append(victim)
            await asyncio.to_thread(victim.ready)
            await asyncio.sleep(dice.uniform(0, 0.3))  # at any moment: nothing is waited for
            victim.signal(signal.SIGSTOP)
            await asyncio.sleep(dice.uniform(0, 2 * LEASE_S))  # as above: short of the lease, or longer
            victim.signal(signal.SIGCONT)
            await asyncio.sleep(dice.uniform(0, 0.1))  # as above
            victim.signal(signal.SIGKILL)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service:
            ended, asked, victims = asyncio.Event(), list[FlowInterrupt](), list[Process]()
            with processes(process(url, namespace, lease_s=LEASE_S)):
                harming = asyncio.create_task(harm(ended, victims))
                try:
                    while len(victims) < 4:
                        asked += await some(service, dice, 20)
                    await until_closed(service, asked)
                    ended.set()
                    await harming
                finally:
                    harming.cancel()
                    for victim in victims:
                        await asyncio.to_thread(victim.end)
            await assert_expired_in_time(service, asked)

    run(main())


@pytest.mark.parametrize("what", ["xread", "evalsha", "all"])
def test_connections_that_are_cut_cost_no_deadline(own_server: RedisServer, namespace: str, what: str) -> None:
    """CLIENT KILL of the read, of what it looks and appends by, and of all, again and again: each is kept in time."""

    async def main() -> None:
        world = World()
        async with (
            connect(own_server.url, namespace=namespace, partitions=2, logger=world) as service,
            connect(own_server.url, namespace=namespace) as other,
        ):
            asked, dice = list[FlowInterrupt](), random.Random(what)
            async with expiring(service):
                with own_server.client() as client:
                    for _ in range(CUTS):
                        asked += await some(other, dice, 4)
                        mine = client.client_id()
                        for one in client.client_list():
                            if int(one["id"]) != mine and what in (one["cmd"], "all"):
                                client.client_kill_filter(_id=one["id"])
                await until_closed(other, asked)
            assert await assert_expired_in_time(other, asked) < LATE_S

    run(main())


@pytest.mark.parametrize("away_s", [0.0, 1.5], ids=["at once", "after a while"])
def test_a_server_that_restarts_under_load_costs_no_deadline(tmp_path: Path, namespace: str, away_s: float) -> None:
    """kill -9 of the server while deadlines come and go: two processes carry on by themselves, and soon; everything
    that was acknowledged expires once."""
    server = RedisServer(tmp_path / "own", "--appendonly", "yes", "--appendfsync", "always").start()
    dice = random.Random(5)

    async def load(service: InterruptService, ended: asyncio.Event, asked: list[FlowInterrupt]) -> None:
        while not ended.is_set():
            asked += await some(service, dice, 10)

    async def main() -> None:
        async with connect(server.url, namespace=namespace, partitions=4) as service:
            asked, ended = list[FlowInterrupt](), asyncio.Event()
            with processes(process(server.url, namespace), process(server.url, namespace)) as both:
                loading = [asyncio.create_task(load(service, ended, asked)) for _ in range(3)]
                await until(lambda: len(asked) > 100, "some are made")
                server.kill()
                await asyncio.sleep(away_s)  # it is away for so long
                await asyncio.to_thread(server.start)
                back_at, before = datetime.now(UTC), len(asked)
                await until(lambda: len(asked) > before + 100, "more are made")
                ended.set()
                await asyncio.gather(*loading)
                await until_closed(service, asked, BACK_S)
                assert [one.popen.poll() for one in both] == [None, None]
            await assert_expired_in_time(service, asked)
            for event in await whole_log(service):
                if event.type == "interrupt.expired":
                    there = await service.get_interrupt(event.interrupt_id)
                    assert there is not None
                    assert there.expires_at is not None
                    late_s = (event.at - max(there.expires_at, min(back_at, event.at))).total_seconds()
                    assert late_s < BACK_S

    try:
        run(main())
    finally:
        server.stop()
