"""The same service without async, for scripts and synchronous frameworks: one event loop in a thread of its own.

There is no second implementation: each method below hands its call to the service and waits. Any number of threads may
use one blocking service at once; their calls travel in the same batches.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from interrupts.connect import connect
from interrupts.loop_thread import LoopThread
from interrupts.positions import Position
from interrupts.recorded import RecordedEvent
from interrupts.service import InterruptService
from interrupts.store.reader import LogReader

P = ParamSpec("P")
R = TypeVar("R")


class _Blocking:
    """What the blocking faces share: the thread to wait for."""

    def __init__(self, thread: LoopThread) -> None:
        self._thread = thread


def _service_call(
    method: Callable[Concatenate[InterruptService, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[BlockingInterruptService, P], R]:
    def call(self: BlockingInterruptService, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._thread.wait(method(self._service, *args, **kwargs))

    return update_wrapper(call, method)


def _log_call(
    method: Callable[Concatenate[LogReader, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[BlockingLogReader, P], R]:
    def call(self: BlockingLogReader, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._thread.wait(method(self._reader, *args, **kwargs))

    return update_wrapper(call, method)


class BlockingLogReader(_Blocking):
    """`service.log`, without async."""

    def __init__(self, reader: LogReader, thread: LoopThread) -> None:
        super().__init__(thread)
        self._reader = reader
        self.partitions = reader.partitions
        self.partition_of = reader.partition_of

    range = _log_call(LogReader.range)
    last = _log_call(LogReader.last)

    def tail(self, partition: int, *, after: str | Position | None = None) -> Iterator[RecordedEvent]:
        """Events after a position (or after now) as they come, without end. End it by leaving the loop."""
        events = self._reader.tail(partition, after=after)
        try:
            while True:
                yield self._thread.wait(_next(events))
        finally:
            with contextlib.suppress(RuntimeError):  # at the service's end the tail was ended with it
                self._thread.wait(events.aclose())


async def _enter(held: AbstractAsyncContextManager[R]) -> R:
    return await held.__aenter__()


async def _leave(held: AbstractAsyncContextManager[Any]) -> None:
    await held.__aexit__(None, None, None)


async def _next(events: Any) -> RecordedEvent:
    event: RecordedEvent = await anext(events)
    return event


class BlockingInterruptService(_Blocking):
    """An `InterruptService` whose methods wait for their result. Make one with `interrupts.connect_blocking()`."""

    def __init__(self, service: InterruptService, thread: LoopThread) -> None:
        super().__init__(thread)
        self._service = service
        self.log = BlockingLogReader(service.log, thread)

    create_interrupt = _service_call(InterruptService.create_interrupt)
    create_clarification = _service_call(InterruptService.create_clarification)
    create_confirmation = _service_call(InterruptService.create_confirmation)
    create_agent_review = _service_call(InterruptService.create_agent_review)
    create_checkpoint = _service_call(InterruptService.create_checkpoint)
    create_resource_exhausted = _service_call(InterruptService.create_resource_exhausted)
    create_timeout = _service_call(InterruptService.create_timeout)
    create_system_error = _service_call(InterruptService.create_system_error)
    get_interrupt = _service_call(InterruptService.get_interrupt)
    history = _service_call(InterruptService.history)
    respond = _service_call(InterruptService.respond)
    cancel = _service_call(InterruptService.cancel)
    extend = _service_call(InterruptService.extend)
    expire_pending = _service_call(InterruptService.expire_pending)
    wait = _service_call(InterruptService.wait)
    wait_any = _service_call(InterruptService.wait_any)
    wait_all = _service_call(InterruptService.wait_all)
    ask = _service_call(InterruptService.ask)
    publish = _service_call(InterruptService.publish)
    list_pending = _service_call(InterruptService.list_pending)
    list_pending_page = _service_call(InterruptService.list_pending_page)
    get_pending_for_request = _service_call(InterruptService.get_pending_for_request)
    get_pending_for_session = _service_call(InterruptService.get_pending_for_session)
    list_closed = _service_call(InterruptService.list_closed)
    counts = _service_call(InterruptService.counts)

    @contextmanager
    def hold(self, make: Callable[[InterruptService], AbstractAsyncContextManager[R]]) -> Iterator[R]:
        """Keeps something async around the service for as long as the block lasts, in the service's own thread.

        `with connect_blocking() as service, service.hold(workers.running):` runs the workers there.
        """
        held = make(self._service)
        entered = self._thread.wait(_enter(held))
        try:
            yield entered
        finally:
            self._thread.wait(_leave(held))


def _without_async(
    connect: Callable[P, AbstractAsyncContextManager[InterruptService]],
) -> Callable[P, AbstractContextManager[BlockingInterruptService]]:
    @contextmanager
    def connect_blocking(*args: P.args, **kwargs: P.kwargs) -> Iterator[BlockingInterruptService]:
        """Like `connect()`, for code without async: `with connect_blocking() as service: ...`"""
        thread = LoopThread()
        last = None
        try:
            opened = connect(*args, **kwargs)
            service = thread.wait(opened.__aenter__())
            last = opened.__aexit__(None, None, None)
            yield BlockingInterruptService(service, thread)
        finally:
            thread.end(last)

    # It takes what `connect` takes, and says so to whoever asks for its signature.
    return update_wrapper(connect_blocking, connect, assigned=(), updated=())


connect_blocking = _without_async(connect)
