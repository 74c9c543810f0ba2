"""The role that sends webhooks: it reads this process's share of the log, and sends what waits there."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final

from interrupts import InterruptService
from interrupts.errors import UnavailableError
from interrupts.limits import HOOK_IN_HAND_MAX, HOOK_LOOK_AT_ALL_S, HOOK_LOOK_S, RETRY_PAUSE_MAX_S
from workers.attending import Attendance
from workers.webhooks.fan_out import FanOut
from workers.webhooks.place import GROUP, enlist
from workers.webhooks.posting import Poster
from workers.webhooks.registry import Registry
from workers.webhooks.rules import Rules
from workers.webhooks.sending import Sending
from workers.webhooks.switching import Switching

_TO_GIVE_BACK_S: Final = 1.0
"""So much of the time for the end is kept for writing down what was sent, and giving back the rest."""


FILES_FOR_OTHERS: Final = 5
"""Of the files that a process may open a fifth is for deliveries in hand: for some time these may be twice as many."""


class WebhooksRole:
    """Sends this process's share of what a namespace's endpoints are to be sent."""

    def __init__(
        self,
        service: InterruptService,
        rules: Rules | None = None,
        *,
        in_hand_max: int = HOOK_IN_HAND_MAX,
        end_timeout_s: float = 10.0,
    ) -> None:
        self._service = service
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if files != resource.RLIM_INFINITY and in_hand_max > files // FILES_FOR_OTHERS:
            in_hand_max = max(1, files // FILES_FOR_OTHERS)
            meaning = f"this process may open only {files:,} files; with more of them it can send more at once"
            service.say("info", "webhooks.bounded_by_files", in_hand_max=in_hand_max, meaning=meaning)
        self._poster = Poster(rules or Rules())
        self._registry = Registry(service)
        self._switching = Switching(service, self._registry)
        self._sending = Sending(
            service,
            self._registry,
            self._poster,
            in_hand_max=in_hand_max,
            gone=self._switching.gone,
            fails=self._switching.fails,
        )
        self._attendance = Attendance(service, f"group:{GROUP}", "", self._take)
        self._fan_outs: dict[int, FanOut] = {}
        self._working: list[asyncio.Task[None]] = []
        self._mine: Sequence[int] = ()
        self._end_timeout_s = max(end_timeout_s - _TO_GIVE_BACK_S, end_timeout_s / 2)
        self._asked = asyncio.Event()
        self._started = False
        self._fault: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Sends until `stop`, then finishes what is at work and gives back the rest. Raises if it can't go on."""
        if self._asked.is_set():
            return
        asked = asyncio.create_task(self._asked.wait())
        work = asyncio.create_task(self._work())
        try:
            async with self._poster:
                try:
                    await asyncio.wait((asked, work), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    asked.cancel()
                    work.cancel()
                    await asyncio.gather(asked, work, return_exceptions=True)
                    await self._end()
        finally:
            self._started = False
        if not work.cancelled():
            work.result()

    def stop(self) -> None:
        """Asks it to end."""
        self._asked.set()

    @property
    def ready(self) -> bool:
        """Whether it reads all partitions that are its own."""
        return self._started and all(one.ready for one in self._fan_outs.values())

    def numbers(self) -> dict[str, int | float | str]:
        """What it has done, and has in hand."""
        sending = self._sending
        return {
            "read": sum(one.read for one in self._fan_outs.values()),
            "delivered": sending.delivered,
            "failed_tries": sending.failed,
            "given_up": sending.given_up,
            "in_hand": sending.in_hand,
            "endpoints": len(self._registry.by_id),
            "partitions": len(self._mine),
        }

    async def _work(self) -> None:
        self._fault = asyncio.get_running_loop().create_future()
        await enlist(self._service)
        await self._registry.refresh()
        await self._attendance.join()
        self._started = True
        self._begin(self._sending.run())
        tasks = [
            asyncio.create_task(work) for work in (self._attendance.keep_on(), self._look(), self._switching.run())
        ]
        try:
            await asyncio.wait((*tasks, self._fault), return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            if self._fault.done():
                self._fault.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Looks again and again what is registered, and now and then for all that waits."""
        rounds = 0
        while True:
            await asyncio.sleep(HOOK_LOOK_S)
            rounds += 1
            try:
                self._sending.changed(await self._registry.refresh())
                if rounds * HOOK_LOOK_S >= HOOK_LOOK_AT_ALL_S:
                    rounds = 0
                    for partition in self._mine:
                        await self._sending.look_at(partition)
            except UnavailableError as error:
                self._service.say("warning", "webhooks.waiting", why=str(error))
                await asyncio.sleep(RETRY_PAUSE_MAX_S)

    def _take(self, partitions: Sequence[int]) -> None:
        """From now on these are its own. On one server they are read together, in a cluster each by itself."""
        self._mine = partitions
        self._sending.own(partitions)
        one_server = self._service.store.server.route.one_server
        shares = {0: partitions} if one_server else {partition: [partition] for partition in partitions}
        for number in shares.keys() | self._fan_outs.keys():
            if number not in self._fan_outs:
                fan_out = FanOut(self._service, self._attendance.worker, self._registry, self._sending)
                self._fan_outs[number] = fan_out
                self._begin(fan_out.run())
            self._fan_outs[number].want(shares.get(number, ()))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended)
        self._working.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not self._asked.is_set() and not task.cancelled() and self._fault is not None and not self._fault.done():
            self._fault.set_exception(task.exception() or RuntimeError("a part of it has ended"))

    async def _end(self) -> None:
        """All of it within the time that there is: others take over at once only if they are told."""
        self._asked.set()
        until = asyncio.get_running_loop().time() + self._end_timeout_s
        for fan_out in self._fan_outs.values():
            fan_out.stop()
        self._sending.stop()
        if self._working:
            await asyncio.wait(self._working, timeout=min(_TO_GIVE_BACK_S, self._end_timeout_s / 4))
        for task in self._working:
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        await self._sending.end(until)
        with suppress(TimeoutError):
            async with asyncio.timeout(_TO_GIVE_BACK_S / 2):
                await self._attendance.leave()
