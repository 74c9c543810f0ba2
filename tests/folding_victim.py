"""A process that folds, builds and throws away, and kills itself at a named step of that, for tests.

`python -m tests.folding_victim <url> <namespace> <step> <time>`: a step is a moment of something that it does, such as
`apply:sent`; it dies when it is there for the so-manieth time. Without dying it prints `survived`.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

import projections.apart
import projections.follower
from interrupts import connect
from interrupts.scripts import script
from interrupts.store.lanes import Command, Lanes
from projections import PROJECTIONS
from projections.rebuild import rebuild
from tests.notes import Notes
from tests.only_folding import running
from tests.view_standing import standing, until_folded

YOUNGER: Final = (*PROJECTIONS, Notes(2))
"""What it folds: a version of the notes that is younger than what is there."""
SENT: Final = ("apply", "begin", "views", "attend", "count", "tallied", "mend", "settle")
SCRIPTS: Final = {script(name).sha: name for name in SENT}
COMMANDS: Final = {"XREAD": "read", "UNLINK": "unlink", "HDEL": "unmark"}
PARTITIONS: Final = 2


class Death:
    """Counts the moments, and strikes at the chosen one."""

    def __init__(self, step: str, time: int) -> None:
        self.step, self.left = step, time

    def at(self, moment: str) -> None:
        """It may be now."""
        if moment == self.step:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def what_is(command: Command) -> str:
    """What a command is for: a step's name, or "". To `move` is to apply the checkpoint of what was counted."""
    name = SCRIPTS.get(command[1], "") if command[0] == "EVALSHA" else COMMANDS.get(command[0], "")
    if name == "apply" and all(key.endswith(":view:rates") for key in command[4 : 3 + int(command[2]) : 2]):
        return "move"
    return "leave" if name == "attend" and command[-1] == 0 else name


def lie_in_wait(death: Death) -> None:
    """From now on it may strike before, while and after anything is sent, and before and after an event is folded."""
    call, send = Lanes.call, AbstractConnection.send_packed_command
    doing: contextvars.ContextVar[str] = contextvars.ContextVar("doing", default="")

    async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        name = what_is(commands[0])
        token = doing.set(name)
        death.at(f"{name}:before")
        replies = await call(lanes, commands, timeout_s)
        death.at(f"{name}:answered")
        doing.reset(token)
        return replies

    async def sending(connection: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        await send(connection, *args, **kwargs)
        death.at(f"{doing.get()}:sent")

    Lanes.call = calling  # type: ignore[assignment,method-assign]
    AbstractConnection.send_packed_command = sending  # type: ignore[assignment]
    for sort in {type(projection) for projection in YOUNGER}:
        _wrap_fold(sort, death)


def _wrap_fold(sort: Any, death: Death) -> None:
    fold = sort.fold

    def folding(*args: Any) -> None:
        death.at("fold:before")
        fold(*args)
        death.at("fold:after")

    sort.fold = folding


async def main(url: str, namespace: str, step: str, time: str) -> None:
    """All that a worker may have to do: folding, building a younger version, throwing the old one away, leaving."""
    setattr(projections.follower, "FOLD_EVENTS_MAX", 4 * PARTITIONS)  # noqa: B010 - it is not theirs to be set
    setattr(projections.apart, "LOOK_AGAIN_S", 0.01)  # noqa: B010 - as above
    async with connect(url, namespace=namespace) as service:
        lie_in_wait(Death(step, int(time)))
        async with running(service, projections=YOUNGER):
            await until_folded(service, YOUNGER)
            for partition in range(PARTITIONS):
                while (await standing(service, "notes", partition)).card.dropping:  # noqa: ASYNC110 - it asks Redis
                    await asyncio.sleep(0.005)
        await rebuild(service, "pending", from_start=True)
        await rebuild(service, "rates", from_start=True)
    print("survived", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
