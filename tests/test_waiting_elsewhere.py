"""Waiting where others answer: in a cluster, by other processes, at random moments."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack

from interrupts import InterruptResponse, InterruptService, connect
from tests.deadline_process import Answerer
from tests.servers import Cluster, RedisServer, sessions
from tests.waiting import YES, ask, asleep, begun, hung_up, run

RACES = 500
AT_ONCE = 100
TURNS_MAX = 30


def test_in_a_cluster_those_who_wait_hear_of_every_partition(cluster: Cluster, namespace: str) -> None:
    """Each partition has its node; tails that are cut, and a slot that moves meanwhile, keep nobody asleep."""

    async def main() -> None:
        async with (
            connect(cluster.url, namespace=namespace, partitions=6) as one,
            connect(cluster.url, namespace=namespace) as two,
        ):
            slot = one.store.keys.slots[0]
            home = cluster.owner(slot)
            away = next(node for node in cluster.nodes if node is not home)
            for trouble in ("none", "cut", "moved", "moved back"):
                asked = [await ask(one, session) for session in sessions(one)]
                waiters = await begun(one, *(one.wait(interrupt.id) for interrupt in asked))
                together = asyncio.create_task(two.wait_all([interrupt.id for interrupt in asked], 60))
                await asleep(two, len(asked))
                if trouble == "cut":
                    for node in cluster.nodes:
                        node.command("CLIENT", "KILL", "TYPE", "normal")
                elif trouble != "none":
                    await asyncio.to_thread(cluster.move, slot, away if trouble == "moved" else home)
                answered = list(await asyncio.gather(*(two.respond(interrupt.id, YES) for interrupt in asked)))
                assert await asyncio.gather(*waiters) == answered == await together

    run(main(), 120)


async def race(waiting: list[InterruptService], answering: InterruptService, number: int, dice: random.Random) -> None:
    """Several begin to wait for one interrupt at random moments around that of its answer."""
    asked = await ask(dice.choice([*waiting, answering]), f"s{number}")

    async def wait(service: InterruptService) -> object:
        for _ in range(dice.randrange(TURNS_MAX)):
            await asyncio.sleep(0)
        how = dice.randrange(3)
        if how == 0:
            return await service.wait(asked.id)
        return (await service.wait_all([asked.id]))[0] if how == 1 else await service.wait_any([asked.id], 60)

    waits = [wait(dice.choice(waiting)) for _ in range(3)]
    for _ in range(dice.randrange(TURNS_MAX)):
        await asyncio.sleep(0)
    tasks = [asyncio.create_task(call) for call in waits]
    for _ in range(dice.randrange(TURNS_MAX)):
        await asyncio.sleep(0)
    if number % 5:
        ended = await answering.respond(asked.id, InterruptResponse(approved=True, data={"n": number}))
    else:
        ended = await answering.cancel(asked.id, f"{number}")
    assert await asyncio.gather(*tasks) == [ended] * 3


def test_at_whatever_moment_the_answer_comes_each_is_woken_with_it(url: str, namespace: str) -> None:
    """Hundreds of races between answers and the beginning of waits, in three services: nobody is forgotten."""

    async def main() -> None:
        dice = random.Random(RACES)
        async with AsyncExitStack() as stack:
            one, two, three = [await stack.enter_async_context(connect(url, namespace=namespace)) for _ in range(3)]
            for first in range(0, RACES, AT_ONCE):
                races = (race([one, two], three, number, dice) for number in range(first, first + AT_ONCE))
                await asyncio.gather(*races)
            assert hung_up(one) == hung_up(two) == []

    run(main())


def test_whoever_waits_is_woken_by_another_process(shared_server: RedisServer, namespace: str) -> None:
    """It answers, one after another, what others wait for: each is woken with the answer to its own."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace) as service:
            asked = await asyncio.gather(*(ask(service, f"s{number}") for number in range(RACES)))
            waiters = await begun(service, *(service.wait(interrupt.id) for interrupt in asked))
            with Answerer(shared_server.url, namespace, "answers") as answerer:
                answerer.start([interrupt.id for interrupt in asked])
                told = await asyncio.gather(*waiters)
                assert await asyncio.to_thread(answerer.won) == RACES
            for interrupt, end in zip(asked, told, strict=True):
                assert end.response == InterruptResponse(approved=True, data={"id": interrupt.id})
                assert (end.id, end.resolved_by) == (interrupt.id, "answers")

    run(main())
