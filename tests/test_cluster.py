"""A real cluster: partitions on several nodes, and a slot that moves to another node under the clients' hands."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from interrupts import InterruptResponse, UnsuitableServerError, connect
from tests.conftest import until_expired, whole_log
from tests.servers import KEYS_AT_ONCE, NODES, Cluster, sessions, until

WORKERS = 8
YES = InterruptResponse(approved=True)


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
    """However many partitions there are, each node has its share, but for those across which its borders run."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace, partitions=partitions) as service:
            created = [await service.create_checkpoint("r", "u", session) for session in sessions(service)]
            assert len(await whole_log(service)) == len(created) == partitions
            owners = Counter(cluster.owner(slot).port for slot in service._log.keys.slots)
            assert len(owners) == NODES
            share = partitions / NODES
            assert all(share - 2 < number < share + 2 for number in owners.values())
            assert max(owners.values()) - min(owners.values()) <= 2

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
