"""Fetching what waits in Redis for endpoints, whenever something is due and there is room for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import RETRY_PAUSE_MAX_S
from interrupts.store.deliveries import Deliveries, Due, Found
from workers.webhooks.line import Line
from workers.webhooks.making import made_again

LINES_MAX: Final = 100
"""Endpoints that one round fetches for."""


Asked = tuple[Line, int, int]
"""A line, a partition, and how many"""


class Fetching:
    """Fetches for these lines. `room`: how many more a line may have; `came`: what was fetched for a line in a
    partition (without a body if its event is in the log no more), and when that was asked for; `done`: a line has got
    what there was."""

    def __init__(
        self,
        service: InterruptService,
        lines: Mapping[str, Line],
        room: Callable[[Line], int],
        came: Callable[[Line, int, Due, float], None],
        done: Callable[[Line], None],
    ) -> None:
        self._service = service
        self._lines = lines
        self._room = room
        self._came = came
        self._done = done
        self._deliveries = Deliveries(service.store.server, service.store.keys)
        self._one_server = service.store.server.route.one_server
        self._hungry: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._starved: dict[str, None] = {}
        self._ending = False
        self.partitions: frozenset[int] = frozenset()

    async def run(self) -> None:
        """Fetches until `stop`."""
        while not self._ending:
            await self._woken.wait()
            self._woken.clear()
            while self._hungry and not self._ending:
                some = list(self._hungry)[:LINES_MAX]
                for hook in some:
                    del self._hungry[hook]
                await self._fetch([self._lines[hook] for hook in some if hook in self._lines])

    def stop(self) -> None:
        """Fetches nothing more."""
        self._ending = True
        self._woken.set()
        for line in self._lines.values():
            line.leave()

    def look(self, line: Line) -> None:
        """Sees to it that something is fetched for it when it is due, and half of its room is free."""
        if not line.due or line.endpoint.off is not None or self._ending:
            return
        room, limit = line.room, line.limit
        if room * 4 < limit and line.at_work:
            return  # it is looked at again when one of its own is done
        at, loop = line.next_at(), asyncio.get_running_loop()
        if at > loop.time():
            if line.timer is None or line.timer.cancelled() or line.timer.when() != at:
                line.leave()
                line.timer = loop.call_at(at, self._timed, line)
        elif self._room(line):
            self._hungry[line.endpoint.id] = None
            self._woken.set()
        else:
            self._starved[line.endpoint.id] = None

    def _timed(self, line: Line) -> None:
        line.timer = None
        if self._lines.get(line.endpoint.id) is line:
            self.look(line)

    def room_again(self) -> None:
        """There is room for one more: whoever has waited for that longest is looked at."""
        while self._starved:
            hook = next(iter(self._starved))
            del self._starved[hook]
            if hook in self._lines:
                self.look(self._lines[hook])
                break

    async def _fetch(self, lines: list[Line]) -> None:
        """Takes what is due of these: on one server in one call, in a cluster each partition in one."""
        now, asked = asyncio.get_running_loop().time(), dict[int, list[Asked]]()
        for line in lines:
            due = [partition for partition, at in line.due.items() if at <= now and partition in self.partitions]
            line.due = {partition: at for partition, at in line.due.items() if at > now}
            room = self._room(line) if line.is_open(now) else 0
            random.shuffle(due)
            each = max(1, room // max(1, len(due)))
            for partition in due:
                portion = min(each, room)
                if portion <= 0:
                    line.wait_in(partition, now)
                    continue
                asked.setdefault(0 if self._one_server else partition, []).append((line, partition, portion))
                room -= portion
                line.asked += portion
        await asyncio.gather(*(self._fetch_these(some, now) for some in asked.values()))
        for line in lines:
            self._done(line)

    async def _made(self, found: list[tuple[int, Found]]) -> dict[tuple[int, str], bytes]:
        """The bodies of what waits without one."""
        lacking: dict[int, dict[str, None]] = {}
        for partition, there in found:
            for due in there.due:
                if not due.body:
                    lacking.setdefault(partition, {})[due.stream_id] = None
        made = {}
        for partition, ids in lacking.items():
            for stream_id, body in (await made_again(self._service, partition, list(ids))).items():
                made[partition, stream_id] = body
        return made

    async def _fetch_these(self, asked: list[Asked], now: float) -> None:
        try:
            wanted = [(partition, line.endpoint.id, portion, line.claim_ms) for line, partition, portion in asked]
            server_now, found = await self._deliveries.fetch(wanted)
            made = await self._made([(partition, there) for (_, partition, _), there in zip(asked, found, strict=True)])
        except UnavailableError as error:
            self._service.say("warning", "webhooks.waiting", why=str(error))
            for line, partition, _ in asked:
                line.wait_in(partition, asyncio.get_running_loop().time() + RETRY_PAUSE_MAX_S)
            return
        finally:
            for line, _, portion in asked:
                line.asked -= portion
        for (line, partition, _), there in zip(asked, found, strict=True):
            for due in there.due:
                body = due.body or made.get((partition, due.stream_id), b"")
                self._came(line, partition, msgspec.structs.replace(due, body=body) if not due.body else due, now)
            if there.next_ms is not None:
                line.wait_in(partition, now + max(0, there.next_ms - server_now) / 1000)
