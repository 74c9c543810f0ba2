"""Verifying a view as a whole: missing, stopped, rolled back, of another version, rebuilt meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import InterruptService, ValidationError, connect
from interrupts.rate_rules import CREATE
from interrupts.rates import WINDOWS
from interrupts.scripts import Script
from interrupts.store.server import Server
from interrupts.views import View
from projections import PROJECTIONS, Projection
from projections.closed import Closed
from projections.pending import Pending
from projections.rebuild import rebuild
from projections.skip import skip
from projections.verify import verify
from projections.view_check import SNAPSHOT, TRIES_MAX, Difference
from tests.conftest import whole_log
from tests.folding import YES
from tests.raw import Refusing, checkpoints, folded, go_back, live_key, raw, remember, standing, told, write_entry
from tests.servers import RedisServer

VIEWS = ("pending", "closed", "counts", "rates")


def test_a_view_that_was_never_folded_is_said_to_be_missing(url: str, namespace: str) -> None:
    """Once for each view and partition with events; the interrupts are compared all the same."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            assert (await verify(service)).equal
            await checkpoints(service, 3)
            partition = service.log.partition_of("s")
            found = await verify(service)
            goal = "version 1 up to event 3"
            assert told(found.differences) == [(f"view {view}", "as a whole", None, goal, None) for view in VIEWS]
            assert {one.partition for one in found.differences} == {partition}
            assert found.interrupts == 3
            (fourth,) = await checkpoints(service, 1)
            await raw(service, "DEL", service.store.keys.interrupt(fourth), partition=partition)
            assert (await verify(service)).different == len(VIEWS) + 1

    asyncio.run(main())


def test_the_events_are_counted_although_a_view_is_missing(url: str, namespace: str) -> None:
    """The log's events, each once, whatever there is to compare them with."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 12)
            await rebuild(service, "pending")
            assert (await verify(service)).events == 12

    asyncio.run(main())


def test_a_view_of_another_version_is_named_with_both(url: str, namespace: str) -> None:
    """The live one is older, or younger, than what this library folds."""

    class Younger(Pending):
        view = View("pending", 2)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 2)
            await folded(service, PROJECTIONS)
            seen = ("view pending", "as a whole", None, "version 2 up to event 2", "version 1 up to event 2")
            assert told((await verify(service, projections=[Younger()])).differences) == [seen]
            await rebuild(service, "pending", projections=[Younger()])
            seen = ("view pending", "as a whole", None, "version 1 up to event 2", "version 2 up to event 2")
            assert told((await verify(service)).differences) == [seen]

    asyncio.run(main())


@pytest.mark.parametrize("grown", [0, 9], ids=["shorter", "grown again"])
def test_a_log_that_went_back_is_named(shared_server: RedisServer, namespace: str, grown: int) -> None:
    """Each view that has folded what is no more; the interrupts are the log's."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 2)
            dumps = await remember(service)
            await checkpoints(service, 3)
            await folded(service, PROJECTIONS)
            await go_back(service, dumps)
            await checkpoints(service, grown)
            found = "version 1 up to event 5 of a log that was rolled back since"
            goal = f"version 1 up to event {2 + grown}"
            wrong = told((await verify(service)).differences)
            assert [one for one in wrong if one[0] != "rates"] == [
                (f"view {view}", "as a whole", None, goal, found) for view in VIEWS
            ]
            of_user = [
                (key, member, *(text.partition(",")[0] for text in (should, there) if text))
                for what, key, member, should, there in wrong
                if what == "rates"
            ]
            assert of_user == [(f"u {CREATE}", window, "2 creations", "5 creations") for window in WINDOWS]

    asyncio.run(main())


