"""What tests of webhooks that break share: endpoints of which it is known what must come to them, load, and what is
claimed."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from interrupts import InterruptResponse, InterruptService, connect
from interrupts.event_names import matches
from tests.conftest import whole_log
from tests.raw import raw
from tests.reacting import ends, places, until_async
from tests.receiver import Receiver
from tests.servers import until
from tests.webhook_process import RULES
from tests.worker_process import Process
from workers.webhooks import WebhookConfig, Webhooks
from workers.webhooks.place import GROUP
from workers.webhooks.telling import delivery_id

YES: Final = InterruptResponse(approved=True)
NAME: Final = "tests.event.happened"
TIMEOUT_S: Final = 0.3
LONG_S: Final = 3.0
"""Time enough to look at what is being answered."""
AWAY: Final = {"attempt_timeout_s": 0.3, "call_timeout_s": 0.5}
"""For `connecting`: what is not answered is soon given up, and has to be begun anew."""


class Watching(Receiver):
    """It notes what it is sent while it has not answered the same one yet."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(port=port)
        self.open: Counter[str] = Counter()
        self.twice: list[str] = []

    async def _answer(self, how: str, *streams: Any) -> bool:
        request = self.requests[-1]
        self.open[request.id] += 1
        if self.open[request.id] > 1:
            self.twice.append(f"{request.path}: {request.id}")
        try:
            return await super()._answer(how, *streams)
        finally:
            self.open[request.id] -= 1


class Endpoints:
    """Endpoints of a namespace on one receiver, by their paths, and what has to come to them."""

    def __init__(self, service: InterruptService, receiver: Watching) -> None:
        self.service, self.receiver = service, receiver
        self.webhooks = Webhooks(service, RULES)
        self.ids: dict[str, str] = {}
        self.patterns: dict[str, str] = {}
        self.again = 0
        """how many were handed over once more"""

    async def add(self, path: str, pattern: str = "*", **options: Any) -> str:
        """Registers one, quick in all; its id."""
        quick = {"timeout_seconds": TIMEOUT_S, "retry_delay_seconds": 0.02, "max_retries": 50, "concurrency": 2}
        config = WebhookConfig(self.receiver.url(path), [pattern], **{**quick, **options})
        self.ids[path], self.patterns[path] = await self.webhooks.register(config), pattern
        return self.ids[path]

    async def wanted(self, path: str) -> set[str]:
        """The ids of what this one has to be sent of all that is in the log."""
        log, pattern = await whole_log(self.service), self.patterns[path]
        return {delivery_id(event.position, self.ids[path]) for event in log if matches(pattern, event.type)}

    def came(self, path: str) -> Counter[str]:
        """How often which id came to it."""
        return Counter(request.id for request in self.receiver.of(path))

    def waiting(self, partition: int, hook: str) -> str:
        """The key of what waits for one in a partition."""
        return f"{self.service.store.keys.lanes(partition)}{hook}:waiting"

    async def claims(self) -> dict[str, int]:
        """From when on what waits may be sent by anybody, by id."""
        found = {}
        for partition in range(self.service.log.partitions):
            for hook in self.ids.values():
                command = "ZRANGE", self.waiting(partition, hook), 0, -1, "WITHSCORES"
                flat = await raw(self.service, *command, partition=partition)
                for stream_id, score in zip(flat[::2], flat[1::2], strict=True):
                    found[delivery_id(f"{partition}:{stream_id.decode()}", hook)] = int(score)
        return found

    async def claimed(self) -> dict[str, int]:
        """What is claimed by somebody, and until when."""
        seconds, micros = await raw(self.service, "TIME")
        now_ms = int(seconds) * 1000 + int(micros) / 1000
        return {one: until_ms for one, until_ms in (await self.claims()).items() if until_ms > now_ms}

    async def until_done(self, timeout_s: float = 20.0) -> None:
        """Returns when the log is read to its end, and nothing waits for any of them."""
        try:
            await until_async(self._is_done, "all is sent", timeout_s)
        except AssertionError as error:
            claims = await self.claims()
            error.add_note(f"{len(claims)} wait, such as {list(claims.items())[:5]}")
            error.add_note(f"read to {await places(self.service, GROUP)} of {await ends(self.service)}")
            raise

    async def _is_done(self) -> bool:
        if await places(self.service, GROUP) != await ends(self.service):
            return False
        for partition in range(self.service.log.partitions):
            for hook in self.ids.values():
                if await raw(self.service, "ZCARD", self.waiting(partition, hook), partition=partition):
                    return False
        return True

    async def faults(self) -> str:
        """What is wrong: an event that did not come, came under two ids, was given up, or noted twice or never."""
        for path, hook in self.ids.items():
            came, wanted = self.came(path), await self.wanted(path)
            if came.keys() != wanted:
                return f"{path}: {len(wanted - came.keys())} of {len(wanted)} missing, {came.keys() - wanted} too much"
            for request in self.receiver.of(path):
                position = json.loads(request.body)["position"]
                if request.id != delivery_id(position, hook):
                    return f"{path}: {position} came as {request.id}"
            stats = await self.webhooks.stats(hook)
            counts = stats.waiting, stats.failed, stats.left_out, stats.delivered
            if counts != (0, 0, 0, len(wanted) + self.again):
                return f"{path}: {len(wanted)} and {self.again} again were to be delivered: {stats}"
        return ""


@contextlib.asynccontextmanager
async def watched(url: str, namespace: str, partitions: int = 4) -> AsyncIterator[Endpoints]:
    """A service and a receiver, with no endpoints yet. In the end nothing was sent twice at once, and nothing lost."""
    async with Watching() as receiver, connect(url, namespace=namespace, partitions=partitions) as service:
        endpoints = Endpoints(service, receiver)
        yield endpoints
        assert not receiver.twice, receiver.twice
        faults = await endpoints.faults()
        assert not faults, faults


async def happen(service: InterruptService, first: int, count: int) -> None:
    """So many times something is asked, answered, and something else published."""

    async def one(number: int) -> None:
        asked = await service.create_confirmation("r", "u", f"s{number}", "Go on?")
        await service.publish(NAME, {"n": number, "session_id": f"s{number}"})
        await service.respond(asked.id, YES)

    await asyncio.gather(*map(one, range(first, first + count)))


async def publish(service: InterruptService, count: int = 1, **data: Any) -> None:
    """So many events of one session."""
    for number in range(count):
        await service.publish(NAME, {"session_id": "s", **data, "n": number})


@contextlib.asynccontextmanager
async def load(service: InterruptService) -> AsyncIterator[Counter[str]]:
    """Something happens again and again in the block; how often so far. A server that is away is waited for."""
    counted, ended = Counter[str](), asyncio.Event()

    async def work() -> None:
        while not ended.is_set():
            await happen(service, 100 + counted["happened"], 3)
            counted["happened"] += 3
            await asyncio.sleep(0.02)  # what waits must not grow without end

    task = asyncio.create_task(work())
    try:
        yield counted
        ended.set()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def more(counted: Counter[str], count: int = 15) -> None:
    """Returns when so much more has happened."""
    before = counted["happened"]
    await until(lambda: counted["happened"] >= before + count, "more happens", 40)


@contextlib.contextmanager
def ending(*started: Process) -> Iterator[list[Process]]:
    """They are gone after the block, and so are those that are put among them."""
    all_of_them = list(started)
    try:
        yield all_of_them
    finally:
        for one in all_of_them:
            one.end()
