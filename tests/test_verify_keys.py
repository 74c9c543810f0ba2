"""Verifying key by key: large sets in slices, and other types than there should be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from interrupts import connect
from interrupts.codec import Line
from interrupts.views import View
from projections import PROJECTIONS
from projections.changes import Changes
from projections.counts import Counts
from projections.verify import verify
from tests.raw import checkpoints, folded, live_key, raw, told
from tests.servers import RedisServer

HANGS_S = 3.0
"""What takes so long has no end; it takes milliseconds."""


class Flat:
    """A projection whose members all have the same score, beside a hash of as many."""

    view = View("flat", 1)

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """Everything once."""
        for line in lines:
            changes.put(["set"], line.event.id, 1)
            changes.write("hash", line.event.id, "text")


@pytest.mark.parametrize("events", [2, 3, 4, 7])
def test_large_sets_are_compared_in_slices(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    """However many members there are for a slice: equal is equal, and each damage anywhere is found once."""
    monkeypatch.setattr("projections.view_check.MEMBERS_AT_ONCE", 3)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, events)
            await folded(service, PROJECTIONS)
            assert told((await verify(service)).differences) == []
            key = await live_key(service, "pending", "session:s")
            for number, one in enumerate(ids, 1):
                await raw(service, "ZREM", key, one)
                gone = ("view pending", "session:s", one, f"{number}", None)
                assert told((await verify(service)).differences) == [gone]
                await raw(service, "ZADD", key, number, one)
                for score in (-5, number - 0.4, 1_000):
                    await raw(service, "ZADD", key, score, "x")
                    seen = ("view pending", "session:s", "x", None, f"{score:.0f}")
                    assert told((await verify(service)).differences) == [seen], score
                await raw(service, "ZREM", key, "x")

    asyncio.run(main())


@pytest.mark.parametrize("score", [-5, 1_000])
def test_a_score_that_belongs_into_another_slice_is_told_as_it_is(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, score: int
) -> None:
    """What it should be and what it is, though the one is looked at before the other."""
    monkeypatch.setattr("projections.view_check.MEMBERS_AT_ONCE", 3)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 8)
            await folded(service, PROJECTIONS)
            await raw(service, "ZADD", await live_key(service, "pending", "session:s"), score, ids[4])
            seen = ("view pending", "session:s", ids[4], "5", f"{score}")
            assert told((await verify(service)).differences) == [seen]

    asyncio.run(main())


@pytest.mark.parametrize("member", ["0", "z"], ids=["before it", "behind it"])
def test_a_member_with_the_score_of_another_is_found(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, member: str
) -> None:
    """Wherever the slices end."""
    monkeypatch.setattr("projections.view_check.MEMBERS_AT_ONCE", 3)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 7)
            await folded(service, PROJECTIONS)
            key = await live_key(service, "pending", "session:s")
            for number in range(1, 8):
                await raw(service, "ZADD", key, number, member)
                seen = ("view pending", "session:s", member, None, f"{number}")
                assert told((await verify(service)).differences) == [seen]

    asyncio.run(main())


@pytest.mark.parametrize("events", [3, 4])
def test_slices_end_within_equal_scores_and_at_hashes(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, events: int
) -> None:
    """A projection of somebody's own may give many the same score, and have hashes with as many fields as a slice."""
    monkeypatch.setattr("projections.view_check.MEMBERS_AT_ONCE", 3)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, events)
            await folded(service, [Flat()])
            async with asyncio.timeout(HANGS_S):
                found = await verify(service, projections=[Flat()])
            assert (told(found.differences), found.keys) == ([], 2)

    asyncio.run(main())


def test_a_count_of_counts_as_long_as_a_slice_has_an_end(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash comes whole, whatever the number of its fields."""
    monkeypatch.setattr("projections.view_check.MEMBERS_AT_ONCE", 1)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 1)
            await folded(service, [Counts()])
            async with asyncio.timeout(HANGS_S):
                assert (await verify(service, ["counts"])).differences == []

    asyncio.run(main())


OTHER_TYPES: dict[str, tuple[str, str, list[str | bytes]]] = {
    "a hash of numbers for a set": ("pending", "user:u", ["HSET", "{0}", "1", "{1}", "2"]),
    "a hash of words for a set": ("pending", "user:u", ["HSET", "{0}", "one", "{1}", "two"]),
    "a set for a hash": ("counts", "counted", ["ZADD", "2", "checkpoint:pending"]),
    "a list for a hash": ("counts", "counted", ["RPUSH", "checkpoint:pending"]),
    "a stranger's bytes": ("pending", "user:u", ["ZADD", "3", b"\xff\xfe"]),
}


@pytest.mark.parametrize("case", OTHER_TYPES)
def test_another_type_in_a_view_s_place_is_a_difference(shared_server: RedisServer, namespace: str, case: str) -> None:
    """Even if it holds the same: lists could not read it, and nothing could be folded into it."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 2)
            await folded(service, PROJECTIONS)
            view, key, (command, *arguments) = OTHER_TYPES[case]
            name = await live_key(service, view, key)
            if case != "a stranger's bytes":
                await raw(service, "DEL", name)
            await raw(service, command, name, *(a.format(*ids) if isinstance(a, str) else a for a in arguments))
            found = await verify(service)
            assert {(one.what, one.key) for one in found.differences} == {(f"view {view}", key)}

    asyncio.run(main())


@pytest.mark.parametrize("what", ["interrupt", "deadlines"])
def test_another_type_in_an_interrupt_s_place_is_a_difference(
    shared_server: RedisServer, namespace: str, what: str
) -> None:
    """It is named, and the rest compared."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 2)
            await folded(service, PROJECTIONS)
            keys = service.store.keys
            key = keys.interrupt(ids[0]) if what == "interrupt" else keys.deadlines[0]
            await raw(service, "DEL", key)
            await raw(service, "HSET", key, "x", "y")
            found = await verify(service)
            assert what in {one.what for one in found.differences}
            assert all(one.what in (what, "deadline") for one in found.differences)
            assert found.interrupts == 2

    asyncio.run(main())
