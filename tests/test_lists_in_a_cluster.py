"""Lists on a real cluster: partitions on several nodes, folded and asked each on its own."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import InterruptKind, PaginationParams, ViewBehindError, connect
from interrupts.store.lanes import Lanes
from tests.folding import SHORT_S, YES, counting, ids, place, populate
from tests.only_folding import running
from tests.servers import Cluster, sessions


def test_lists_over_all_nodes_find_what_a_plain_loop_finds(cluster: Cluster, namespace: str) -> None:
    """By user, request, kinds, session and all at once, by cursor and by number, closed ones and counts."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace) as service, running(service):
            there = await populate(service)
            assert await service.list_pending() == there.pending
            assert await service.list_pending("u0", request_id="r0") == there.filtered("u0", request_id="r0")
            assert await service.list_pending("u1", "s1", "r1") == there.filtered("u1", "s1", "r1")
            kinds = [InterruptKind.TIMEOUT, InterruptKind.CHECKPOINT]
            assert await service.list_pending(kinds=kinds) == there.filtered(kinds=kinds)
            for session in ("s0", "s1", "s2", "s3"):
                assert await service.get_pending_for_session(session) == there.filtered(session_id=session)
                closed = [one for one in reversed(there.closed) if one.session_id == session]
                assert await service.list_closed(session) == closed
            page = await service.list_pending(limit=7)
            walked = list(page)
            while page.next_cursor is not None:
                page = await service.list_pending(limit=7, cursor=page.next_cursor)
                walked += page
            assert walked == there.pending
            numbered = await service.list_pending_page(PaginationParams(2, 9))
            assert (numbered.items, numbered.total) == (there.pending[9:18], len(there.pending))
            counts = await service.counts()
            assert counts.of("pending") == len(there.pending) + len(there.overdue)
            assert counts.oldest_pending_at == there.pending[0].created_at

    asyncio.run(main())


def test_a_cluster_s_lists_show_what_was_just_written(cluster: Cluster, namespace: str) -> None:
    """In every partition at once: after each write the writer's list has it, and another's with its position."""

    async def main() -> None:
        async with (
            connect(cluster.url, namespace=namespace) as service,
            connect(cluster.url, namespace=namespace) as another,
            running(another),
        ):
            everywhere = sessions(service)

            async def work(session: str) -> None:
                made = await service.create_confirmation("r", session, session, "?")
                assert await service.list_pending(session) == [made]
                assert await another.get_pending_for_session(session, after=made.position) == [made]
                answered = await service.respond(made.id, YES)
                assert await service.list_closed(session) == [answered]

            await asyncio.gather(*map(work, everywhere))
            made = [await service.create_checkpoint("r", "u", session) for session in everywhere]
            positions = [one.position or "" for one in made]
            assert await another.list_pending("u", after=positions) == sorted(made, key=place)

    asyncio.run(main())


def test_a_session_s_list_asks_one_node_and_a_whole_list_each_partition(
    cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session's page is one call; of all partitions it is one call for each, and then one for each that has a
    winner."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace, partitions=6) as service:
            async with running(service):
                made = [await service.create_checkpoint("r", "u", session) for session in sessions(service)]
                assert await service.list_pending() == sorted(made, key=place)
                for one in made:  # from now on all nodes know the scripts
                    assert await service.get_pending_for_session(one.session_id) == [one]
            calls = counting(monkeypatch, Lanes, "call")
            assert await service.get_pending_for_session(made[0].session_id) == [made[0]]
            assert len(calls) == 1
            calls.clear()
            assert ids(await service.list_pending(limit=4)) == ids(sorted(made, key=place)[:4])
            assert len(calls) == 6 + 4

    asyncio.run(main())


def test_a_cluster_s_lists_say_that_no_worker_is_running(cluster: Cluster, namespace: str) -> None:
    """Whichever node the partition is on."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace, view_wait_s=SHORT_S) as service:
            assert await service.list_pending() == []
            for session in sessions(service)[::5]:
                made = await service.create_checkpoint("r", "u", session)
                with pytest.raises(ViewBehindError, match="No projection worker") as behind:
                    await service.get_pending_for_session(session)
                assert (behind.value.worker_running, behind.value.events) == (False, 1)
                assert (made.position or "").startswith(f"{behind.value.partition}:")
            with pytest.raises(ViewBehindError, match="No projection worker"):
                await service.list_pending()
            assert await service.list_pending(wait=False) == []

    asyncio.run(main())
