"""Limits together with everything else: ports, the lines of the log, durability, code without async, a cluster."""

from __future__ import annotations

import asyncio
import inspect
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from interrupts import (
    AsyncRateLimiter,
    BlockingInterruptService,
    FlowInterrupt,
    InterruptKind,
    InterruptService,
    NotConfirmedError,
    RateLimitedError,
    ValidationError,
    connect,
    connect_blocking,
)
from interrupts.store.server import Durability
from tests.conftest import World, whole_log
from tests.folding import by_hand
from tests.limited_process import create, create_many, logged, only, reserved, settled, used
from tests.servers import Cluster, RedisServer
from tests.test_durability import until_in_step
from tests.view_standing import until_folded
from tests.worker_process import workers_running

LIMIT, THREADS = 5, 8
EXHAUSTED = InterruptKind.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("on_limit", ["raise", "interrupt"])
def test_ports_are_told_of_what_was_made_and_of_nothing_else(url: str, namespace: str, on_limit: Any) -> None:
    """Each interrupt once; nothing of refusals and repetitions."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(2), **world.ports()) as service:
            for number in (0, 1, 0, 1):
                await create(service, session=f"s{number}", idempotency_key="k")
            await create_many([service], 10, on_limit=on_limit)
            expected = ["interrupt.confirmation_needed"] * 2
            if on_limit == "interrupt":
                expected.append("interrupt.resource_exhausted")
            assert world.announced() == expected
            assert [told[0] for told in world.told] == ["insert", "otel", "webhook"] * len(expected)
            inserted = {told[2]["id"] for told in world.told if told[0] == "insert"}
            assert inserted == {event.interrupt_id for event in await whole_log(service)}

    asyncio.run(main())


def test_a_refusal_is_a_line_at_info(url: str, namespace: str) -> None:
    """With who and why; whoever gets an interrupt in place of it was not refused."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(1), logger=world) as service:
            await create(service, "ada")
            world.lines.clear()
            with pytest.raises(RateLimitedError) as refused:
                await create(service, "ada")
            ((level, event, fields),) = world.lines
            assert (level, event) == ("info", "interrupt.refused")
            assert (fields["command"], fields["error"], fields["interrupt_id"]) == ("create", "RateLimitedError", None)
            assert fields["why"] == str(refused.value)
            assert "ada" in fields["why"]
            world.lines.clear()
            await create(service, "ada", on_limit="interrupt")
            await create(service, "ada", on_limit="interrupt")
            assert [line[:2] for line in world.lines] == [("debug", "interrupt.created")]

    asyncio.run(main())


