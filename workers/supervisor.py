"""The supervisor: keeps the roles of one process going, and brings all of them to their end in time.

What it holds to, whatever a role does:

- A role that fails is begun anew, as a new object, after a pause. The pause doubles from failure to failure, so that
  what is broken for good costs next to nothing, and it has jitter, so that many processes that have lost the same
  server do not come back all at once. A role that has run well for a while has earned the first, short pause again. To
  return without having been asked counts as a failure as well: a role that is silently gone is the worst one.
- Each role runs in a task of its own, and nothing of one waits for another. The supervisor's own part looks at that
  task's outcome instead of awaiting the role itself, so whatever comes out of it (a cancellation of its own making too)
  is a fault of that role, and never takes the supervisor along.
- At the end all roles are asked at once and have the same time. What is late is cancelled, and what even then does not
  go is left behind and said: the caller then has to end the process.

There is no polling: it waits for tasks and for one event (`stop`), and pauses are waits for that event, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from workers.roles import Health, Role, RoleHealth, State

BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 30.0
RAN_WELL_S: Final = 60.0
"""A role that ran for so long before it failed begins anew with the first pause."""
CANCEL_TIMEOUT_S: Final = 1.0
"""How long what was cancelled may take to clear up."""
ERROR_CHARS_MAX: Final = 500

Say = Callable[..., None]


async def _rest(asked: asyncio.Event, seconds: float) -> None:
    """Returns after so many seconds, or as soon as the event is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asked.wait()


class _Kept:
    """One role: how it is made, what is there of it now, and what became of it so far."""

    def __init__(self, name: str, make: Callable[[], Role]) -> None:
        self.name = name
        self.make = make
        self.role: Role | None = None
        self.task: asyncio.Task[None] | None = None
        self.restarts = 0
        self.error: str | None = None
        self.late = False
        self.becomes("starting")

    @property
    def at_work(self) -> bool:
        """Whether its `run` has begun, or is about to, and has not ended."""
        return self.task is not None and not self.task.done()

    def becomes(self, state: State) -> None:
        """From now on it is in this state."""
        self.state: State = state
        self.since = datetime.now(UTC)

    def health(self) -> RoleHealth:
        """How it is doing; a role that can't even say so is not ready."""
        ready, numbers = False, dict[str, int | float | str]()
        with contextlib.suppress(Exception):
            if self.role is not None:
                ready = self.state == "running" and bool(self.role.ready)
                numbers = self.role.numbers()
        return RoleHealth(self.name, self.state, ready, self.since, self.restarts, self.error, numbers)


