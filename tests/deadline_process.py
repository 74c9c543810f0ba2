"""A process that answers, or expires, for tests: `python -m tests.deadline_process <url> <namespace> <who>`.

It prints a line when it is connected, and reads ids of interrupts from its input, one a line, up to an empty line. As
`expires…` it expires what is overdue until none of these is pending; else it answers each once, at a random time of the
seconds that stand on the last line, and says by an actor who it is. At last it prints how many it has closed.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from typing import Self

from interrupts import ConflictError, InterruptResponse, InterruptService, connect
from tests.worker_process import Process

AT_ONCE = 64


class Answerer:
    """Such a process."""

    def __init__(self, url: str, namespace: str, who: str) -> None:
        self.process = Process(__name__, url, namespace, who)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.end()

    def start(self, ids: Sequence[str], within_s: float = 0.0) -> None:
        """Lets it begin with these."""
        assert self.process.ready() == "ready"
        assert self.process.popen.stdin is not None
        self.process.popen.stdin.write("\n".join([*ids, "", f"{within_s}", ""]))
        self.process.popen.stdin.flush()

    def won(self) -> int:
        """How many it has closed, once it is done."""
        assert self.process.popen.stdout is not None
        number = int(self.process.popen.stdout.readline())
        self.process.leave()
        return number


async def answer(service: InterruptService, ids: Sequence[str], who: str, within_s: float) -> int:
    """Answers each once, at some moment; how many answers were in time."""
    dice, won = random.Random(who), 0
    loop = asyncio.get_running_loop()
    begun = loop.time()
    moments = sorted((dice.uniform(0, within_s), one) for one in ids)
    turns = iter(moments)

    async def work() -> None:
        nonlocal won
        for moment, one in turns:
            await asyncio.sleep(max(0.0, begun + moment - loop.time()))
            try:
                await service.respond(one, InterruptResponse(approved=True, data={"id": one}), actor=who)
                won += 1
            except ConflictError as late:
                if late.code not in ("resolved", "expired"):
                    raise

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return won


async def expire(service: InterruptService, ids: Sequence[str]) -> int:
    """Expires what is overdue, again and again, until all of these are closed; how many it expired."""
    expired, left = 0, list(ids)
    while left:
        expired += await service.expire_pending()
        now = await asyncio.gather(*map(service.get_interrupt, left[:1]))
        if any(one is not None and one.version == 1 for one in now):
            continue
        now = await asyncio.gather(*map(service.get_interrupt, left))
        left = [one.id for one in now if one is not None and one.version == 1]
    return expired


async def main(url: str, namespace: str, who: str) -> None:
    """From its start to its end."""
    async with connect(url, namespace=namespace) as service:
        print("ready", flush=True)
        lines = iter(sys.stdin.readline, "\n")
        ids = [line.strip() for line in lines]
        within_s = float(sys.stdin.readline())
        working = expire(service, ids) if who.startswith("expires") else answer(service, ids, who, within_s)
        print(await working, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
