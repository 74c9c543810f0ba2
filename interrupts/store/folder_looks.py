"""What can be seen of an embedded server's folder: its locks, its server's answer, its logs, the program to run."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sys
from pathlib import Path

from interrupts.errors import UnsuitableServerError
from interrupts.store import guardian

PING_TIMEOUT_S = 1.0
LOG_LINES, LOG_TAIL_BYTES = 8, 4096


def redis_server() -> str:
    """The full path of redis-server. Refuses, as UnsuitableServerError, if there is none, or no Python to guard it."""
    program = shutil.which("redis-server")
    if program is None:
        raise UnsuitableServerError(
            "embedded:// starts a redis-server of its own, and there is none on the PATH; nothing was started. "
            "Install the redis-server package, or give a redis:// url, or memory://."
        )
    if not sys.executable or getattr(sys, "frozen", False):
        raise UnsuitableServerError(
            "embedded:// needs a Python interpreter to guard its server, and a frozen or embedding program has none; "
            "nothing was started. Give a redis:// url, or memory://."
        )
    return str(Path(program).absolute())


def try_lock(lock: int, kind: int) -> bool:
    """Takes the lock, unless somebody has it in a way that excludes this one; says whether it did."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def can_lock(path: Path, kind: int) -> bool:
    """Whether the lock could be had just now. Having it for that instant at worst makes others look again."""
    lock = guardian.open_lock(path)
    try:
        return try_lock(lock, kind)
    finally:
        os.close(lock)


async def ping(path: str) -> bytes:
    """The first line of the server's answer; empty if there is none in time."""
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline()
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return b""


def tail(path: Path) -> str:
    """The last lines of a log, for a message. A log that can't be read has none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return ""
    return f"\n{path.name}:\n  " + "\n  ".join(lines)