def test_nothing_is_printed_of_refusals_unless_asked_for(
    url: str, namespace: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """They may come in masses."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(1)) as service:
            await create_many([service], 50)
            await settled(service)
            assert caplog.records == []
            caplog.set_level(logging.INFO, "interrupts")
            assert len((await create_many([service], 3))[1]) == 3
            assert [record.levelname for record in caplog.records] == ["INFO"] * 3

    asyncio.run(main())
    assert capfd.readouterr() == ("", "")


def test_limits_without_async(url: str, namespace: str) -> None:
    """`connect_blocking(limits=…)`: of many threads as many pass as the limit allows, the others are told."""

    def attempt(service: BlockingInterruptService, number: int) -> FlowInterrupt | RateLimitedError:
        try:
            return service.create_confirmation("r", "u", f"s{number}", "Go on?")
        except RateLimitedError as refused:
            return refused

    with (
        connect_blocking(url, namespace=namespace, limits=only(LIMIT)) as service,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        outcomes = list(pool.map(attempt, [service] * 40, range(40)))
        assert sum(isinstance(outcome, FlowInterrupt) for outcome in outcomes) == LIMIT
        assert all(outcome.retry_after_seconds > 0 for outcome in outcomes if isinstance(outcome, RateLimitedError))
        said = list(pool.map(lambda _: service.create_checkpoint("r", "u", "s", on_limit="interrupt"), range(20)))
        assert {one.kind for one in said} == {EXHAUSTED}
        assert len({one.id for one in said}) == 1
        events = [event for partition in range(service.log.partitions) for event in service.log.range(partition)]
        assert len(events) == LIMIT + 1


@pytest.mark.parametrize("wrong", [5, "5", {}, [only(1)]], ids=repr)
def test_without_async_what_is_no_limit_is_refused_by_name(namespace: str, wrong: Any) -> None:
    """As with async."""
    with (
        pytest.raises(ValidationError) as refused,
        connect_blocking("memory://", namespace=namespace, limits=wrong),
    ):
        pass
    assert refused.value.field == "limits"


def test_all_ways_to_a_service_take_limits() -> None:
    """By that name, and without any unless told."""
    for way in (connect, connect_blocking, InterruptService):
        assert inspect.signature(way).parameters["limits"].default is None
    assert inspect.signature(InterruptService.create_interrupt).parameters["on_limit"].default is None


@pytest.mark.parametrize("durability", ["fsynced", "replicated"])
def test_limits_hold_in_the_durable_modes(own_server: RedisServer, tmp_path: Path, durability: Durability) -> None:
    """What is written is confirmed, and counted once; refusals and interrupts in place of them as ever."""
    own_server.command("CONFIG", "SET", "appendfsync", "always")
    own_server.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    replica = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {own_server.port}").start()

    async def main() -> None:
        async with (
            connect(own_server.url, durability=durability, limits=only(LIMIT)) as service,
            AsyncRateLimiter.connect(own_server.url, limits=only(LIMIT)) as limiter,
            by_hand(service) as worker,
        ):
            made, _ = await create_many([service], 4 * LIMIT)
            assert len(made) == LIMIT
            said = await create(service, on_limit="interrupt")
            assert said.kind is EXHAUSTED
            await settled(service)
            await worker.fold()
            assert await used(limiter) == (LIMIT,) * 3
            own_server.kill()
            own_server.start()
            assert [event.interrupt_id for event in await whole_log(service) if event.kind is EXHAUSTED] == [said.id]
            assert len(await logged(service)) == LIMIT
            assert len((await create_many([service], LIMIT))[1]) == LIMIT

    try:
        until_in_step(own_server)
        asyncio.run(main())
    finally:
        replica.stop()


def test_what_is_not_confirmed_counts(own_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in the log, so it is used, once, however often it is repeated."""
    for module in ("requirements", "server"):
        monkeypatch.setattr(f"interrupts.store.{module}.DURABILITY_TIMEOUT_S", 0.2)
    own_server.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
    replica = RedisServer(tmp_path / "replica", "--replicaof", f"127.0.0.1 {own_server.port}").start()

    async def main() -> None:
        async with (
            connect(own_server.url, durability="replicated", limits=only(1)) as service,
            AsyncRateLimiter.connect(own_server.url, limits=only(1)) as limiter,
        ):
            replica.freeze()
            for _ in range(2):
                with pytest.raises(NotConfirmedError):
                    await create(service, idempotency_key="k")
                await settled(service)
                assert await used(limiter) == (1, 1, 1)
            with pytest.raises(NotConfirmedError) as unsure:
                await create(service, on_limit="interrupt")
            assert unsure.value.interrupt is not None
            replica.thaw()
            until_in_step(own_server)
            assert (await create(service, idempotency_key="k")).kind is InterruptKind.CONFIRMATION
            assert await create(service, on_limit="interrupt") == unsure.value.interrupt
            assert len(await whole_log(service)) == 2

    try:
        until_in_step(own_server)
        asyncio.run(main())
    finally:
        replica.stop()


def test_limits_in_a_cluster(cluster: Cluster, namespace: str) -> None:
    """Users and sessions lie on different nodes: exactly the limit passes for each user, and is counted once."""
    users = [f"u{number}" for number in range(6)]

    async def main() -> None:
        async with (
            connect(cluster.url, namespace=namespace, limits=only(LIMIT)) as one,
            connect(cluster.url, namespace=namespace, limits=only(LIMIT)) as two,
            AsyncRateLimiter.connect(cluster.url, namespace=namespace, limits=only(LIMIT)) as limiter,
        ):
            many = await asyncio.gather(*(create_many([one, two], 4 * LIMIT, user) for user in users))
            assert [len(made) for made, _ in many] == [LIMIT] * len(users)
            said = await asyncio.gather(*(create(one, user, on_limit="interrupt") for user in users * 5))
            assert len({interrupt.id for interrupt in said}) == len(users)
            await settled(one, two)
            assert [await used(limiter, user) for user in users] == [(LIMIT,) * 3] * len(users)
            with workers_running(cluster.url, namespace, 1):
                await until_folded(one)
                assert [await used(limiter, user) for user in users] == [(LIMIT,) * 3] * len(users)
                assert [await reserved(limiter, user) for user in users] == [0] * len(users)
                for user in users:
                    assert len((await create_many([one, two], 3, user))[1]) == 3
            assert len(await whole_log(one)) == len(users) * (LIMIT + 1)

    asyncio.run(main())
