"""Calling the handlers of one group: one event of a session at a time, sessions side by side.

An event that fails is written down as held, with its error, before its session rests; so are those that follow it. Each
further attempt is counted, in the log's server, before the handler begins. A handler that takes its process down was
therefore counted, too: whoever takes over finds it begun and not ended. Such suspects are handled one after the other,
so that those that were only near do not share the blame.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
import traceback
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import msgspec

from interrupts import InterruptService
from interrupts.limits import REACT_HOLD_AFTER_S, REACT_SUSPECT_ALONE_LEAST_S, REACT_SUSPECT_ALONE_S
from interrupts.store.groups import Parked
from workers.calling import Calling, GivenUpError, told
from workers.committing import Committer
from workers.item import Item, Session
from workers.lane import Lane
from workers.subscriptions import Subscription

TRACE_CHARS_MAX: Final = 4_000


class Handling:
    """The handlers of one group in this process."""

    def __init__(
        self, service: InterruptService, subscription: Subscription, committer: Committer, alone: asyncio.Lock
    ) -> None:
        self._service = service
        self._subscription = subscription
        self._committer = committer
        self._alone = alone
        self._alone_s = REACT_SUSPECT_ALONE_S
        self._call = Calling(service, subscription)
        self._ready: deque[Session] = deque()
        self._suspects: deque[Session] = deque()
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Future[None]] = set()
        self._runners = 0
        self._ending = False
        self._suspecting: asyncio.Future[None] | None = None
        self._spawning = False
        self.handled = self.failed = self.parked = 0

    def begin(self, session: Session) -> None:
        """Its first event may be handled, unless it waits already."""
        if session.waits or not session.items:
            return
        session.waits = True
        if session.items[0].suspect:
            self._suspects.append(session)
            if self._suspecting is None:
                self._suspecting = self._begin_task(self._one_by_one())
        else:
            self._ready.append(session)
            self._spawn_soon()

    def look_after(self, lane: Lane, now: float) -> None:
        """Holds what takes long, and ends what takes too long."""
        for item in lane.in_hand:
            took_s = now - item.started_at
            if took_s > REACT_HOLD_AFTER_S and not item.held:
                lane.hold(item, begun=True)
                self._committer.soon(lane)
            if took_s > self._subscription.timeout_s:
                self._cut(item, f"it took longer than {self._subscription.timeout_s:g} s")

    def drop(self, lane: Lane, why: str) -> None:
        """Ends what is in hand of this partition."""
        for item in lane.in_hand:
            self._cut(item, why)

    async def end(self) -> None:
        """Ends everything."""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._call.end()

    def _cut(self, item: Item, why: str) -> None:
        if item.task is not None and item.cut is None:
            item.cut = GivenUpError(why)
            item.task.cancel()

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        # Each in a context of its own: what a handler sets there is for nobody else.
        task = asyncio.get_running_loop().create_task(work, context=self._context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _spawn_soon(self) -> None:
        # One more runner at a time: nearly always the first one is done with all before a second one has begun.
        if not self._spawning and self._runners < self._subscription.concurrency:
            self._spawning = True
            asyncio.get_running_loop().call_soon(self._spawn, context=self._context)

    def _spawn(self) -> None:
        self._spawning = False
        if self._ready and self._runners < self._subscription.concurrency:
            self._runners += 1
            _ = self._begin_task(self._side_by_side())

    async def _side_by_side(self) -> None:
        try:
            while self._ready:
                session = self._ready.popleft()
                if self._ready:
                    self._spawn_soon()
                await self._handle(session)
                if contextvars.copy_context() != self._context:
                    break  # a handler has left something behind in it
        finally:
            self._runners -= 1
            if self._ready:
                self._spawn_soon()

    async def _one_by_one(self) -> None:
        try:
            while self._suspects:
                async with self._alone:
                    await self._handle_alone(self._suspects.popleft())
        finally:
            self._suspecting = None

    async def _handle_alone(self, session: Session) -> None:
        """No other suspect, of whatever group of this process, is begun until it is done, or has taken a while.

        One that takes its process down does so soon; those that take long must not hold up all others, so each one that
        has survived makes the next one's time shorter.
        """
        item = session.items[0]
        item.alone = True
        handled = self._begin_task(self._handle(session))
        _, late = await asyncio.wait([handled], timeout=self._alone_s)
        item.alone = False
        if late and item in session.lane.in_hand:
            self._alone_s = max(self._alone_s / 2, REACT_SUSPECT_ALONE_LEAST_S)
            session.lane.hold(item, begun=True)  # from here on it is not alone
            await self._committer.now(session.lane)

    async def _handle(self, session: Session) -> None:
        lane, item = session.lane, session.items[0]
        if lane.is_given_up():
            return
        lane.in_hand.add(item)
        try:
            if await self._may_begin(lane, item):
                error = await self._outcome(item)
                if not lane.lost:
                    await self._ended(item, error)
        finally:
            lane.out_of_hand(item)

    async def _may_begin(self, lane: Lane, item: Item) -> bool:
        """Counts the attempt, where it is written down by itself, and sees to it that the lease is ours."""
        item.started_at = time.monotonic()
        item.attempts += 1
        if item.held:
            lane.hold(item, begun=True)
        if item.held or item.started_at > lane.good_until:
            await self._committer.now(lane)
            item.started_at = time.monotonic()
        if not lane.is_given_up():
            return True
        item.attempts -= 1
        if item.held:
            lane.hold(item)
        return False

    async def _outcome(self, item: Item) -> BaseException | None:
        """Calls the handler; what it failed of, if it did."""
        task = item.task = asyncio.current_task()
        assert task is not None  # it runs in one
        item.event.attempt = item.attempts
        error: BaseException | None = None
        try:
            await self._call(item.event)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:
            if self._ending and item.cut is None:
                raise
            error = item.cut or raised
        item.task = None
        while task.cancelling():
            task.uncancel()
        return error

    async def _ended(self, item: Item, error: BaseException | None) -> None:
        lane, session = item.session.lane, item.session
        if error is None:
            self.handled += 1
            lane.done(item)
            self._next(session)
        elif lane.closing and item.cut is not None:
            item.attempts -= 1
            lane.hold(item, told(error))
        else:
            await self._fails(item, error)
        self._committer.soon(lane)

    def _next(self, session: Session) -> None:
        session.waits = False
        if not self._ending:
            self.begin(session)

    async def _fails(self, item: Item, error: BaseException) -> None:
        """Tries it again later, or parks it; either is written down before anything else of its session happens."""
        self.failed += 1
        session, lane, said = item.session, item.session.lane, told(error)
        item.suspect, item.cut = False, None
        fields = {
            "group": self._subscription.group,
            "event_type": item.event.event_type,
            "position": item.event.position,
            "session_id": item.event.session_id,
            "attempt": item.attempts,
            "error": said,
            "trace": "".join(traceback.format_exception(error))[-TRACE_CHARS_MAX:],
        }
        if item.attempts >= self._subscription.attempts_max:
            self.parked += 1
            parked = Parked(item.attempts, said, time.time_ns() // 1_000_000)
            lane.parked(item, msgspec.json.encode(parked).decode())
            self._service.say("error", "reactions.parked", **fields)
            await self._committer.now(lane)
            self._next(session)
            return
        pause_s = min(
            self._subscription.backoff_max_s, self._subscription.backoff_first_s * 2.0 ** (item.attempts - 1)
        ) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads the retries
        lane.hold(item, said)
        self._service.say("error", "reactions.failed", again_in_s=round(pause_s, 3), **fields)
        await self._committer.now(lane)
        asyncio.get_running_loop().call_later(pause_s, self._next, session)
