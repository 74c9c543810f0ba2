"""Waiting while something breaks: servers that restart, freeze or go, connections that are cut, slots that move."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import redis

from interrupts import FlowInterrupt, InterruptResponse, InterruptService, connect
from interrupts.errors import UnavailableError, WaitTimeoutError
from interrupts.store.lanes import Command, Lanes, UnreachableError
from tests.conftest import World
from tests.servers import RedisServer, until
from tests.waiting import YES, ask, begun, hung_up, looks, run

WAITERS = 200
CUTS = 30
CONNECTIONS_MAX = 20
CROWD = 2_000
BLOCKS = 3


def tails(server: RedisServer) -> list[str]:
    """The connections on which somebody follows a log."""
    with server.client() as client:
        return [one["id"] for one in client.client_list() if one["cmd"] == "xread"]


async def crowd(service: InterruptService, count: int = WAITERS) -> tuple[list[FlowInterrupt], list[asyncio.Task[Any]]]:
    """So many interrupts in all partitions, and somebody who waits for each."""
    asked = await asyncio.gather(*(ask(service, f"s{number}") for number in range(count)))
    return list(asked), await begun(service, *(service.wait(one.id) for one in asked))


def say(number: int) -> InterruptResponse:
    """An answer that is no other's."""
    return InterruptResponse(approved=True, data={"n": number})


async def answer_all(service: InterruptService, asked: Sequence[FlowInterrupt]) -> list[FlowInterrupt | None]:
    """Answers each in its own words."""
    calls = (service.respond(one.id, say(number), command_id="c") for number, one in enumerate(asked))
    return list(await asyncio.gather(*calls))


def test_a_restart_of_the_server_keeps_nobody_asleep(own_server: RedisServer, namespace: str) -> None:
    """Killed while many wait; the answers are there before they can hear of anything: all are woken with their own."""

    async def main() -> None:
        world = World()
        async with (
            connect(own_server.url, namespace=namespace, logger=world) as one,
            connect(own_server.url, namespace=namespace) as two,
        ):
            asked, waiters = await crowd(one)
            own_server.kill()
            answering = asyncio.create_task(answer_all(two, asked))
            await until(lambda: any(line[1] == "interrupts.tail_waits" for line in world.lines), "it is noticed")
            await asyncio.to_thread(own_server.start)
            answered = await answering
            assert await asyncio.gather(*waiters) == answered
            assert [one.response for one in answered if one is not None] == [say(n) for n in range(WAITERS)]
            assert hung_up(one) == []

    run(main())


@pytest.mark.parametrize("order", ["cut first", "answered first", "at once"])
def test_a_tail_that_is_cut_as_the_answer_comes_keeps_nobody_asleep(
    own_server: RedisServer, namespace: str, order: str
) -> None:
    """CLIENT KILL just before, just after, and while the answer is appended, time and again."""

    async def main() -> None:
        async with (
            connect(own_server.url, namespace=namespace) as one,
            connect(own_server.url, namespace=namespace) as two,
        ):
            with own_server.client() as client:
                for number in range(CUTS):
                    asked = await ask(one, f"s{number}")
                    (waiter,) = await begun(one, one.wait(asked.id))
                    await until(lambda: len(tails(own_server)) == 1, "the log is followed")
                    (tail,) = tails(own_server)
                    answering = asyncio.create_task(two.respond(asked.id, say(number)))
                    if order == "answered first":
                        await answering
                    for _ in range(number if order == "at once" else 0):
                        await asyncio.sleep(0)
                    client.client_kill_filter(_id=tail)
                    assert await waiter == await answering

    run(main())


