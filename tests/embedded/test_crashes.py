"""Crashes of a user, the server, the guardian, several at once: nothing acknowledged is lost, nothing left running."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from interrupts.store import guardian
from interrupts.store.embedded import EmbeddedServer
from tests.embedded.users import (
    DEADLINE_S,
    User,
    attached,
    guardian_pid,
    is_free,
    nothing_left,
    pid_of,
    until,
)


def test_user_killed(folder: Path, join: Callable[..., User]) -> None:
    """When the last user is killed, the server stops by itself, and the next user finds the data."""
    user = join()
    assert user.do("set k v") == "True"
    user.kill()
    until(lambda: nothing_left(folder))
    assert "ready to exit" in (folder / guardian.SERVER_LOG).read_text()
    assert join().do("get k") == "v"


def test_server_killed(folder: Path) -> None:
    """After the server's crash, many tasks that ask at once get one server back, with all that it acknowledged."""

    async def scenario() -> None:
        async with attached(folder) as (server, redis):
            for _ in range(100):
                await redis.incr("n")
            os.kill(await pid_of(redis), signal.SIGKILL)
            before = guardian_pid(folder)
            await asyncio.gather(*(server.ensure_running() for _ in range(20)))
            await redis.connection_pool.disconnect()
            assert await redis.get("n") == "100"
            assert guardian_pid(folder) == before

    asyncio.run(scenario())


def test_guardian_killed(folder: Path, join: Callable[..., User], tied: bool) -> None:
    """After the guardian's crash, a new user has a guarded server with the data, and the old user finds it too."""

    async def scenario() -> None:
        async with attached(folder) as (server, redis):
            await redis.set("k", "v")
            before, old_run_id = guardian_pid(folder), (await redis.info("server"))["run_id"]
            os.kill(before, signal.SIGKILL)
            until(lambda: is_free(folder / guardian.GUARDIAN_LOCK))
            other = join()
            assert other.do("get k") == "v"
            assert other.run_id != old_run_id
            await server.ensure_running()
            await redis.connection_pool.disconnect()
            assert (await redis.info("server"))["run_id"] == other.run_id
            assert guardian_pid(folder) != before
        assert other.do("get k") == "v"

    asyncio.run(scenario())


def test_guardian_killed_last_user_leaves(folder: Path, tied: bool) -> None:
    """The last user leaves nothing running, also if the guardian was killed before."""

    async def scenario() -> None:
        async with attached(folder) as (_, redis):
            await redis.set("k", "v")
            os.kill(guardian_pid(folder), signal.SIGKILL)
            if not tied:
                assert await redis.get("k") == "v"
        assert nothing_left(folder)
        async with attached(folder) as (_, redis):
            assert await redis.get("k") == "v"

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to the life of another")
def test_all_killed(folder: Path, join: Callable[..., User]) -> None:
    """With the guardian and all users killed, the server still flushes its log and ends."""
    user = join()
    assert user.do("set k v") == "True"
    user.process.send_signal(signal.SIGSTOP)  # it must not start another guardian meanwhile
    os.kill(guardian_pid(folder), signal.SIGKILL)
    user.kill()
    until(lambda: nothing_left(folder))
    assert "ready to exit" in (folder / guardian.SERVER_LOG).read_text()
    assert join().do("get k") == "v"


def test_server_left_over(folder: Path) -> None:
    """A server that runs although no guardian does is stopped orderly and replaced, and its data is kept."""
    folder.mkdir()

    async def scenario() -> None:
        with subprocess.Popen(["redis-server", *guardian.SERVER_OPTIONS], cwd=folder) as old:
            until((folder / guardian.SOCKET).is_socket)
            async with Redis(unix_socket_path=EmbeddedServer(folder).socket) as redis:
                await redis.set("k", "v")
            async with attached(folder) as (_, redis):
                assert old.wait(DEADLINE_S) == 0
                assert await redis.get("k") == "v"
                assert await pid_of(redis) != old.pid

    asyncio.run(scenario())


def test_guardian_told_to_end(folder: Path) -> None:
    """A guardian that gets SIGTERM stops the server; a user that is still there gets another."""

    async def scenario() -> None:
        async with attached(folder) as (server, redis):
            await redis.set("k", "v")
            os.kill(guardian_pid(folder), signal.SIGTERM)
            until(lambda: nothing_left(folder))
            await server.ensure_running()
            await redis.connection_pool.disconnect()
            assert await redis.get("k") == "v"

    asyncio.run(scenario())
