"""A real cluster: partitions on several nodes, and a slot that moves to another node under the clients' hands."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from interrupts import InterruptResponse, InterruptService, UnsuitableServerError, connect
from tests.conftest import until_expired, whole_log
from tests.servers import RedisServer, cluster_port, until, wait_until

NODES = 3
SLOTS = 16_384
WORKERS = 8
KEYS_AT_ONCE = 10
YES = InterruptResponse(approved=True)


class Cluster:
    """Three nodes on the loopback, with a third of the slots each."""

    def __init__(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--appendonly", "no")
        folder = tmp_path_factory.mktemp("cluster")
        self.nodes = [RedisServer(folder / str(n), *options, port=cluster_port()) for n in range(NODES)]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Starts the nodes, makes them a cluster, and waits until all of them say so."""
        bounds = [SLOTS * n // NODES for n in range(NODES + 1)]
        for number, node in enumerate(self.nodes):
            node.start()
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port)
        wait_until(lambda: all(map(self._ready, self.nodes)), "the cluster is whole")

    def _ready(self, node: RedisServer) -> bool:
        with node.client() as client:
            info = str(client.execute_command("CLUSTER INFO"))
            return "'cluster_state': 'ok'" in info and f"'cluster_known_nodes': '{NODES}'" in info

    def id_of(self, node: RedisServer) -> str:
        """Its name in the cluster."""
        reply = node.command("CLUSTER", "MYID")
        assert isinstance(reply, bytes)
        return reply.decode()

    def owner(self, slot: int) -> RedisServer:
        """The node that has this slot."""
        reply = self.nodes[0].command("CLUSTER", "SLOTS")
        assert isinstance(reply, list)
        (port,) = [primary[1] for first, last, primary in reply if first <= slot <= last]
        return next(node for node in self.nodes if node.port == port)

    def move(self, slot: int, to: RedisServer) -> int:
        """Moves a slot as operators do, a few keys at a time; how many keys it had."""
        moved = self.move_keys(slot, to)
        self.settle(slot, to)
        return moved

    def move_keys(self, slot: int, to: RedisServer) -> int:
        """The first part of a move: the keys are there, the slot is still here."""
        source, moved = self.owner(slot), 0
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
            assert isinstance(keys, list)
            source.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        return moved

    def settle(self, slot: int, to: RedisServer) -> None:
        """The second part: all nodes are told."""
        for node in (to, *self.nodes):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

    def stop(self) -> None:
        """Ends all nodes."""
        for node in self.nodes:
            node.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for the tests of this file."""
    cluster = Cluster(tmp_path_factory)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def sessions(service: InterruptService) -> list[str]:
    """A session in each partition."""
    found: dict[int, str] = {}
    for number in range(100_000):
        found.setdefault(service.log.partition_of(f"s{number}"), f"s{number}")
        if len(found) == service.log.partitions:
            break
    return [found[partition] for partition in range(service.log.partitions)]


def test_everything_works_in_every_partition(cluster: Cluster, namespace: str) -> None:
    """Create, answer, cancel, expire, history and log, side by side in all partitions of all nodes."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace) as service:
            everywhere = sessions(service)

            async def pause(session: str) -> None:
                asked, other, late = await asyncio.gather(
                    service.create_confirmation("r", "u", session, "?", idempotency_key="k"),
                    service.create_checkpoint("r", "u", session),
                    service.create_confirmation("r", "u", session, "?", ttl=timedelta(milliseconds=1)),
                )
                answered, cancelled = await asyncio.gather(
                    service.respond(asked.id, YES, "u"), service.cancel(other.id)
                )
                assert await service.get_interrupt(asked.id) == answered
                assert await service.get_interrupt(other.id) == cancelled
                assert await service.create_confirmation("r", "u", session, "?", idempotency_key="k") == answered
                await until_expired(service, late.id)

            await asyncio.gather(*map(pause, everywhere))
            assert await service.expire_pending() == len(everywhere)
            for partition, session in enumerate(everywhere):
                events = await service.log.range(partition)
                assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
                assert {event.session_id for event in events} == {session}
                assert [event.version for event in await service.history(events[0].interrupt_id)] == [1, 2]

    asyncio.run(main())


@pytest.mark.parametrize("partitions", [3, 16, 64])
def test_partitions_are_spread_evenly_over_the_nodes(cluster: Cluster, namespace: str, partitions: int) -> None:
    """However many partitions there are, no node has more than one more than another."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace, partitions=partitions) as service:
            created = [await service.create_checkpoint("r", "u", session) for session in sessions(service)]
            assert len(await whole_log(service)) == len(created) == partitions
            owners = Counter(cluster.owner(slot).port for slot in service._log.keys.slots)
            assert len(owners) == NODES
            assert max(owners.values()) - min(owners.values()) <= 1

    asyncio.run(main())


def test_a_slot_that_moves_under_load_loses_nothing(cluster: Cluster, namespace: str) -> None:
    """A partition is moved to another node and back while clients create and answer in it: no error, no loss."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace, partitions=4) as service:
            done, ended, everywhere = 0, False, sessions(service)
            slot = service._log.keys.slots[1]
            home = cluster.owner(slot)
            away = next(node for node in cluster.nodes if node is not home)

            async def work(session: str) -> None:
                nonlocal done
                while not ended:
                    asked = await service.create_confirmation("r", "u", session, "?")
                    assert await service.respond(asked.id, YES)
                    done += 1

            tasks = [asyncio.ensure_future(work(session)) for session in everywhere * WORKERS]
            moved = 0
            for to in (away, home):
                seen = done
                await until(lambda seen=seen: done > seen + 100, "clients work")  # type: ignore[misc]
                moved += await asyncio.to_thread(cluster.move, slot, to)
                assert cluster.owner(slot) is to
            seen = done
            await until(lambda: done > seen + 100, "clients work after the move")
            ended = True
            await asyncio.gather(*tasks)
            events = await whole_log(service)
            counts = Counter((event.interrupt_id, event.version) for event in events)
            assert set(counts.values()) == {1}
            assert Counter(event.version for event in events) == {1: done, 2: done}
            assert moved > 2 * KEYS_AT_ONCE
            for partition in range(4):
                numbers = [event.sequence for event in events if event.position.startswith(f"{partition}:")]
                assert numbers == list(range(1, len(numbers) + 1))

    asyncio.run(main())


def test_reading_goes_on_in_the_middle_of_a_move(cluster: Cluster, namespace: str) -> None:
    """While a slot's keys are on the new node already and the slot is not, interrupts there are read all the same."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace, call_timeout_s=5) as service:
            asked = await service.create_confirmation("r", "u", "s", "?")
            slot = service._log.keys.slots[service.log.partition_of("s")]
            home = cluster.owner(slot)
            away = next(node for node in cluster.nodes if node is not home)
            for to in (away, home):
                assert cluster.move_keys(slot, to)
                assert await service.get_interrupt(asked.id) == asked
                assert len(await service.history(asked.id)) == 1
                cluster.settle(slot, to)
            assert await service.respond(asked.id, YES)

    asyncio.run(main())


def test_an_unfit_node_is_refused(cluster: Cluster, namespace: str) -> None:
    """Every node is looked at: one that evicts is enough, and it is named."""
    wrong = cluster.nodes[-1]

    async def main() -> None:
        wrong.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(UnsuitableServerError, match=f"127.0.0.1:{wrong.port}"):
                async with connect(cluster.url, namespace=namespace):
                    pass
        finally:
            wrong.command("CONFIG", "SET", "maxmemory-policy", "noeviction")

    asyncio.run(main())
