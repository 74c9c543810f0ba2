"""A rebuild that is interrupted, anywhere, goes on where it stopped when it is called again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from interrupts import InterruptService, ViewStoppedError, connect
from projections import PROJECTIONS
from projections.pending import Pending
from projections.rebuild import rebuild
from projections.store import Views
from projections.verify import verify
from tests.raw import Refusing, cards, folded, generations, raw, small_steps, standing
from tests.servers import RedisServer

EVENTS = 60  # eight at a time: seven steps are whole, the eighth is the last
LAST = 8

KILLED = """
import asyncio, os, signal, sys
import projections.follower
from interrupts import connect
from projections.rebuild import rebuild

projections.follower.FOLD_EVENTS_MAX = 8

def report(progress):
    if progress.done >= 24:
        os.kill(os.getpid(), signal.SIGKILL)

projections.progress.REPORT_EVERY_S = 0.0

async def main():
    async with connect(sys.argv[1], namespace=sys.argv[2]) as service:
        await rebuild(service, "pending", report=report)

asyncio.run(main())
"""


async def worked(service: InterruptService) -> None:
    """So many events, about half of them ends."""
    for _ in range(EVENTS // 2):
        made = await service.create_checkpoint("r", "u", "s")
        await service.cancel(made.id)


async def cancelled(
    monkeypatch: pytest.MonkeyPatch, service: InterruptService, method: str, call: int, *, after: bool
) -> None:
    """A rebuild that is cancelled at the so-manieth call of a method of the views, before it or after it."""
    original: Callable[..., Any] = getattr(Views, method)
    calls = 0

    async def ends_here(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            task.cancel()
            await asyncio.sleep(0)
        found = await original(*args, **kwargs)
        if calls == call and after:
            task.cancel()
            await asyncio.sleep(0)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Views, method, ends_here)
        task = asyncio.create_task(rebuild(service, "pending"))
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", [1, 2, 5, LAST])
def test_cancelled_at_any_step_it_goes_on_behind_what_was_folded(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    """Each event is folded in only one of the calls; until the second one is through, the live view stays."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await worked(service)
            await folded(service, PROJECTIONS)
            (old,) = await generation_numbers(service)
            await cancelled(monkeypatch, service, "apply", step, after=after)
            if (step, after) == (LAST, True):
                return  # it has taken over: see below
            card = (await standing(service, "pending")).card
            assert card.live is not None
            assert (card.live.number, card.live.at.sequence) == (old, EVENTS)
            (building,) = card.building
            assert building.at.sequence == (step if after else step - 1) * 8
            assert await service.list_pending() == []
            done = await rebuild(service, "pending")
            assert done.events == EVENTS - building.at.sequence
            card = (await standing(service, "pending")).card
            assert (card.live.number if card.live else 0, card.building, card.dropping) == (building.number, (), ())
            assert (await verify(service)).differences == []

    asyncio.run(main())


def test_killed_it_goes_on_in_another_process(shared_server: RedisServer, namespace: str) -> None:
    """What a process did that is gone without a word is not done again."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            await worked(service)
            process = [sys.executable, "-c", KILLED, shared_server.url, namespace]
            assert subprocess.run(process, timeout=60, check=False).returncode == -signal.SIGKILL
            (building,) = (await standing(service, "pending")).card.building
            assert building.at.sequence == 24
            assert (await rebuild(service, "pending")).events == EVENTS - 24
            assert (await verify(service, ["pending"])).differences == []

    asyncio.run(main())


async def generation_numbers(service: InterruptService) -> list[int]:
    """Partition by partition the live generation of what is pending."""
    return [card.live.number for card in await cards(service, "pending") if card.live is not None]


async def interrupted_while_dropping(monkeypatch: pytest.MonkeyPatch, service: InterruptService) -> None:
    """A rebuild that has taken over, and was cancelled when it had thrown away a single key of the old view."""
    (old,) = await generation_numbers(service)

    async def only_one(*_: Any) -> int:
        assert (await standing(service, "pending")).card.dropping == (old,)
        await raw(service, "UNLINK", service.store.keys.generation(0, "pending", old) + "user:u0")
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(Views, "sweep", only_one)
        with pytest.raises(asyncio.CancelledError):
            await rebuild(service, "pending")


def test_interrupted_while_dropping_the_next_call_finishes_that(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old keys are thrown away in the end, and the mark with them; meanwhile the lists are right."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            made = [await service.create_checkpoint("r", f"u{number}", "s") for number in range(5)]
            await folded(service, PROJECTIONS)
            await interrupted_while_dropping(monkeypatch, service)
            (new,) = await generation_numbers(service)
            ((old,), there) = (await standing(service, "pending")).card.dropping, await generations(service, "pending")
            assert there == [{old, new}]
            assert await service.list_pending() == made
            assert (await rebuild(service, "pending")).keys_dropped >= 5
            card = (await standing(service, "pending")).card
            assert (card.building, card.dropping) == ((), ())
            assert await generations(service, "pending") == [{card.live.number if card.live else None}]
            assert (await verify(service)).differences == []

    asyncio.run(main())


def test_interrupted_while_dropping_the_next_call_does_not_build_again(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called again, it goes on where it stopped, after the step, too: nothing is left to be folded."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            for number in range(5):
                await service.create_checkpoint("r", f"u{number}", "s")
            await folded(service, PROJECTIONS)
            await interrupted_while_dropping(monkeypatch, service)
            assert (await rebuild(service, "pending")).events == 0

    asyncio.run(main())


def test_interrupted_between_partitions_those_that_are_done_are_not_built_again(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One partition has taken over, and the other can't: called again, only the other has events to be folded."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            by_partition = {service.log.partition_of(f"s{number}"): f"s{number}" for number in range(9)}
            sessions = [by_partition[0], by_partition[1]]
            done, undone = [await service.create_checkpoint("r", "u", session) for session in sessions]
            await folded(service, PROJECTIONS)
            before = await generation_numbers(service)
            with pytest.raises(ViewStoppedError):
                await rebuild(service, "pending", projections=[Refusing(Pending(), undone.id)])
            after = await generation_numbers(service)
            assert (after[0] > before[0], after[1] == before[1]) == (True, True)
            assert (await rebuild(service, "pending")).events == 1
            assert [one.id for one in await service.list_pending()] == [done.id, undone.id]

    asyncio.run(main())


def test_from_start_gives_up_what_was_begun(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then all events are folded again, and of what was begun nothing is left."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await worked(service)
            await service.create_checkpoint("r", "u", "s")
            await folded(service, PROJECTIONS)
            await cancelled(monkeypatch, service, "apply", 5, after=True)
            assert (await rebuild(service, "pending", from_start=True)).events == EVENTS + 1
            assert await generations(service, "pending") == [set(await generation_numbers(service))]
            assert (await verify(service)).differences == []

    asyncio.run(main())
