"""Waiting for an answer, without polling and without a connection for each who waits.

Each waiter has a bell; one tail a server rings the bells of those whose interrupts something has happened to. Why no
answer is missed, whenever it comes:

- a waiter first hangs up its bell, then sees to it that the partition is followed (whose position is then taken), and
  only then looks. What came before the look it sees; what comes after rings.
- a lost connection: the tail takes its positions anew, and rings all bells, so that everybody looks again.
- the deadline: the waiter has a timer of its own, and then writes the expiry down itself, whether or not a worker is
  there to do it. On the server's clock: until it has passed there, the timer is set again.

A wait changes nothing but that. One that runs out of time leaves the interrupt as it is, and may begin again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from interrupts.commands import Expire
from interrupts.errors import NotFoundError, UnavailableError, WaitTimeoutError
from interrupts.evolve import State, fold
from interrupts.execution import Execution
from interrupts.glance import subject
from interrupts.ids import is_id, new_command_id
from interrupts.limits import RETRY_PAUSE_FIRST_S, RETRY_PAUSE_MAX_S, WAIT_LAST_LOOK_S, WAIT_LINGER_S
from interrupts.model import FlowInterrupt, InterruptStatus
from interrupts.ports import Ports
from interrupts.store.log import Log
from interrupts.store.tails import Tails


class Waiters:
    """All who wait in this process, on one log."""

    def __init__(self, log: Log, ports: Ports, execution: Execution) -> None:
        self._log = log
        self._execution = execution
        self._tails = Tails(log.server, log.keys, self._heard, self._lost, ports.say)
        self._bells: dict[bytes, list[asyncio.Event]] = {}
        self._lingering: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def wait(self, interrupt_id: str, give_up_at: float | None) -> FlowInterrupt:
        """The interrupt once it is closed; `give_up_at` is a time of the loop's clock.

        While it waits it survives that Redis is away. Raises `NotFoundError`, `WaitTimeoutError`; `UnavailableError`
        if it could not even begin, or if the service is closed.
        """
        if not is_id(interrupt_id):
            raise NotFoundError(f"There is no interrupt {str(interrupt_id)[:64]}.")
        with self._bell(interrupt_id) as bell:
            await self._tails.follow([self._log.keys.partition_of_id(interrupt_id)])
            loop, pause_s = asyncio.get_running_loop(), 0.0
            seen: State | None = None
            while True:
                bell.clear()
                try:
                    # The first look has the time of any call. Afterwards the wait's own time counts, and a last look.
                    look_until = None if give_up_at is None else max(give_up_at, loop.time() + WAIT_LAST_LOOK_S)
                    async with asyncio.timeout_at(None if seen is None else look_until):
                        seen, now_ms = await self._look(interrupt_id)
                        if seen.overdue(now_ms):
                            seen, _, now_ms = await self._execution.carry_out(Expire(interrupt_id, new_command_id()))
                    pause_s = 0.0
                except TimeoutError:
                    assert seen is not None  # before, there was no time-out
                    now_ms = None
                except UnavailableError:
                    if seen is None or self._log.server.closed:
                        raise
                    pause_s = min(max(RETRY_PAUSE_FIRST_S, 2 * pause_s), RETRY_PAUSE_MAX_S)
                    now_ms = None
                if seen.interrupt.status is not InterruptStatus.PENDING:
                    return seen.interrupt
                wake_at = loop.time() + pause_s if pause_s else _deadline(seen, now_ms, loop.time())
                if give_up_at is not None and loop.time() >= give_up_at:
                    raise _too_long(seen.interrupt)
                await _rung(bell, _earlier(wake_at, give_up_at))

    async def closed(self, interrupt_ids: Sequence[str]) -> list[FlowInterrupt]:
        """Those of these interrupts that are closed. Raises as `wait` does."""
        states = await asyncio.gather(*map(self._look, interrupt_ids))
        return [seen.interrupt for seen, _ in states if seen.interrupt.status is not InterruptStatus.PENDING]

    async def close(self) -> None:
        """Ends all waits with an `UnavailableError`, as the service is closed."""
        if self._lingering is not None:
            self._lingering.cancel()
        await asyncio.gather(self._tails.close(), *self._closing)
        self._ring(list(self._bells))

    @contextmanager
    def _bell(self, interrupt_id: str) -> Iterator[asyncio.Event]:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        name, bell = interrupt_id.encode(), asyncio.Event()
        self._bells.setdefault(name, []).append(bell)
        try:
            yield bell
        finally:
            self._bells[name].remove(bell)
            if not self._bells[name]:
                del self._bells[name]
            if not self._bells:
                self._lingering = asyncio.get_running_loop().call_later(WAIT_LINGER_S, self._rest)

    def _rest(self) -> None:
        """Nobody has waited for a while: the log need not be followed."""
        self._lingering = None
        # From here on who comes follows anew; only the closing takes time.
        task = asyncio.get_running_loop().create_task(self._tails.leave_off())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _look(self, interrupt_id: str) -> tuple[State, int]:
        read = await self._log.read(interrupt_id)
        if read.there is None:
            raise NotFoundError(f"There is no interrupt {interrupt_id}.")
        return fold(read.there, read.partition), read.now_ms

    def _heard(self, _: int, entries: Sequence[Any]) -> None:
        bells = self._bells
        self._ring(name for _, fields in entries if (name := subject(fields[-1])) in bells)

    def _lost(self, partitions: Iterable[int]) -> None:
        lost, keys = set(partitions), self._log.keys
        self._ring([name for name in self._bells if keys.partition_of_id(name.decode()) in lost])

    def _ring(self, names: Iterable[bytes]) -> None:
        for name in names:
            for bell in self._bells.get(name, ()):
                bell.set()


def _deadline(state: State, now_ms: int | None, now: float) -> float | None:
    """When the deadline is, on the loop's clock."""
    if state.deadline_ms is None or now_ms is None:
        return None
    return now + max(0, state.deadline_ms - now_ms) / 1000


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((time for time in (one, other) if time is not None), default=None)


async def _rung(bell: asyncio.Event, until: float | None) -> None:
    """Returns when the bell rings, or at this time."""
    try:
        async with asyncio.timeout_at(until):
            await bell.wait()
    except TimeoutError:
        return


def _too_long(interrupt: FlowInterrupt) -> WaitTimeoutError:
    return WaitTimeoutError(
        f"Interrupt {interrupt.id} was not closed in the time that this call waits. It still waits for its answer; "
        "wait again, or cancel it.",
        interrupt=interrupt,
    )
