"""Folders: long paths, paths that can't be used, and machines that lack what is needed."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from interrupts.errors import UnavailableError, UnsuitableServerError, ValidationError
from interrupts.store import embedded, guardian, socket_path
from interrupts.store.embedded import EmbeddedServer
from tests.embedded.users import (
    User,
    attached,
    is_free,
    nothing_left,
    until,
)


def test_long_path(
    tmp_path: Path, short_tmp: Path, join: Callable[..., User], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder with a path too long for a socket works, also between processes with different temporary folders."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_tmp))
    deep = tmp_path / ("x" * 100) / ("y 'quoted\"" * 10)
    other_tmp = short_tmp / "other"
    other_tmp.mkdir()

    async def scenario() -> None:
        async with attached(deep) as (server, redis):
            assert len(server.socket) <= socket_path.MAX_SOCKET_BYTES
            assert server.socket.startswith(str(short_tmp))
            other = User(deep, {"TMPDIR": str(other_tmp)})
            try:
                assert other.run_id == (await redis.info("server"))["run_id"]
            finally:
                other.kill()
            shutil.rmtree(next(short_tmp.glob("interrupts-*")))  # as a clean-up of temporary files does
            await server.ensure_running()
            await redis.connection_pool.disconnect()
            assert await redis.ping()
        assert nothing_left(deep)

    asyncio.run(scenario())


def test_alias_of_others(tmp_path: Path, short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short way that others could lead elsewhere is refused."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_tmp))
    server = EmbeddedServer(tmp_path / ("x" * 150))
    Path(server.socket).parent.parent.mkdir(mode=0o755)
    with pytest.raises(ValidationError, match="somebody else") as refusal:
        asyncio.run(server.attach())
    assert refusal.value.field == "url"


def test_folder_is_a_file(tmp_path: Path) -> None:
    """A file where the folder should be, or above it, is refused."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValidationError, match="can't use the folder") as refusal:
            asyncio.run(EmbeddedServer(path).attach())
        assert refusal.value.field == "url"


def test_no_folder() -> None:
    """An empty path would be the working directory, and is refused."""
    with pytest.raises(ValidationError):
        EmbeddedServer("")


def test_folder_removed(folder: Path) -> None:
    """A user whose folder was removed is told so, instead of being given an empty store. Its old server ends."""

    async def scenario() -> None:
        async with attached(folder) as (server, _):
            locks = [guardian.open_lock(folder / name) for name in (guardian.GUARDIAN_LOCK, guardian.SERVER_LOCK)]
            shutil.rmtree(folder)
            with pytest.raises(UnavailableError, match="removed"):
                await server.ensure_running()
            assert not any(is_free(lock) for lock in locks)
        for lock in locks:
            until(partial(is_free, lock))
            os.close(lock)

    asyncio.run(scenario())


def test_no_redis_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without redis-server is told what to install, and nothing is made."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnsuitableServerError, match="redis-server package"):
        asyncio.run(EmbeddedServer(folder).attach())
    assert not folder.exists()


def test_no_file_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without file locks is told so."""
    monkeypatch.setattr(embedded, "SUPPORTED", False)
    with pytest.raises(UnsuitableServerError, match="Windows"):
        EmbeddedServer(folder)


def test_damaged_log(folder: Path) -> None:
    """A server that can't start is not tried for ever, and the refusal has the last lines of its log."""

    async def scenario() -> None:
        async with attached(folder) as (_, redis):
            await redis.set("k", "v")
        next((folder / "appendonlydir").glob("*.incr.aof")).write_bytes(b"this is no log\r\n" * 10)
        with pytest.raises(UnavailableError, match="Bad file format") as refusal:
            await EmbeddedServer(folder).attach()
        assert "giving up" in str(refusal.value)

    asyncio.run(scenario())
