"""Drills: the races and faults of the quick tests at length, and a server killed under load. All say what they saw."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from interrupts import FlowInterrupt, UnavailableError, connect
from tests.conftest import whole_log
from tests.servers import RedisServer, until
from tests.test_faults import (
    Unanswered,
    cancelled_at_every_turn,
    create,
    flushed_under_load,
    frozen_during_answers,
    frozen_during_creates,
    frozen_too_long,
)
from tests.test_races import races

pytestmark = pytest.mark.drill

RACES = 10_000
CALLS = 1_000
ROUNDS = 10
KILLS = 10
WORKERS = 32
CREATED_BEFORE_KILL = 200


def test_ten_thousand_races_have_one_winner_each(own_server: RedisServer, namespace: str) -> None:
    """No race of many ends with two closing events, none, or a loser who was told something else."""
    outcomes = asyncio.run(races(own_server.url, namespace, RACES, 15))
    print(f"\nraces: {outcomes.total()}, won by: {dict(outcomes)}")
    assert outcomes.total() == RACES


def test_frozen_servers_tell_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a server freezes in the middle of many calls, each is one event and one reply."""
    unanswered = Unanswered(monkeypatch)
    for number in range(ROUNDS):
        server = RedisServer(tmp_path / str(number)).start()
        try:
            asyncio.run(frozen_during_creates(server, unanswered, CALLS))
            asyncio.run(frozen_during_answers(server, unanswered, CALLS))
        finally:
            server.stop()
    print(
        f"\nfrozen: {2 * ROUNDS} times, {unanswered.count} attempts unanswered, {3 * ROUNDS * CALLS} calls, no double"
    )


def test_calls_that_gave_up_can_always_be_repeated(tmp_path: Path) -> None:
    """A repetition after the thaw finds the first attempt's work, or does it."""
    for number in range(ROUNDS):
        server = RedisServer(tmp_path / str(number)).start()
        try:
            asyncio.run(frozen_too_long(server, 2.0))
        finally:
            server.stop()
    print(f"\ngiven up and repeated: {2 * ROUNDS} calls, one event each")


def test_a_script_cache_lost_a_thousand_times_is_not_noticed(own_server: RedisServer) -> None:
    """Flushed scripts cause no error and no double, however often."""
    done = asyncio.run(flushed_under_load(own_server, WORKERS, 1_000))
    print(f"\nscript flushes: 1000, created and answered meanwhile: {done}")


def test_callers_cancelled_anywhere_leave_at_most_one_event(own_server: RedisServer, namespace: str) -> None:
    """No turn of the loop is a bad one to be cancelled in."""
    left = asyncio.run(cancelled_at_every_turn(own_server.url, namespace, 2_000))
    print(f"\ncancelled creations, by events they left: {dict(left)}")
    assert set(left) <= {0, 1}


def test_a_killed_server_has_every_acknowledged_create(tmp_path: Path) -> None:
    """With every write on disk before its reply, kill -9 under load loses nothing that was acknowledged."""
    server = RedisServer(tmp_path / "killed", "--appendonly", "yes", "--appendfsync", "always").start()
    try:
        seen = [asyncio.run(_killed_under_load(server, number)) for number in range(KILLS)]
    finally:
        server.stop()
    print(f"\nkill -9: {KILLS} times, acknowledged before: {seen}, lost: 0")


async def _killed_under_load(server: RedisServer, number: int) -> int:
    acknowledged: dict[str, FlowInterrupt] = {}
    unknown: list[str] = []
    namespace = f"killed-{number}"

    async with connect(
        server.url, namespace=namespace, durability="fsynced", attempt_timeout_s=0.5, call_timeout_s=0.2
    ) as service:

        async def work(worker: int) -> None:
            for count in range(1_000_000):
                key = f"{worker}-{count}"
                try:
                    acknowledged[key] = await create(service, worker, key)
                except UnavailableError as error:
                    unknown.extend([key] if error.may_have_happened else [])
                    return

        tasks = [asyncio.ensure_future(work(worker)) for worker in range(WORKERS)]
        await until(lambda: len(acknowledged) > CREATED_BEFORE_KILL, "the load runs")
        server.kill()
        await asyncio.gather(*tasks)
    server.start()
    async with connect(server.url, namespace=namespace) as service:
        for created in acknowledged.values():
            assert await service.get_interrupt(created.id) == created
        for key in unknown:
            again = await create(service, int(key.partition("-")[0]), key)
            assert await service.get_interrupt(again.id) == again
        created_ids = [event.interrupt_id for event in await whole_log(service)]
        assert len(created_ids) == len(set(created_ids)) >= len(acknowledged) + len(unknown)
    return len(acknowledged)
