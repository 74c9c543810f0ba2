"""A process that decides commands: `python -m tests.command_process <url> <namespace> <partitions> <moment> <more>`.

It prints `ready` when it has its share, and ends when its input is closed. At a moment such as `decided:answered` it
kills itself: before a script is sent, or after it was run, or before or after its commands were read; with "" it does
not. `more`: arguments of `connect`, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

from redis.exceptions import NoScriptError

from interrupts import connect
from interrupts.scripts import script
from interrupts.store.lanes import Command, Lanes
from tests.servers import until
from workers.commanding import CommandsRole

SCRIPTS: Final = {
    known: name for name in ("decided", "lease", "read") for known in (script(name).sha, script(name).text)
}


def die_at(moment: str) -> None:
    """From now on the process is killed at this moment; `<name>:<when>:<n>` means the n-th time."""
    call = Lanes.call
    name, when, *times = moment.split(":")
    left = int(times[0]) if times else 1

    def now(at: str) -> None:
        nonlocal left
        if at == when:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        ours = what_is(commands[0]) == name
        if ours:
            now("before")
        replies = await call(lanes, commands, timeout_s)
        if ours and replies[0] and not isinstance(replies[0], NoScriptError):
            now("answered")
        return replies

    Lanes.call = calling  # type: ignore[assignment,method-assign]


def what_is(command: Command) -> str:
    """Which script a command runs, or its name."""
    return SCRIPTS.get(command[1], "") if command[0] in ("EVALSHA", "EVAL") else str(command[0]).lower()


async def main(url: str, namespace: str, partitions: str, moment: str, more: str) -> None:
    """From its start to the end of its input."""
    options: dict[str, Any] = json.loads(more)
    async with connect(url, namespace=namespace, partitions=int(partitions), **options) as service:
        role = CommandsRole(service)
        if moment:
            die_at(moment)
        running = asyncio.create_task(role.run())
        await until(lambda: role.ready or running.done(), "the role is ready")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        role.stop()
        await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
