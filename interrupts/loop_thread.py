"""An event loop in a thread of its own, for callers without async: any number of threads may wait for it at once."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

R = TypeVar("R")

THREAD_END_TIMEOUT_S: Final = 10.0
CLOSED: Final = "This is closed: use it inside its `with` block."


class LoopThread:
    """An event loop that runs in a thread, and callers that wait for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._pid = os.getpid()
        self._closing = False
        self._lock = threading.Lock()  # between the last call that is let in and the end
        self._thread = threading.Thread(target=self._loop.run_forever, name="interrupts", daemon=True)
        self._thread.start()

    def wait(self, call: Coroutine[Any, Any, R]) -> R:
        """The call's result. Refuses to wait in the loop's own thread, after the end, and in a process that was forked
        from the thread's: it would be for ever."""
        if os.getpid() != self._pid:
            call.close()
            raise RuntimeError(
                "This was connected before the process was forked, and its thread is not in this one. Connect in each "
                "process, after the fork."
            )
        if threading.current_thread() is self._thread:
            call.close()
            raise RuntimeError(
                "A blocking call was made in its own thread, which it would block for ever. In async code use what is "
                "async: `connect()`, `AsyncRateLimiter`."
            )
        with self._lock:
            if self._closing:
                call.close()
                raise RuntimeError(CLOSED)
            future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result()
        except CancelledError:
            if self._closing:
                raise RuntimeError(CLOSED) from None
            raise
        except BaseException:  # Ctrl-C above all: nobody waits for the call any more
            future.cancel()
            raise

    def end(self, last: Coroutine[Any, Any, object] | None = None) -> None:
        """Lets no more calls in, waits for a last one, ends those that are left, and stops the thread."""
        if os.getpid() != self._pid:
            if last is not None:
                last.close()
            return
        with self._lock:
            self._closing = True
        try:
            if last is not None:
                asyncio.run_coroutine_threadsafe(last, self._loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(_end_all(), self._loop).result(THREAD_END_TIMEOUT_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(THREAD_END_TIMEOUT_S)
            if not self._thread.is_alive():
                self._loop.close()


async def _end_all() -> None:
    """Cancels what still runs, such as a tail in another thread: whoever waits for it is told."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