def test_a_reply_of_the_tail_that_is_lost_keeps_nobody_asleep(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the log had to tell never arrives, each time: the waiters look again by themselves."""
    call, lost = Lanes.call, list[Command]()

    async def losing(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        replies = await call(lanes, commands, timeout_s)
        if commands[0][0] == "XREAD" and replies[0]:
            lost.append(commands[0])
            raise UnreachableError("the reply was lost", sent=True)
        return replies

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            monkeypatch.setattr(Lanes, "call", losing)
            asked, waiters = await crowd(one, 10)
            assert await answer_all(two, asked) == await asyncio.gather(*waiters)
            monkeypatch.undo()

    run(main())
    assert lost


@pytest.mark.parametrize("block_ms", [2_000, 50], ids=["shorter than a block", "longer than the tail is patient"])
def test_a_server_that_freezes_keeps_nobody_asleep(
    own_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch, block_ms: int
) -> None:
    """Answers that were sent to a frozen server come once it is thawed, and so do those who wait for them."""
    monkeypatch.setattr("interrupts.store.follow.TAIL_BLOCK_MS", block_ms)
    monkeypatch.setattr("interrupts.store.follow.ATTEMPT_TIMEOUT_S", block_ms / 1000)
    world = World()

    async def main() -> None:
        async with (
            connect(own_server.url, namespace=namespace, logger=world) as one,
            connect(own_server.url, namespace=namespace, attempt_timeout_s=0.2) as two,
        ):
            asked, waiters = await crowd(one, 30)
            own_server.freeze()
            answering = asyncio.create_task(answer_all(two, asked))
            if block_ms < 1_000:
                await until(lambda: any(line[1] == "interrupts.tail_waits" for line in world.lines), "it is noticed")
            own_server.thaw()
            assert await answering == await asyncio.gather(*waiters)

    run(main())


def test_a_wait_can_not_begin_while_redis_is_away(own_server: RedisServer, namespace: str) -> None:
    """UnavailableError, of which nothing is left; later the same wait works."""

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace, attempt_timeout_s=0.2, call_timeout_s=0.2) as service:
            asked = await ask(service)
            own_server.kill()
            waits: list[Any] = [service.wait(asked.id), service.wait_any([asked.id], 60), service.wait_all([asked.id])]
            for away in await asyncio.gather(*waits, return_exceptions=True):
                assert isinstance(away, UnavailableError)
                assert not away.may_have_happened
            assert hung_up(service) == []
            await asyncio.to_thread(own_server.start)
            (waiter,) = await begun(service, service.wait(asked.id))
            assert await service.respond(asked.id, YES) == await waiter

    run(main())


def test_a_wait_that_has_begun_goes_on_while_redis_is_away(own_server: RedisServer, namespace: str) -> None:
    """With a time-out it ends with that and nothing else, without one it is woken when Redis is back."""

    async def main() -> None:
        world = World()
        async with connect(
            own_server.url, namespace=namespace, attempt_timeout_s=0.2, call_timeout_s=0.2, logger=world
        ) as service:
            asked, late = await ask(service), await ask(service, ttl_seconds=1)
            seen = looks(service)
            waiters = await begun(service, service.wait(asked.id), service.wait(late.id), service.wait(asked.id, 0.3))
            own_server.kill()
            with pytest.raises(WaitTimeoutError) as over:
                await waiters[2]
            assert over.value.interrupt == asked
            await until(lambda: seen.count(late.id) > 2, "its deadline passes, and it tries to write that down")
            await asyncio.to_thread(own_server.start)
            assert (await waiters[1]).status.value == "expired"
            assert await service.respond(asked.id, YES) == await waiters[0]
            said = [line[1] for line in world.lines if line[0] != "debug"]
            assert said.count("interrupts.tail_waits") == 1, said

    run(main())


def test_the_time_that_a_wait_has_holds_while_redis_does_not_answer(own_server: RedisServer, namespace: str) -> None:
    """However patient the service's calls are: a frozen server does not make a wait longer than it was to be."""

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace, call_timeout_s=600) as service:
            asked = await ask(service)
            waiters = await begun(service, service.wait(asked.id, 1.0), service.wait_any([asked.id], 1.0))
            own_server.freeze()
            try:
                for over in await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 15):
                    assert isinstance(over, WaitTimeoutError)
            finally:
                own_server.thaw()

    run(main())


def test_a_crowd_that_waits_costs_one_connection_and_one_read(
    own_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two thousand who wait: few connections, one blocking read, and not a command besides."""
    monkeypatch.setattr("interrupts.store.follow.TAIL_BLOCK_MS", 300)

    def sent(client: redis.Redis) -> dict[str, int]:
        found: dict[str, Any] = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()}

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace) as service:
            asked, waiters = await crowd(service, CROWD)
            with own_server.client() as client:
                others = 1
                assert len(client.client_list()) <= CONNECTIONS_MAX + others
                assert len(tails(own_server)) == 1
                client.config_resetstat()
                await until(lambda: sent(client).get("xread", 0) >= BLOCKS, "some blocking reads end")
                assert sent(client).keys() <= {"xread", "info", "config|resetstat", "client|setinfo", "hello"}
                assert len(hung_up(service)) == CROWD
            assert await answer_all(service, asked) == await asyncio.gather(*waiters)

    run(main())
