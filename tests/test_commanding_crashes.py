"""Deciders that are killed, frozen, or join and leave: commands are decided once, in their order, and none is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter

import pytest

from interrupts import connect
from interrupts.ids import keyed_id
from interrupts.limits import TAIL_BLOCK_MS, WORKER_BEAT_S
from interrupts.store.inbox import Inbox, Lease
from tests.conftest import whole_log
from tests.producing import Producer, deciders, producer
from tests.servers import Cluster, RedisServer, wait_until
from tests.worker_process import Process
from workers.commanding import CommandsRole

SESSIONS = 20


def send_all(sender: Producer, round_: int = 0) -> list[str]:
    """In each session a creation, an answer to it, another one, and a creation that can't be: their ids, in order."""
    sent = []
    for number in range(SESSIONS):
        session = f"s{round_}-{number}"
        make = sender.create(session)
        made = keyed_id(session, make)
        sent += [make, sender.respond(made), sender.respond(made), sender.create(session, kind="nonsense")]
    return sent


def check(url: str, namespace: str, sender: Producer, sent: list[str]) -> None:
    """Each has one reply and the right one; the log has what was done, once."""
    sender.all_decided()
    replies = sender.all_replies()
    assert Counter(name for name, _, _ in replies) == Counter(sent)
    outcomes = {name: outcome for name, outcome, _ in replies}
    assert [outcomes[name] for name in sent] == ["done", "done", "refused", "refused"] * (len(sent) // 4)

    async def logged() -> Counter[str]:
        async with connect(url, namespace=namespace) as service:
            return Counter(event.command_id for event in await whole_log(service))

    done = [name for name in sent if outcomes[name] == "done"]
    assert asyncio.run(logged()) == Counter(done)


def died(process: Process) -> None:
    """It has killed itself."""
    assert process.popen.wait(30) == -signal.SIGKILL


MOMENTS = [f"{what}:{when}" for what in ("lease", "read", "decided") for when in ("before", "answered")]


@pytest.mark.parametrize("moment", [*MOMENTS, "xread:answered", "decided:before:3", "decided:answered:3"])
def test_a_decider_is_killed(shared_server: RedisServer, namespace: str, moment: str) -> None:
    """At each step: it is as if it had not happened."""
    with deciders(shared_server.url, namespace, "") as (first,):
        first.leave()
    with producer(shared_server.port, namespace) as sender:
        sent = send_all(sender)
        victim = Process("tests.command_process", shared_server.url, namespace, "4", moment, "{}")
        try:
            died(victim)
        finally:
            victim.end()
        with deciders(shared_server.url, namespace, ""):
            check(shared_server.url, namespace, sender, sent)


@pytest.mark.parametrize("moment", [f"decided:{when}:{n}" for when in ("before", "answered") for n in (1, 2, 3)])
def test_a_durable_decider_is_killed(own_server: RedisServer, namespace: str, moment: str) -> None:
    """Also between what is written and what is told: nobody has heard of it, and it is found to have acted."""
    own_server.command("CONFIG", "SET", "appendfsync", "always")
    with deciders(own_server.url, namespace, "", durability="fsynced") as (first,):
        first.leave()
    with producer(own_server.port, namespace) as sender:
        sent = send_all(sender)
        more = '{"durability":"fsynced"}'
        victim = Process("tests.command_process", own_server.url, namespace, "4", moment, more)
        try:
            died(victim)
        finally:
            victim.end()
        with deciders(own_server.url, namespace, "", durability="fsynced"):
            check(own_server.url, namespace, sender, sent)


def test_some_of_several_are_killed_under_load(shared_server: RedisServer, namespace: str) -> None:
    """While others go on and commands come."""
    with (
        deciders(shared_server.url, namespace, "decided:answered:9", "decided:before:11", "") as (one, two, _),
        producer(shared_server.port, namespace) as sender,
    ):
        sent = [name for round_ in range(10) for name in send_all(sender, round_)]
        died(one)
        died(two)
        check(shared_server.url, namespace, sender, sent)


def test_a_frozen_decider_comes_back(shared_server: RedisServer, namespace: str) -> None:
    """Others have its work meanwhile; what it had in hand comes to nothing."""
    with (
        deciders(shared_server.url, namespace, "") as (frozen,),
        producer(shared_server.port, namespace) as sender,
    ):
        sent = send_all(sender)
        frozen.signal(signal.SIGSTOP)
        sent += send_all(sender, 1)
        with deciders(shared_server.url, namespace, ""):
            sender.all_decided()
            frozen.signal(signal.SIGCONT)
            sent += send_all(sender, 2)
            check(shared_server.url, namespace, sender, sent)


def test_a_lease_that_was_taken_over_writes_nothing(shared_server: RedisServer, namespace: str) -> None:
    """Neither reply nor event: a step that was decided before the other one came is refused by the script."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            deciding, inbox = service.deciding, Inbox(service.store)
            await inbox.announce()
            with shared_server.client() as client:
                sender = await asyncio.to_thread(Producer, client, namespace)
                sender.create("s", "make")
                entries = await service.store.server.command(0, "XRANGE", sender.where["0"], "-", "+")
                old = await inbox.lease(0, "old")
                assert old is not None
                assert await inbox.lease(0, "new") is None
                client.hset(sender.where["0"] + ":card", "until", "1")
                new = await inbox.lease(0, "new")
                assert new is not None
                assert (new.owner, new.number > old.number) == ("new", True)
                assert await deciding.step(0, old, entries) is None
                assert await deciding.step(0, Lease("old", new.number), entries) is None
                assert (await whole_log(service), sender.all_replies(), sender.waiting()) == ([], [], 1)
                assert await deciding.step(0, new, entries) == 1
                assert await deciding.step(0, new, entries) is None  # said again, it changes nothing
                assert [outcome for _, outcome, _ in sender.all_replies()] == ["done"]
                assert len(await whole_log(service)) == 1

    asyncio.run(main())


def test_deciders_join_and_leave(shared_server: RedisServer, namespace: str) -> None:
    """While commands come: what one leaves the other takes over at once, without waiting for a lease to run out."""
    sent: list[str] = []
    with deciders(shared_server.url, namespace, "") as (first,), producer(shared_server.port, namespace) as sender:
        sent += send_all(sender)
        with deciders(shared_server.url, namespace, "") as (second,):
            sent += send_all(sender, 1)
            began = time.monotonic()
            first.leave()
            sent += send_all(sender, 2)
            check(shared_server.url, namespace, sender, sent)
            assert time.monotonic() - began < 4.5
            second.leave()


def test_the_server_is_killed_under_load(own_server: RedisServer, namespace: str) -> None:
    """With everything on disk before it counts: each command that was taken has its one outcome afterwards."""
    own_server.command("CONFIG", "SET", "appendfsync", "always")
    with deciders(own_server.url, namespace, "", durability="fsynced"):
        sent: list[str] = []
        for round_ in range(3):
            with producer(own_server.port, namespace) as sender:
                sent += send_all(sender, round_)
            own_server.kill()
            own_server.start()
            own_server.command("CONFIG", "SET", "appendfsync", "always")
        with producer(own_server.port, namespace) as sender:
            check(own_server.url, namespace, sender, sent)


def test_commands_in_a_cluster(cluster: Cluster, namespace: str) -> None:
    """Each partition's are decided on its node, by two processes that share them."""
    from redis.cluster import RedisCluster

    with deciders(cluster.url, namespace, "", ""):
        client = RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        try:
            sender = Producer(client, namespace)
            check(cluster.url, namespace, sender, send_all(sender))
        finally:
            client.close()


def test_an_idle_role_asks_for_next_to_nothing(own_server: RedisServer, namespace: str) -> None:
    """One blocking read, and that it is there: however many partitions it has."""

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace, partitions=64) as service:
            role = CommandsRole(service)
            running = asyncio.create_task(role.run())
            await asyncio.to_thread(wait_until, lambda: role.ready, "the role is ready")

            def calls(*names: str) -> int:
                with own_server.client() as client:
                    stats = client.info("commandstats")
                return sum(stats[f"cmdstat_{name}"]["calls"] for name in names)

            reads, beats, began = calls("xread"), calls("evalsha"), time.monotonic()
            await asyncio.to_thread(wait_until, lambda: calls("xread") >= reads + 3, "it has read three times more")
            took_s = time.monotonic() - began
            assert calls("xread") - reads <= took_s / (TAIL_BLOCK_MS / 1000) + 2
            assert calls("evalsha") - beats <= took_s / (0.8 * WORKER_BEAT_S) + 2
            role.stop()
            await running

    asyncio.run(main())
