"""Calling a handler for each event of a replay: one event of a session at a time, in order; sessions side by side."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections import deque
from typing import Final

import msgspec

from interrupts import ValidationError
from interrupts.checks import shown
from workers.calling import told
from workers.event import Event
from workers.replay_reading import Replay, Tell
from workers.subscriptions import Handler

UNDONE_MAX: Final = 1_000
"""Events that were read for the handler and are not done: until there are fewer, nothing more is read."""
FAILED_KEPT_MAX: Final = 1_000
"""Failures that are kept; all are counted and told."""


class Failed(msgspec.Struct, frozen=True):
    """An event of which the handler made nothing, and its error."""

    position: str
    type: str
    error: str


def handler_named(name: str) -> Handler:
    """What `module:function` names. Raises `ValidationError` if it can't be imported, or can't be called."""
    module_name, colon, path = name.partition(":")
    try:
        if not (module_name and colon and path):
            raise ValidationError("it is not of the form module:function")
        found: object = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
        if not callable(found):
            raise ValidationError(f"it is no function, but a {type(found).__name__}")
    except Exception as error:  # foreign code runs when it is imported, and may raise anything
        raise ValidationError(
            f"to_handler: {shown(name)} can't be used ({type(error).__name__}: {str(error)[:200]}). Give a module that "
            "can be imported here and a function in it, such as shop.reactions:count. Nothing was replayed.",
            field="to_handler",
        ) from error
    return found


class Handing:
    """Calls a handler for a replay's events. Afterwards `failures` says how many failed, and `failed` which ones."""

    def __init__(
        self, replay: Replay, handler: Handler, *, concurrency: int, stop_on_error: bool, tell: Tell | None = None
    ) -> None:
        self._replay, self._handler, self._tell = replay, handler, tell
        call = getattr(handler, "__call__", None)  # noqa: B004 - an object whose call is async
        self._async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)
        self._turn = asyncio.Semaphore(concurrency)
        self._stop_on_error = stop_on_error
        self._sessions: dict[tuple[int, str], deque[Event]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._undone = 0
        self._moved = asyncio.Event()
        self.stopped = False
        self.failures = 0
        self.failed: list[Failed] = []

    async def run(self) -> None:
        """Returns when all are done, or with `stop_on_error` when one has failed and what was in hand has ended.

        If it is cancelled, what is in hand is ended, and counts as not done. Raises `UnavailableError`.
        """
        try:
            async for event in self._replay.merged():
                while self._undone >= UNDONE_MAX and not self.stopped:
                    self._moved.clear()
                    await self._moved.wait()
                if self.stopped:
                    break
                self._take(event)
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, event: Event) -> None:
        key = event.partition, event.session_id
        self._undone += 1
        if key in self._sessions:
            self._sessions[key].append(event)
            return
        self._sessions[key] = deque([event])
        task = asyncio.create_task(self._session(key))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _session(self, key: tuple[int, str]) -> None:
        events = self._sessions[key]
        while events and not self.stopped:
            async with self._turn:
                if not self.stopped:
                    await self._one(events.popleft())
        del self._sessions[key]

    async def _one(self, event: Event) -> None:
        try:
            if self._async:
                await self._handler(event)
            else:
                result = await asyncio.to_thread(self._handler, event)
                if inspect.isawaitable(result):
                    await result
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            self._fails(event, error)  # its own, from something that it had called off
        except Exception as error:  # noqa: BLE001 - a handler is anybody's code
            self._fails(event, error)
        else:
            self._replay.done(event)
        self._undone -= 1
        self._moved.set()

    def _fails(self, event: Event, error: BaseException) -> None:
        self.failures += 1
        failed = Failed(event.position, event.event_type, told(error))
        if len(self.failed) < FAILED_KEPT_MAX:
            self.failed.append(failed)
        if self._tell is not None:
            self._tell(f"failed: {failed.position} {failed.type}: {failed.error}")
        if self._stop_on_error:
            self.stopped = True  # it counts as not done: going on begins with it
        else:
            self._replay.passed(event)
