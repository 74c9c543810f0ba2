"""Lag, as data, view by view and partition by partition."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import InterruptService, connect
from interrupts.views import View
from projections import PROJECTIONS
from projections.lag import Lag, lags
from projections.pending import Pending
from projections.rebuild import rebuild
from tests.conftest import whole_log
from tests.folding import by_hand
from tests.raw import Refusing, checkpoints, folded, go_back, raw, remember, small_steps
from tests.servers import RedisServer

WAITING_S = 3_600
"""For how long the first event has been waiting, at least: the log's events are put back by so much."""


class Younger(Pending):
    """The next version of a view."""

    view = View("pending", 2)


async def aged(service: InterruptService, count: int) -> None:
    """So many events, all of them an hour old or older."""
    (seconds, _) = await raw(service, "TIME")
    first_ms = (int(seconds) - WAITING_S) * 1000 - 1_000
    created = await checkpoints(service, count)
    log = service.store.keys.logs[0]
    entries = await raw(service, "XRANGE", log, "-", "+")
    await raw(service, "DEL", log)
    for number, (_, fields) in enumerate(entries):
        await raw(service, "XADD", log, f"{first_ms + number}-0", *fields)
    assert len(created) == len(entries)


async def lag(service: InterruptService, view: str = "pending", **options: Any) -> Lag:
    """That of one view, in the only partition."""
    (found,) = [one for one in await lags(service, **options) if one.projection == view]
    return found


def test_without_events_nothing_is_behind(url: str, namespace: str) -> None:
    """One for each view and partition, and nothing to be done about it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            found = await lags(service)
            assert found == [
                Lag(view, partition, 0, 0.0, "none")
                for partition in (0, 1)
                for view in ("pending", "closed", "counts", "rates")
            ]
            await folded(service, PROJECTIONS)
            assert {one.state for one in await lags(service)} == {"live"}

    asyncio.run(main())


def test_without_a_worker_everything_is_behind(url: str, namespace: str) -> None:
    """All events, for as long as the first one waits, and what to do."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await aged(service, 4)
            found = await lag(service)
            assert (found.events, found.state) == (4, "none")
            assert found.why is not None
            assert "python -m workers run" in found.why
            assert found.seconds >= WAITING_S

    asyncio.run(main())


def test_a_live_view_is_behind_by_what_it_has_not_folded(url: str, namespace: str) -> None:
    """Counted from the first event that it lacks; nothing once it has it, and each partition for itself."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, by_hand(service) as worker:
            await worker.fold()
            partition = service.log.partition_of("s")
            await checkpoints(service, 3)
            behind = {(one.projection, one.partition): one for one in await lags(service)}
            for (_, number), one in behind.items():
                assert (one.state, one.position, one.why) == ("live", None, None)
                assert one.events == (3 if number == partition else 0)
                assert (one.seconds >= 0) if number == partition else (one.seconds == 0)
            await worker.fold()
            assert {(one.events, one.seconds) for one in await lags(service)} == {(0, 0.0)}

    asyncio.run(main())


def test_the_seconds_are_those_of_the_first_event_that_waits(url: str, namespace: str) -> None:
    """Not of the newest, and by the server's clock."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await folded(service, PROJECTIONS)
            await aged(service, 3)
            found = await lag(service)
            assert (found.events, found.state) == (3, "live")
            assert WAITING_S <= found.seconds < 2 * WAITING_S

    asyncio.run(main())


def test_a_view_that_is_being_built_for_the_first_time_says_how_far_it_is(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events and seconds of what it has not folded yet."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await aged(service, 20)
            with pytest.raises(InterruptedError):
                await rebuild(service, "pending", report=interrupted)
            found = await lag(service)
            assert (found.state, found.events) == ("building", 12)
            assert found.seconds >= WAITING_S

    asyncio.run(main())


def interrupted(_: object) -> None:
    """Ends a rebuild at its first step."""
    raise InterruptedError


def test_a_stopped_view_says_before_what_and_why(url: str, namespace: str) -> None:
    """The position is what `skip` takes; the others go on."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 2)
            await folded(service, PROJECTIONS)
            ids = await checkpoints(service, 2)
            await folded(service, [Refusing(Pending(), ids[0]), *PROJECTIONS[1:]])
            found = await lag(service)
            assert (found.state, found.events) == ("stopped", 2)
            assert found.position == (await whole_log(service))[2].position
            assert found.why == "ValueError: this one is too much"
            assert {(await lag(service, view)).state for view in ("closed", "counts")} == {"live"}

    asyncio.run(main())


def test_the_new_version_that_stands_still_is_seen_behind_the_old_one(url: str, namespace: str) -> None:
    """Or nobody would know why it does not take over."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            ids = await checkpoints(service, 2)
            await folded(service, PROJECTIONS)
            await folded(service, [Refusing(Younger(), ids[1])])
            found = await lag(service, projections=[Younger()])
            assert found.why is not None
            assert "this one is too much" in found.why
            assert found.position == (await whole_log(service))[1].position

    asyncio.run(main())


def test_another_version_is_named_with_both(url: str, namespace: str) -> None:
    """As when the library was updated and no worker was."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 2)
            await folded(service, PROJECTIONS)
            found = await lag(service, projections=[Younger()])
            assert (found.state, found.why) == ("other version", "it has version 1, this library reads 2")

    asyncio.run(main())


@pytest.mark.parametrize("live", [True, False], ids=["live", "building"])
@pytest.mark.parametrize("grown", [0, 30], ids=["shorter", "grown again"])
def test_a_log_that_went_back_is_said_with_what_to_do(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch, live: bool, grown: int
) -> None:
    """Of a live view and of one that is being built: both are folded from what is no more."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            await checkpoints(service, 2)
            dumps = await remember(service)
            await checkpoints(service, 18)
            if live:
                await folded(service, PROJECTIONS)
            else:
                with pytest.raises(InterruptedError):
                    await rebuild(service, "pending", report=interrupted)
            await go_back(service, dumps)
            await checkpoints(service, grown)
            found = await lag(service)
            assert (found.state, found.why) == ("rolled back", "build it again: python -m workers rebuild pending")
            await rebuild(service, "pending")
            assert (await lag(service)).state == "live"

    asyncio.run(main())
