"""Leaving a wait: by being called off, by the end of the service, at any moment; and waiting without async."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from interrupts import InterruptService, InterruptStatus, connect, connect_blocking
from interrupts.errors import UnavailableError, WaitTimeoutError
from tests.servers import until, wait_until
from tests.waiting import YES, ask, asleep, begun, hung_up, run

WAITERS = 20
TURNS = 30
"""Turns of the event loop from before a wait has begun to after it is asleep."""


async def left(service: InterruptService, before: set[asyncio.Task[Any]]) -> None:
    """Returns when nothing of a wait is left: no bell, no tail, no task."""
    await until(lambda: not hung_up(service) and not service._waiters._tails._feeds, "nothing is followed")
    await until(lambda: asyncio.all_tasks() <= before, "all tasks are gone")
    assert not service._waiters._bells
    assert not service._waiters._closing


def test_a_waiter_that_is_called_off_leaves_nothing_behind(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whichever turn of the loop: no bell, later no tail either; the next one who waits is woken all the same."""
    monkeypatch.setattr("interrupts.waiting.WAIT_LINGER_S", 0.0)

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            await service.get_interrupt(asked.id)
            before = asyncio.all_tasks()
            for turn in range(TURNS):
                for call in (
                    service.wait(asked.id),
                    service.wait_any([asked.id, asked.id]),
                    service.wait_all([asked.id]),
                ):
                    task = asyncio.ensure_future(call)
                    for _ in range(turn):
                        await asyncio.sleep(0)
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task
                    assert not service._waiters._bells
            await left(service, before)
            (waiter,) = await begun(service, service.wait(asked.id))
            assert await service.respond(asked.id, YES) == await waiter
            await left(service, before)

    run(main())


def test_one_who_leaves_does_not_take_the_others_along(url: str, namespace: str) -> None:
    """Of several who wait for the same, some are called off or run out of time: the rest is woken."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            stay = await begun(service, *(service.wait(asked.id) for _ in range(WAITERS)))
            leave = await begun(service, *(service.wait(asked.id) for _ in range(WAITERS)))
            for task in leave:
                task.cancel()
            with pytest.raises(WaitTimeoutError):
                await service.wait(asked.id, 0.01)
            await asyncio.gather(*leave, return_exceptions=True)
            await asleep(service, WAITERS)
            answered = await service.respond(asked.id, YES)
            assert await asyncio.gather(*stay) == [answered] * WAITERS
            assert all(task.cancelled() for task in leave)

    run(main())


def test_whoever_comes_just_as_the_tail_is_given_up_is_woken(url: str, namespace: str) -> None:
    """The log is followed no longer as nobody waits, in the very turn of the loop in which somebody begins to wait."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = await ask(one)
            with pytest.raises(WaitTimeoutError):
                await one.wait(asked.id, 0)
            lingering = one._waiters._lingering
            assert lingering is not None
            lingering.cancel()
            waiter = asyncio.create_task(one.wait(asked.id))  # it runs in the next turn
            one._waiters._rest()  # the timer, in this one
            await asleep(one, 1)
            answered = await two.respond(asked.id, YES)
            async with asyncio.timeout(10):
                assert await waiter == answered

    run(main())


def test_the_end_of_the_service_ends_all_waits(url: str, namespace: str) -> None:
    """With an UnavailableError each, whatever they wait for; nothing is left, and the interrupts wait on."""

    async def main() -> None:
        before = asyncio.all_tasks()
        async with connect(url, namespace=namespace) as other:
            async with connect(url, namespace=namespace) as service:
                asked = [await ask(service, f"s{number}") for number in range(WAITERS)]
                ids = [one.id for one in asked]
                late = await ask(service, ttl=timedelta(milliseconds=500))
                waits: list[Any] = [*map(service.wait, ids), service.wait(late.id), service.wait(ids[0], 60)]
                tasks = await begun(service, *waits)
                tasks += [asyncio.create_task(service.wait_any(ids)), asyncio.create_task(service.wait_all(ids))]
                tasks.append(asyncio.create_task(service.ask("timeout", "r", "u", "s")))
                await asleep(service, len(tasks) - 2 + 2 * len(ids))
            for end in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(end, UnavailableError), end
                assert not end.may_have_happened
            assert hung_up(service) == []
            assert [await other.get_interrupt(one.id) for one in asked] == asked
            with pytest.raises(UnavailableError):
                await service.wait(ids[0])
        await until(lambda: asyncio.all_tasks() <= before, "all tasks are gone")

    run(main())


def test_the_end_of_the_service_meets_a_wait_at_any_turn(url: str, namespace: str) -> None:
    """However far a wait has come when the service is closed: it ends, and as unavailable."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as other:
            asked = await ask(other)
            for turn in range(TURNS):
                async with connect(url, namespace=namespace) as service:
                    tasks = [asyncio.create_task(service.wait(asked.id)) for _ in range(2)]
                    for _ in range(turn):
                        await asyncio.sleep(0)
                for end in await asyncio.gather(*tasks, return_exceptions=True):
                    assert isinstance(end, UnavailableError), (turn, end)

    run(main())


def test_blocking_threads_wait_for_each_other(url: str, namespace: str) -> None:
    """Without async: threads that wait are woken by another one's answers, and a time-out is a TimeoutError."""
    with connect_blocking(url, namespace=namespace) as service, ThreadPoolExecutor(WAITERS) as pool:
        made = [service.create_confirmation("r", "u", f"s{number}", "?") for number in range(WAITERS)]
        ids = [one.id for one in made]
        with pytest.raises(TimeoutError):
            service.wait(ids[0], 0.01)
        with pytest.raises(WaitTimeoutError):
            service.wait_all(ids, timedelta(milliseconds=10))
        waits = [pool.submit(service.wait, one, 60) for one in ids]
        wait_until(lambda: len(hung_up(service._service)) == WAITERS, "they wait")
        answered = [service.respond(one, YES) for one in ids]
        assert [wait.result(60) for wait in waits] == answered == service.wait_all(ids)
        first = service.wait_any(ids[3:])
        assert first in answered[3:]
        # Several may have been answered in that millisecond.
        assert answered[3] is not None
        assert first.resolved_at == answered[3].resolved_at
        asked = pool.submit(service.ask, "confirmation", "r", "u", "s", message="?", idempotency_key="k", timeout=60)
        wait_until(lambda: len(hung_up(service._service)) == 1, "it is asked")
        again = service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
        service.cancel(again.id)
        assert asked.result(60).status is InterruptStatus.CANCELLED


def test_blocking_threads_that_wait_are_let_go_at_the_end(url: str, namespace: str) -> None:
    """The end of the block does not wait for an answer: the thread is told that the service is gone."""
    ended: list[BaseException] = []
    with connect_blocking(url, namespace=namespace) as service:
        asked = service.create_confirmation("r", "u", "s", "?")

        def wait() -> None:
            try:
                service.wait(asked.id)
            except (UnavailableError, RuntimeError) as error:
                ended.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        wait_until(lambda: len(hung_up(service._service)) == 1, "it waits")
    thread.join(20)
    assert len(ended) == 1
