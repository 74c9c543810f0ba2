"""`embedded://`: the private server is there while somebody uses its folder, and not a moment longer than needed.

Real processes and real servers throughout. Whether something is left is asked of the kernel: the guardian and the
server hold a lock each, for as long as they live.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from interrupts.errors import UnavailableError, UnsuitableServerError, ValidationError
from interrupts.store import embedded, guardian, socket_path
from interrupts.store.embedded import EmbeddedServer

DEADLINE_S = 30.0
LOOK_EVERY_S = 0.01
ROOT = Path(__file__).parent.parent

USER = """
import asyncio, os, signal, sys
from redis.asyncio import Redis
from interrupts.store.embedded import EmbeddedServer

async def main():
    server = EmbeddedServer(sys.argv[1])
    await server.attach()
    redis = Redis(unix_socket_path=server.socket, decode_responses=True)
    print((await redis.info("server"))["run_id"], flush=True)
    for line in sys.stdin:
        match line.split():
            case ["detach"]:
                await redis.aclose()
                await server.detach()
                print("left", flush=True)
            case ["fork"]:
                child = os.fork()
                if not child:
                    signal.pause()
                print(child, flush=True)
            case words:
                print(await redis.execute_command(*words), flush=True)

asyncio.run(main())
"""


class User:
    """Another process that is attached to the folder and does what it is told."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._run_id = ""

    @property
    def run_id(self) -> str:
        """The server's; the first to ask waits until the process is attached."""
        self._run_id = self._run_id or self._line()
        return self._run_id

    def do(self, line: str) -> str:
        assert self.run_id
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        assert line, "the other process failed, its traceback is in the captured output"
        return line


def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition; fails if it does not come true in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(LOOK_EVERY_S)


def is_free(path: Path | int) -> bool:
    """Whether nobody holds the lock, of a lock file or of an open one. No pid says so: it may be that of a zombie."""
    lock = path if isinstance(path, int) else guardian.open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        fcntl.flock(lock, fcntl.LOCK_UN)
        return True
    finally:
        if lock != path:
            os.close(lock)


def nothing_left(folder: Path) -> bool:
    """No guardian and no server."""
    return not folder.exists() or all(is_free(folder / name) for name in (guardian.GUARDIAN_LOCK, guardian.SERVER_LOCK))


def guardian_pid(folder: Path) -> int:
    return int((folder / guardian.GUARDIAN_LOCK).read_text())


@contextlib.asynccontextmanager
async def attached(folder: Path) -> AsyncIterator[tuple[EmbeddedServer, Redis]]:
    """This process as a user, with a client."""
    server = EmbeddedServer(folder)
    await server.attach()
    try:
        async with Redis(unix_socket_path=server.socket, decode_responses=True) as redis:
            yield server, redis
    finally:
        await server.detach()


async def pid_of(redis: Redis) -> int:
    return int((await redis.info("server"))["process_id"])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is not there yet. After the test nothing may run in it."""
    yield tmp_path / "store"
    until(lambda: nothing_left(tmp_path / "store"))


@pytest.fixture
def join(folder: Path) -> Iterator[Callable[..., User]]:
    """Starts other users of the folder, and ends those that are left."""
    users: list[User] = []

    def start(env: dict[str, str] | None = None) -> User:
        users.append(User(folder, env))
        return users[-1]

    yield start
    for user in users:
        user.kill()


@pytest.fixture(params=["tied", "untied"])
def tied(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a guardian that this process starts takes its server along when it dies, as it can under Linux only."""
    if request.param == "untied":
        known, unknown = "PR_SET_PDEATHSIG = 1", "PR_SET_PDEATHSIG = 0"
        text = Path(guardian.__file__).read_text()
        assert known in text
        copy = tmp_path / "guardian.py"
        copy.write_text(text.replace(known, unknown))
        monkeypatch.setattr(guardian, "__file__", str(copy))
    elif sys.platform != "linux":
        pytest.skip("only Linux ties a process to the life of another")
    return bool(request.param == "tied")


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder with a short path, as another TMPDIR."""
    path = Path(tempfile.mkdtemp(prefix="i-", dir="/tmp"))
    yield path
    shutil.rmtree(path)


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


def test_user_killed(folder: Path, join: Callable[..., User]) -> None:
    """When the last user is killed, the server stops by itself, and the next user finds the data."""
    user = join()
    assert user.do("set k v") == "True"
    user.kill()
    until(lambda: nothing_left(folder))
    assert "ready to exit" in (folder / guardian.SERVER_LOG).read_text()
    assert join().do("get k") == "v"


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
