"""The follower step by step: versions side by side, catching up, lost replies, servers that restart, idleness."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from interrupts import ViewStoppedError, connect
from interrupts.limits import FOLLOWERS_MAX
from interrupts.store.lanes import Command, Lanes, UnreachableError
from projections import PROJECTIONS
from projections.lag import lags
from projections.rebuild import rebuild
from projections.store import APPLY, BEGIN, Views
from projections.verify import verify
from tests.conftest import whole_log
from tests.following import assert_right, by_hand, create, dump, expected, fold_all, some_more
from tests.notes import ALL, Notes
from tests.only_folding import running
from tests.servers import RedisServer, until
from tests.view_standing import names, standing, until_folded


def test_each_event_is_folded_within_its_step(url: str, namespace: str) -> None:
    """What is in the log before a step is in the views after it; with nothing new a step does nothing."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service)
            await hand.all()
            for number in range(6):
                await create(service, number)
                assert await hand.step()
                await assert_right(service)
                assert not await hand.step()
            assert hand.said.lines == []

    asyncio.run(main())


def test_lost_replies_fold_once(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second reply to a script that writes views is lost after it ran: each event counts once all the same."""
    call, lost = Lanes.call, [0]

    async def losing(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        replies = await call(lanes, commands, timeout_s)
        if commands[0][1:2] and commands[0][1] in (APPLY.sha, APPLY.text, BEGIN.sha, BEGIN.text):
            lost[0] += 1
            if lost[0] % 2:
                raise UnreachableError("the reply was lost", sent=True)
        return replies

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, AsyncExitStack() as stack:
            hand = by_hand(stack, service)
            for number in range(10):
                await create(service, number)
                await hand.all()
            await some_more(service)
            await hand.all()
            await rebuild(service, "counts")
            monkeypatch.undo()
            await assert_right(service)

    monkeypatch.setattr(Lanes, "call", losing)
    asyncio.run(main())
    assert lost[0] > 10


def test_an_older_worker_leaves_a_younger_view_alone(url: str, namespace: str) -> None:
    """It folds the others, says which view it is too old for, and spoils nothing."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await some_more(service)
            await fold_all(service, [Notes(2)])
            live = (await standing(service, "notes")).card.live
            assert live is not None
            await some_more(service)
            older = by_hand(stack, service, ALL)
            await older.all()
            assert [line["projection"] for line in older.said.of("projections.too_old")] == ["notes"]
            now = (await standing(service, "notes")).card
            assert (now.live and (now.live.number, now.live.at), now.building) == ((live.number, live.at), ())
            assert await dump(service, PROJECTIONS) == await expected(service, PROJECTIONS)
            with pytest.raises(ViewStoppedError) as refusal:
                await rebuild(service, "notes", projections=ALL)
            assert refusal.value.reason == "version"
            await fold_all(service, [Notes(2)])
            await assert_right(service)

    asyncio.run(main())


def test_a_younger_version_is_built_beside_and_takes_over(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has caught up the old one is read and complete; then the new one is, and the old one's keys are gone."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await some_more(service)
            older = by_hand(stack, service)
            await older.all()
            monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", 5)
            monkeypatch.setattr("projections.apart.LOOK_AGAIN_S", 0.01)
            younger = by_hand(stack, service, [Notes(2)])
            await younger.step()
            await create(service)
            await older.all()
            card = (await standing(service, "notes")).card
            assert card.live is not None
            assert (card.live.version, [built.version for built in card.building]) == (1, [2])
            assert card.live.at.sequence == (await service.log.range(0))[-1].sequence
            await younger.all()
            card = (await standing(service, "notes")).card
            assert card.live is not None
            assert (card.live.version, card.building, card.dropping) == (2, (), ())
            begin = service.store.keys.generation(0, "notes", card.live.number)
            assert all(name.startswith(begin) for name in await names(service, 0, "notes"))
            await create(service)
            await older.all()
            assert [line["projection"] for line in older.said.of("projections.too_old")] == ["notes"]
            await younger.all()
            await assert_right(service)

    asyncio.run(main())


def test_a_view_far_behind_holds_nobody_up(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A projection that is added to a long log catches up on its own: meanwhile the others fold what comes."""
    monkeypatch.setattr("projections.follower.CATCH_UP_EVENTS", 20)
    apply, gate = Views.apply, asyncio.Event()

    async def apply_later(views: Views, sections: Sequence[Any]) -> Any:
        if any(unit.name == "notes" for unit, _, _ in sections):
            await gate.wait()
        return await apply(views, sections)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, AsyncExitStack() as stack:
            await some_more(service, 60)
            await fold_all(service, PROJECTIONS)
            monkeypatch.setattr(Views, "apply", apply_later)
            hand = by_hand(stack, service)
            for number in range(30):
                await create(service, number)
                while await hand.step():
                    pass
                assert await dump(service, PROJECTIONS) == await expected(service, PROJECTIONS)
            assert (await standing(service, "notes")).card.live is None
            gate.set()
            await hand.all()
            await assert_right(service)
            await some_more(service)
            await hand.all()
            await assert_right(service)

    asyncio.run(main())


def test_a_restarted_server_without_the_last_second_is_folded_again_from_there(tmp_path: Path) -> None:
    """Log and views go back together, with what the append-only file had: a worker that runs on makes them equal."""
    server = RedisServer(tmp_path / "server", "--appendonly", "yes", "--appendfsync", "always").start()

    async def main() -> None:
        async with connect(server.url, partitions=2) as service, running(service, projections=ALL):
            await some_more(service)
            await service.counts()
            kept = len(await whole_log(service))
            shutil.copytree(server.folder / "appendonlydir", tmp_path / "kept")
            await some_more(service)
            await service.counts()
            server.kill()
            shutil.rmtree(server.folder / "appendonlydir")
            shutil.copytree(tmp_path / "kept", server.folder / "appendonlydir")
            server.start()
            async with connect(server.url) as another:
                assert len(await whole_log(another)) == kept
                await some_more(another)
                await another.list_pending()
                await another.counts()
                await until_folded(another)
                await assert_right(another)
                assert (await verify(another, projections=ALL)).equal

    try:
        asyncio.run(main())
    finally:
        server.stop()


BEATS = 3
EXPECTED_WHEN_IDLE = {
    *("xread", "evalsha", "time", "zadd", "zremrangebyscore", "zrangebyscore"),  # blocking reads; beats
    *(
        "client|setinfo",
        "hello",
        "info",
        "ping",
        "config|resetstat",
    ),  # connecting; this test
}


def test_idle_workers_ask_for_nothing(own_server: RedisServer) -> None:
    """Without events there are beats and a few blocking reads, and nothing that grows with views or partitions."""

    def calls() -> dict[str, int]:
        with own_server.client() as client:
            stats: dict[str, dict[str, int]] = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): there["calls"] for name, there in stats.items()}

    async def main() -> None:
        async with connect(own_server.url) as service, running(service, projections=ALL):
            await some_more(service)
            await service.counts()
            assert own_server.command("CONFIG", "RESETSTAT")
            await until(lambda: calls().get("zadd", 0) >= BEATS, "some beats")
            seen = calls()
            assert set(seen) <= EXPECTED_WHEN_IDLE, seen
            assert seen["evalsha"] == seen["zadd"] <= BEATS + 1
            assert seen.get("xread", 0) <= FOLLOWERS_MAX * (BEATS + 1)
            await some_more(service)
            await service.list_pending()
            await until_folded(service)
            await assert_right(service)

    asyncio.run(main())


def test_a_worker_is_ready_when_what_was_there_is_in_the_views(own_server: RedisServer) -> None:
    """The block of `running` begins with views that are up to date, although they were live and far behind."""

    async def main() -> None:
        async with connect(own_server.url) as service:
            async with running(service, projections=ALL):
                pass
            await some_more(service, 2_000)
            async with running(service, projections=ALL):
                assert [lag for lag in await lags(service, projections=ALL) if lag.events] == []
                await assert_right(service)

    asyncio.run(main())
