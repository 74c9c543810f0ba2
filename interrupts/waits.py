"""Waiting, as callers see it: for one interrupt, the first of several, all of them; and asking, which creates one and
waits for it.

What comes back is the closed interrupt: `resolved`, `cancelled` or `expired`, by its status. Only a resolved one has a
`response`, so that nothing but an answer can be taken for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Unpack

from interrupts.checks import check_seconds, shown
from interrupts.creation import CreateOptions
from interrupts.errors import NotFoundError, UnavailableError, ValidationError, WaitTimeoutError
from interrupts.limits import WAIT_MANY_MAX
from interrupts.model import FlowInterrupt, InterruptKind
from interrupts.waiting import Waiters

Timeout = float | timedelta | None


class Waits:
    """The waiting part of the service.

    `timeout` is in seconds, or a timedelta; None waits without end. All raise `WaitTimeoutError`, a `TimeoutError`,
    after which the interrupts are as they were; `NotFoundError`; `ValidationError`; `UnavailableError` if the wait
    could not begin. Once it has, it goes on while Redis is away and comes back.
    """

    _waiters: Waiters
    _make: Callable[..., Awaitable[FlowInterrupt]]

    async def wait(self, interrupt_id: str, timeout: Timeout = None) -> FlowInterrupt:
        """The interrupt once it is closed; at once if it is already."""
        return await self._waiters.wait(_one(interrupt_id), _give_up_at(timeout))

    async def wait_any(self, interrupt_ids: Sequence[str], timeout: Timeout = None) -> FlowInterrupt:
        """Of several interrupts the first that is closed."""
        give_up_at, several = _give_up_at(timeout), _several(interrupt_ids)
        waits = [asyncio.ensure_future(self._waiters.wait(one, give_up_at)) for one in several]
        pending: set[asyncio.Future[FlowInterrupt]] = set(waits)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                closed = [wait.result() for wait in done if wait.exception() is None]
                if closed:
                    # Others may have been closed before: which task ends first does not say so.
                    with suppress(UnavailableError, NotFoundError):
                        closed += await self._waiters.closed(several)
                    return min(closed, key=lambda interrupt: interrupt.resolved_at or interrupt.created_at)
                for wait in done:
                    if not isinstance(wait.exception(), WaitTimeoutError):
                        wait.result()  # raises
            return waits[0].result()  # raises: the time is up for all
        finally:
            await _end(waits)

    async def wait_all(self, interrupt_ids: Sequence[str], timeout: Timeout = None) -> list[FlowInterrupt]:
        """All of them, in the order of the ids, once the last one is closed."""
        give_up_at = _give_up_at(timeout)
        waits = [asyncio.ensure_future(self._waiters.wait(one, give_up_at)) for one in _several(interrupt_ids)]
        try:
            return list(await asyncio.gather(*waits))
        finally:
            await _end(waits)

    async def ask(
        self,
        kind: InterruptKind | str,
        request_id: str,
        user_id: str,
        session_id: str,
        envelope_id: str | None = None,
        question: str | None = None,
        message: str | None = None,
        data: dict[str, Any] | None = None,
        *,
        timeout: Timeout = None,
        **options: Unpack[CreateOptions],
    ) -> FlowInterrupt:
        """Creates an interrupt, and waits until it is closed. Takes and refuses what `create_interrupt` does.

        With an `idempotency_key` it may be called again after a crash: it goes on waiting for the same interrupt, or
        returns what became of it meanwhile.
        """
        give_up_at = _give_up_at(timeout)
        made = await self._make(kind, request_id, user_id, session_id, envelope_id, question, message, data, options)
        return await self._waiters.wait(made.id, give_up_at)


async def _end(waits: Sequence[asyncio.Future[FlowInterrupt]]) -> None:
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def _give_up_at(timeout: object) -> float | None:
    """Until when a wait goes on, on the loop's clock."""
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    check_seconds("timeout", seconds)
    assert isinstance(seconds, int | float)  # checked just now
    return asyncio.get_running_loop().time() + seconds


def _one(interrupt_id: object) -> str:
    if isinstance(interrupt_id, str):
        return interrupt_id
    what = "the interrupt" if isinstance(interrupt_id, FlowInterrupt) else shown(interrupt_id)
    raise ValidationError(f"interrupt_id: give the interrupt's id, not {what}.", field="interrupt_id")


def _several(interrupt_ids: object) -> list[str]:
    if isinstance(interrupt_ids, str) or not isinstance(interrupt_ids, Sequence):
        raise ValidationError(f"interrupt_ids: give a list of ids, not {shown(interrupt_ids)}.", field="interrupt_ids")
    if not 1 <= len(interrupt_ids) <= WAIT_MANY_MAX:
        raise ValidationError(
            f"interrupt_ids: there are {len(interrupt_ids)}; one call waits for 1 to {WAIT_MANY_MAX}.",
            field="interrupt_ids",
        )
    return [_one(interrupt_id) for interrupt_id in interrupt_ids]
