"""Calling a handler, and telling what it failed of."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from interrupts import InterruptService
from workers.event import Event
from workers.marking import Marking
from workers.subscriptions import Subscription

ERROR_CHARS_MAX: Final = 500


class GivenUpError(Exception):
    """A handler was ended from outside: it took too long, its lease is another's, or the process ends."""


class Calling:
    """The handler of a subscription, with the marks around it where it resumes something."""

    def __init__(self, service: InterruptService, subscription: Subscription) -> None:
        self._handler = subscription.handler
        self._marking = Marking(service, subscription.group) if subscription.resumes else None
        call = getattr(subscription.handler, "__call__", None)  # noqa: B004 - an object whose call is async
        # As many threads as handlers at once, so that none waits for one while its time runs.
        self._threads: ThreadPoolExecutor | None = None
        self._async = inspect.iscoroutinefunction(subscription.handler) or inspect.iscoroutinefunction(call)
        if not self._async:
            self._threads = ThreadPoolExecutor(subscription.concurrency, f"reactions-{subscription.group}")

    def end(self) -> None:
        """Its threads are not waited for."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, event: Event) -> None:
        """Returns when the handler is done. Raises what it raises. What is not async runs in a thread."""
        if self._marking is not None:
            await self._marking.delivered(event)
        if self._async:
            await self._handler(event)
        else:
            call = partial(contextvars.copy_context().run, self._handler, event)
            result = await asyncio.get_running_loop().run_in_executor(self._threads, call)
            if inspect.isawaitable(result):
                await result
        if self._marking is not None:
            await self._marking.acknowledged(event)


def told(error: BaseException) -> str:
    """What an error says of itself, on one line and within bounds."""
    try:
        text = str(error) if isinstance(error, GivenUpError) else repr(error)
    except Exception:  # noqa: BLE001 - the error is a stranger's
        text = type(error).__name__
    return " ".join(text.encode(errors="replace").decode().split())[:ERROR_CHARS_MAX]
