"""Joining and leaving: the private server is there while somebody uses its folder, and not a moment longer."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from interrupts.errors import UnavailableError
from interrupts.store import guardian
from interrupts.store.embedded import EmbeddedServer
from tests.embedded.users import (
    DEADLINE_S,
    User,
    attached,
    nothing_left,
    pid_of,
    until,
)


def test_starts_and_stops(folder: Path) -> None:
    """A server runs from attach to detach, its folder is private, and the next one has its data."""

    async def scenario() -> None:
        async with attached(folder) as (_, redis):
            await redis.set("k", "v")
            assert not nothing_left(folder)
        assert nothing_left(folder)
        assert not (folder / guardian.SOCKET).exists()
        assert folder.stat().st_mode & 0o777 == 0o700
        assert all(file.stat().st_mode & 0o077 == 0 for file in folder.rglob("*"))
        async with attached(folder) as (_, redis):
            assert await redis.get("k") == "v"

    asyncio.run(scenario())


def test_options(folder: Path) -> None:
    """The server keeps a log, refuses to evict, and listens on the socket only."""
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "maxmemory-policy": "noeviction", "port": "0"}

    async def scenario() -> None:
        async with attached(folder) as (_, redis):
            assert await redis.config_get(*wanted) == wanted

    asyncio.run(scenario())


def test_shared(join: Callable[..., User]) -> None:
    """Two processes have one server, and it stays when the one that started it leaves."""
    first = join()
    assert first.do("set k v") == "True"
    second = join()
    assert second.run_id == first.run_id
    assert first.do("detach") == "left"
    assert second.do("get k") == "v"


def test_join_while_stopping(folder: Path, join: Callable[..., User]) -> None:
    """A user that comes while the server of a killed one is being stopped gets a fresh one with the same data."""

    async def scenario(number: int) -> None:
        async with attached(folder) as (_, redis):
            assert await redis.get("k") == str(number)

    for number in range(4):
        user = join()
        assert user.do(f"set k {number}") == "True"
        user.kill()
        asyncio.run(scenario(number))


def test_start_together(join: Callable[..., User]) -> None:
    """Many processes that start at the same moment get one server."""
    users = [join() for _ in range(8)]
    assert len({user.run_id for user in users}) == 1


def test_come_and_go(folder: Path) -> None:
    """However joining and leaving interleave, an attached user has a server all the time, and no write is lost."""
    users, rounds = 6, 6

    async def worker(number: int) -> None:
        for turn in range(rounds):
            async with attached(folder) as (_, redis):
                await redis.incr("n")
            await asyncio.sleep((number * 7 + turn * 3) % 10 / 100)  # so that all leave at times, and not at others

    async def scenario() -> None:
        await asyncio.gather(*(worker(number) for number in range(users)))
        assert nothing_left(folder)
        async with attached(folder) as (_, redis):
            assert await redis.get("n") == str(users * rounds)

    asyncio.run(scenario())


def test_forked_child(folder: Path, join: Callable[..., User]) -> None:
    """A process forked off a user is none itself: it does not keep the server when the user is killed."""
    user = join()
    child = int(user.do("fork"))
    try:
        user.process.kill()
        until(lambda: nothing_left(folder))
    finally:
        os.kill(child, signal.SIGKILL)


def test_forgotten(folder: Path) -> None:
    """A user that is dropped without a detach does not keep the server."""

    async def scenario() -> None:
        await EmbeddedServer(folder).attach()

    asyncio.run(scenario())
    gc.collect()
    until(lambda: nothing_left(folder))


def test_cancelled(folder: Path) -> None:
    """An attach that is cancelled half-way has not joined."""

    async def scenario() -> None:
        server = EmbeddedServer(folder)
        task = asyncio.create_task(server.attach())
        while not (folder / guardian.GUARDIAN_LOCK).exists():  # noqa: ASYNC110 - the file system sets no event
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        until(lambda: nothing_left(folder))
        with pytest.raises(UnavailableError, match="attach"):
            await server.ensure_running()

    asyncio.run(scenario())


def test_leave_twice(folder: Path) -> None:
    """Leaving again does nothing, a user that has left can't use the server, and may join again."""

    async def scenario() -> None:
        server = EmbeddedServer(folder)
        await server.detach()
        await server.attach()
        await server.attach()
        await server.detach()
        await server.detach()
        with pytest.raises(UnavailableError, match="attach"):
            await server.ensure_running()
        await server.attach()
        await server.detach()

    asyncio.run(scenario())


def test_uvloop_in_a_thread(folder: Path) -> None:
    """It works on uvloop, and outside the main thread."""
    uvloop = pytest.importorskip("uvloop")
    seen: list[bool] = []

    async def scenario() -> None:
        async with attached(folder) as (server, redis):
            os.kill(await pid_of(redis), signal.SIGKILL)
            await server.ensure_running()
            await redis.connection_pool.disconnect()
            seen.append(await redis.ping())

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(scenario())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE_S)
    assert seen == [True]
