"""The desk at which the commands of one partition are decided: what was read of them, and the lease.

A lease is taken when there is something to decide, and each step makes it last longer. With nothing to do it runs out
and stays where it is: a number that nobody younger has replaced is still good. So an idle desk asks the server nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from interrupts import InterruptService
from interrupts.cases import Entry
from interrupts.errors import InterruptsError, UnavailableError
from interrupts.limits import (
    COMMAND_LEASE_AGAIN_S,
    COMMANDS_WAITING_MAX,
    DECIDE_AGAIN_MAX,
    LEASE_S,
    RETRY_PAUSE_FIRST_S,
    RETRY_PAUSE_MAX_S,
)
from interrupts.store.inbox import Lease


class Desk:
    """Decides the commands of one partition, in their order, from `run` until `stop`."""

    def __init__(self, service: InterruptService, partition: int, owner: str, wake: Callable[[], None]) -> None:
        self.round = 0
        """How often it has thrown away what it had read: what was asked for before that is of no use any more."""
        self._service = service
        self._deciding = service.deciding
        self._partition = partition
        self._owner = owner
        self._wake = wake
        self._waiting: list[Entry] = []
        self._lease: Lease | None = None
        self._news = asyncio.Event()
        self._ending = False

    @property
    def after(self) -> str:
        """Behind which command to read on. What is decided is gone, so from the beginning if nothing waits here."""
        return self._waiting[-1][0].decode() if self._waiting else "0-0"

    @property
    def room(self) -> bool:
        """Whether it takes more."""
        return len(self._waiting) < COMMANDS_WAITING_MAX

    def offer(self, entries: Sequence[Entry]) -> None:
        """Takes what was read behind `after`."""
        self._waiting += entries
        self._news.set()

    def stop(self) -> None:
        """Asks it to end, after the step that is in hand."""
        self._ending = True
        self._news.set()

    async def run(self) -> None:
        """Decides until it is asked to end, then gives the lease back. Raises nothing."""
        pause_s, again = RETRY_PAUSE_FIRST_S, 0
        try:
            while not self._ending:
                if not self._waiting:
                    self._news.clear()
                    await self._news.wait()
                    continue
                try:
                    decided = await self._step()
                    again = 0 if decided else again + 1
                    if again > DECIDE_AGAIN_MAX:
                        again = 0
                        raise UnavailableError("An interrupt was moved by others whenever it was decided on.")
                    pause_s = RETRY_PAUSE_FIRST_S
                except InterruptsError as error:
                    self._service.say("warning", "commands.waiting", partition=self._partition, why=str(error)[:500])
                    await self._rest(pause_s)
                    pause_s = min(2 * pause_s, RETRY_PAUSE_MAX_S)
                except Exception as error:  # noqa: BLE001 - a fault here would leave the others undecided in silence
                    self._service.say("error", "commands.fault", partition=self._partition, error=repr(error)[:500])
                    await self._rest(RETRY_PAUSE_MAX_S)
        finally:
            await self._give_back()

    async def _step(self) -> bool:
        """One step; whether it has brought something. Raises `UnavailableError`."""
        if self._lease is None:
            self._lease = await self._deciding.inbox.lease(self._partition, self._owner)
            if self._lease is None:
                await self._rest(COMMAND_LEASE_AGAIN_S)
                self._read_anew()
                return True
        decided = await self._deciding.step(self._partition, self._lease, self._waiting)
        if decided is None:
            self._lease = None
            self._read_anew()
            return True
        full = not self.room
        del self._waiting[:decided]
        if full and self.room:
            self._wake()
        return decided > 0

    def _read_anew(self) -> None:
        """What was read may be decided by others: it is read again from the beginning."""
        self._waiting.clear()
        self.round += 1
        self._wake()

    async def _rest(self, seconds: float) -> None:
        """Waits so long, or until it is asked to end."""
        give_up_at = asyncio.get_running_loop().time() + seconds
        while not self._ending:
            self._news.clear()
            try:
                async with asyncio.timeout_at(give_up_at):
                    await self._news.wait()
            except TimeoutError:
                return

    async def _give_back(self) -> None:
        """Lets others take over at once. Does not raise: else they do when the lease has run out."""
        if self._lease is None:
            return
        try:
            async with asyncio.timeout(LEASE_S):
                await self._deciding.inbox.give_back(self._partition, self._owner)
        except (UnavailableError, TimeoutError) as error:
            why = str(error) or "no answer"
            self._service.say("warning", "commands.left_in_a_hurry", partition=self._partition, why=why)