class Supervisor:
    """Runs roles until it is asked to end. One supervisor runs once, on one event loop.

    `makers`: how each role is made, every time it begins. `say`: a log line (level, event, fields); it does not raise.
    `rest` and `clock` are for tests: how a pause is waited for, and how long a role ran.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Role]],
        say: Say,
        *,
        end_timeout_s: float,
        rest: Callable[[asyncio.Event, float], Awaitable[None]] = _rest,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kept = [_Kept(name, make) for name, make in makers.items()]
        self._say = say
        self._end_timeout_s = end_timeout_s
        self._rest = rest
        self._clock = clock
        self._asked = asyncio.Event()

    async def run(self) -> bool:
        """Runs the roles until `stop`; returns whether all of them have ended in time. Does not raise for any role."""
        keeping = [asyncio.create_task(self._keep(kept), name=f"keeping {kept.name}") for kept in self._kept]
        asked = asyncio.create_task(self._asked.wait())
        try:
            # A keeper ends when it is asked to, and not before: one that does has a fault of ours, which is raised.
            await asyncio.wait((asked, *keeping), return_when=asyncio.FIRST_COMPLETED)
            for keeper in keeping:
                if keeper.done():
                    keeper.result()
            return await self._end(keeping)
        finally:
            self._asked.set()
            asked.cancel()
            await self._cut_off(keeping)

    def stop(self) -> None:
        """Asks all roles to end. May be called at any time on the loop, also before `run`, and again."""
        if self._asked.is_set():
            return
        self._asked.set()
        for kept in self._kept:
            if kept.role is not None and kept.at_work:
                try:
                    kept.role.stop()
                except Exception as error:  # noqa: BLE001 - the others are to be asked all the same
                    self._say("error", "workers.stop_failed", role=kept.name, error=_told(error))

    def health(self) -> Health:
        """How the process is doing, at this moment."""
        roles = [kept.health() for kept in self._kept]
        return Health(not self._asked.is_set() and all(role.ready for role in roles), roles)

    async def _keep(self, kept: _Kept) -> None:
        """Runs one role, and begins it anew whenever it fails, until all are asked to end."""
        pause_s = BACKOFF_FIRST_S
        while not self._asked.is_set():
            began = self._clock()
            failure = await self._once(kept)
            if self._asked.is_set():
                self._note_the_end(kept, failure)
                break
            if self._clock() - began >= RAN_WELL_S:
                pause_s = BACKOFF_FIRST_S
            kept.error = _told(failure) if failure else "it has ended, though nobody has asked it to"
            kept.restarts += 1
            kept.becomes("restarting")
            again_in_s = round(pause_s * random.uniform(0.5, 1.0), 3)  # noqa: S311 - spreads many processes' restarts
            pause_s = min(2 * pause_s, BACKOFF_MAX_S)
            self._say("error", "workers.restarting", role=kept.name, error=kept.error, again_in_s=again_in_s)
            if failure:
                self._say("debug", "workers.failed_there", role=kept.name, exc_info=failure)
            await self._rest(self._asked, again_in_s)
        kept.becomes("ended")

    async def _once(self, kept: _Kept) -> BaseException | None:
        """Makes the role and runs it to its end; what it failed of, if it did."""
        try:
            kept.role = kept.make()
            kept.task = asyncio.create_task(kept.role.run(), name=f"role {kept.name}")
        except Exception as error:  # noqa: BLE001 - a role that can't be made fails like one that can't run
            return error
        kept.becomes("running")
        await asyncio.wait((kept.task,))
        return asyncio.CancelledError("it was cancelled") if kept.task.cancelled() else kept.task.exception()

    def _note_the_end(self, kept: _Kept, failure: BaseException | None) -> None:
        """Says what a role has failed of although it was to end anyway; that it was cut off is said already."""
        if failure and not kept.late:
            kept.error = _told(failure)
            self._say("error", "workers.failed_at_the_end", role=kept.name, error=kept.error)

    async def _end(self, keeping: Sequence[asyncio.Task[None]]) -> bool:
        """Waits for the roles, which have been asked, and cancels those that take too long."""
        if keeping:
            await asyncio.wait(keeping, timeout=self._end_timeout_s)
        late = [kept for kept, keeper in zip(self._kept, keeping, strict=True) if not keeper.done()]
        for kept in late:
            kept.late = True
            kept.error = f"it was cut off: it had not ended {self._end_timeout_s:g} s after it was asked to"
            self._say("error", "workers.cut_off", role=kept.name, after_s=self._end_timeout_s)
        return not late

    async def _cut_off(self, keeping: Sequence[asyncio.Task[None]]) -> None:
        """Cancels the roles that are still there; says what even then does not end, and leaves it behind."""
        for kept in self._kept:
            if kept.task is not None and kept.at_work:
                kept.task.cancel()
        left = [keeper for keeper in keeping if not keeper.done()]
        if left:
            await asyncio.wait(left, timeout=CANCEL_TIMEOUT_S)
        for kept, keeper in zip(self._kept, keeping, strict=True):
            if not keeper.done():
                self._say("error", "workers.does_not_end", role=kept.name)
                keeper.cancel()


def _told(error: BaseException) -> str:
    """What an error says of itself, on one line and within bounds."""
    try:
        return repr(error)[:ERROR_CHARS_MAX]
    except Exception:  # noqa: BLE001 - the error is a stranger's
        return type(error).__name__
