"""A handler that kills its process: its event is parked, and those near it are all handled."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import Any

import pytest

from interrupts import InterruptService, connect
from tests.reacting import BRIEF_S, held, parked, places, publish, run, until_settled
from tests.reacting_process import done, noted, process
from tests.servers import RedisServer
from tests.worker_process import Process

PARTITIONS = 2


async def until_one_survives(url: str, namespace: str, most: int, **options: Any) -> tuple[Process, int]:
    """Starts processes, one after the other, until one has everything done; and how many were killed."""
    async with connect(url, namespace=namespace) as service:
        for killed in range(most):
            one = await asyncio.to_thread(process, url, namespace, lease_s=BRIEF_S, **options)
            settled = asyncio.create_task(until_settled(service, "g", parked_count=None))
            died = asyncio.create_task(asyncio.to_thread(one.popen.wait))
            try:
                await asyncio.wait([settled, died], return_when=asyncio.FIRST_COMPLETED)
                if not died.done():
                    await settled
                    return one, killed
            except BaseException:
                one.end()
                raise
            finally:
                settled.cancel()
                await asyncio.gather(settled, return_exceptions=True)
            one.end()
            assert died.result() == -signal.SIGKILL
    raise AssertionError(f"{most} processes were killed, and it was not parked")


async def poisoned(service: InterruptService, near: int) -> str:
    """A session whose second event kills; in others, before it and behind it, there are innocents."""
    for number in range(near):
        await publish(service, f"before{number}", 1, 2)
    await publish(service, "bad", 1)
    (position,) = await publish(service, "bad", 2, do="kill")
    await publish(service, "bad", 3, 4)
    for number in range(near):
        await publish(service, f"behind{number}", 1, 2)
    return position


@pytest.mark.parametrize("attempts_max", [1, 3])
def test_it_is_parked_after_so_many_starts_and_innocents_are_not(
    shared_server: RedisServer, namespace: str, attempts_max: int
) -> None:
    """At most `attempts_max` processes die of it, its session then goes on, and all others are handled.

    With one attempt it takes two: after the first nobody knows who of those that were in hand was the reason.
    """
    near = 10

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=PARTITIONS) as service:
            position = await poisoned(service, near)
            survivor, killed = await until_one_survives(
                shared_server.url, namespace, attempts_max + 2, attempts_max=attempts_max, start="beginning"
            )
            try:
                why = await parked(service, "g")
                assert list(why) == [position]
                assert 1 <= why[position].attempts <= max(2, attempts_max)
                assert why[position].error
                with shared_server.client() as client:
                    starts = Counter((line.session, line.number) for line in noted(client, namespace, "begin"))
                    handled = done(client, namespace)
                assert starts["bad", 2] == killed <= max(2, attempts_max)
                names = [f"{what}{number}" for what in ("before", "behind") for number in range(near)]
                assert {(name, number) for name in names for number in (1, 2)} <= set(handled)
                assert [number for session, number in handled if session == "bad"][-2:] == [3, 4]
                survivor.leave()
            finally:
                survivor.end()

    run(main())


def test_slow_innocents_beside_it_are_not_parked(shared_server: RedisServer, namespace: str) -> None:
    """They are in hand each time when the process is killed, and have to be begun again as often."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            for number in range(6):
                await publish(service, f"slow{number}", 1, do="wait", s=0.3)
            (position,) = await publish(service, "bad", 1, do="kill")
            survivor, _ = await until_one_survives(
                shared_server.url,
                namespace,
                5,
                attempts_max=2,
                start="beginning",
                bounds={"workers.handling.REACT_SUSPECT_ALONE_S": 0.1},
            )
            try:
                assert list(await parked(service, "g")) == [position]
                with shared_server.client() as client:
                    assert {session for session, _ in done(client, namespace)} == {f"slow{n}" for n in range(6)}
                survivor.leave()
            finally:
                survivor.end()

    run(main())


def test_what_kills_when_it_is_tried_again_is_parked_too(shared_server: RedisServer, namespace: str) -> None:
    """It fails at first, is held, and kills at its next attempt."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            (position,) = await publish(service, "bad", 1, do="fail", times=1, then="kill")
            await publish(service, "bad", 2)
            await publish(service, "good", 1, 2, 3)
            survivor, killed = await until_one_survives(
                shared_server.url, namespace, 5, attempts_max=3, start="beginning"
            )
            try:
                assert list(await parked(service, "g")) == [position]
                assert killed <= 2
                with shared_server.client() as client:
                    assert ("bad", 2) in done(client, namespace)
                assert await held(service, "g") == []
                assert (await places(service, "g"))[0] > (0, 0)
                survivor.leave()
            finally:
                survivor.end()

    run(main())