def test_a_view_that_stands_still_is_not_equal(url: str, namespace: str) -> None:
    """It may hold what the log says up to there; nobody is to take it for the log's view."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 3)
            await folded(service, [Refusing(Pending(), ids[1])])
            assert (await standing(service, "pending")).card.live is None
            await rebuild(service, "pending")
            position = await write_entry(service, 4, '["interrupt.moved"]')
            await folded(service, [Pending()])
            found = await verify(service, ["pending"])
            assert not found.equal
            assert [one.what for one in found.differences] == ["view pending"]
            assert position.partition(":")[2] in str(found.differences[0])

    asyncio.run(main())


@pytest.mark.parametrize("problem", ["event", "hole"])
def test_what_was_skipped_is_left_out_here_too(url: str, namespace: str, problem: str) -> None:
    """An event that a view leaves out, or a hole that it passes over, is no difference of that view."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 4)
            projections: list[Projection] = [Closed()]
            if problem == "hole":
                log = await whole_log(service)
                stream_id = log[1].position.partition(":")[2]
                await raw(service, "XDEL", service.store.keys.logs[0], stream_id)
                await raw(service, "DEL", service.store.keys.interrupt(ids[1]))
                projections += [Pending()]
            else:
                projections += [Refusing(Pending(), ids[1])]
            await folded(service, projections)
            (building,) = (await standing(service, "pending")).card.building
            assert building.stopped is not None
            await skip(service, "pending", building.stopped.position)
            if problem == "hole":
                await skip(service, "closed", building.stopped.position)
            await folded(service, projections)
            assert len(await service.list_pending(wait=False)) == 3
            assert told((await verify(service, ["pending", "closed"], projections=projections)).differences) == []
            await raw(service, "ZREM", await live_key(service, "pending", "user:u"), ids[3])
            assert (await verify(service, ["pending"], projections=projections)).different == 1

    asyncio.run(main())


def rebuilding(monkeypatch: pytest.MonkeyPatch, service: InterruptService, times: int) -> None:
    """Before so many looks at what a view holds, somebody has built it anew."""
    read, left = Server.read, times

    async def first_rebuilt(server: Server, script: Script, *args: Any) -> Any:
        nonlocal left
        if script is SNAPSHOT and left:
            left -= 1
            await rebuild(service, "pending")
        return await read(server, script, *args)

    monkeypatch.setattr(Server, "read", first_rebuilt)


def test_a_view_that_is_rebuilt_meanwhile_is_compared_anew(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No false difference, and the new one is looked at: its damage is found."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 3)
            await folded(service, PROJECTIONS)
            rebuilding(monkeypatch, service, TRIES_MAX - 1)
            found = await verify(service, ["pending"])
            assert (found.differences, found.keys) == ([], 4)
            await raw(service, "ZREM", await live_key(service, "pending", "user:u"), ids[0])
            assert (await verify(service, ["pending"])).different == 1

    asyncio.run(main())


def test_a_view_that_never_stays_is_not_said_to_be_equal(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be compared is not passed over in silence."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 3)
            await folded(service, PROJECTIONS)
            rebuilding(monkeypatch, service, 10 * TRIES_MAX)
            assert not (await verify(service, ["pending"])).equal

    asyncio.run(main())


def test_differences_are_bounded_and_all_are_told(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list has the first of them; the number, and what is told meanwhile, have all."""
    monkeypatch.setattr("projections.verify.DIFFERENCES_MAX", 2)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 5)
            for name in await checkpoints(service, 4):
                await raw(service, "DEL", service.store.keys.interrupt(name))
            await folded(service, PROJECTIONS)
            all_told: list[Difference] = []
            found = await verify(service, tell=all_told.append)
            assert (found.equal, found.different, len(all_told)) == (False, 4, 4)
            assert found.differences == all_told[:2]

    asyncio.run(main())


def test_only_the_named_views_are_compared(url: str, namespace: str) -> None:
    """The interrupts always are; a view that there is not is refused with those that are."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            made = await service.create_checkpoint("r", "u", "s")
            await service.respond(made.id, YES)
            await folded(service, PROJECTIONS)
            await raw(service, "DEL", await live_key(service, "closed", "session:s"))
            assert [(await verify(service, [view])).different for view in VIEWS] == [0, 1, 0, 0]
            found = await verify(service, [])
            assert (found.equal, found.keys, found.interrupts, found.events) == (True, 0, 1, 2)
            with pytest.raises(ValidationError, match=r"no 'x'\. There are: pending, closed, counts") as refused:
                await verify(service, ["pending", "x"])
            assert refused.value.field == "view"

    asyncio.run(main())
