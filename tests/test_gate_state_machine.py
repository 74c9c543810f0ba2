"""Any sequence of creations, faults, resets and folding, over minutes, hours and days: at no point the log has more
than the limit in any window that ends there, and never is less said to be used than the log has.

Time passes without waiting: every script gets its time from a clock that the test moves on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import interrupts.scripts
from interrupts import (
    AsyncRateLimiter,
    ConflictError,
    FlowInterrupt,
    InterruptKind,
    RateLimitConfig,
    RateLimitedError,
    RateLimits,
    UnavailableError,
    connect,
)
from interrupts.rate_rules import CREATE
from interrupts.rates import WINDOWS
from interrupts.rings import CELLS, SIZES_MS
from interrupts.scripts import script
from interrupts.store.lanes import Command, Lanes
from tests.conftest import whole_log
from tests.folding import by_hand
from tests.limited_process import Wire, settled
from tests.rate_model import CLOCK, WINDOWS_MS

R = TypeVar("R")
OFFSET = "test-clock"
SHIFTED = f"""
local function shifted()
  local time = redis.call('TIME')
  return {{time[1] + (redis.call('GET', '{OFFSET}') or 0), time[2]}}
end
"""
CHECKPOINT, EXHAUSTED = InterruptKind.CHECKPOINT, InterruptKind.RESOURCE_EXHAUSTED
KIND = f"{CREATE}.checkpoint"
LIMITS = RateLimits(RateLimitConfig(4, 7, 12, 4), {KIND: RateLimitConfig(2, 3, 9, 2)})
OWN = (RateLimitConfig(2, 4, 6, 2), RateLimitConfig(6, 9, 20, 5))
PASSING_S = (1, 5, 29, 30, 31, 58, 59, 60, 61, 62, 89, 91, 600, 1_770, 3_500, 3_600, 3_661, 40_000, 86_400, 90_000)
USERS, SESSIONS = ("u", "v"), ("s0", "s1", "s2", "s3")
CALLS = st.tuples(st.integers(0, 1), st.sampled_from(USERS), st.booleans())
"""Of which service, whose, and whether of the kind that has a limit of its own."""
KEYS = st.sampled_from([None, "k0", "k1"])
_namespaces = itertools.count()


class Made(NamedTuple):
    """A creation in the log that counts."""

    id: str
    user: str
    ms: int
    groups: Sequence[str]


def shift_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on all scripts of this process run on the clock that is moved."""
    call, texts = Lanes.call, dict[str, str]()
    for path in Path(interrupts.scripts.__file__).parent.glob("*.lua"):
        with contextlib.suppress(Exception):  # some are only included by others
            one = script(path.stem)
            texts[one.sha] = texts[one.text] = SHIFTED + one.text.replace(CLOCK, "shifted()")

    async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        moved = [
            ("EVAL", texts[command[1]], *command[2:]) if command[0] in ("EVALSHA", "EVAL") else command
            for command in commands
        ]
        return await call(lanes, moved, timeout_s)

    monkeypatch.setattr(Lanes, "call", calling)


class Creations(RuleBasedStateMachine):
    """Two services, two that give up at once, a limiter, and a worker that folds when it is told to."""

    url: ClassVar[str]
    wire: ClassVar[Wire]
    mixed: ClassVar[bool]
    """Whether a key may be used for several kinds, which count in different groups."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        namespace = f"gate-{next(_namespaces)}"
        self.wire.mend()

        async def begin() -> None:
            enter = self.stack.enter_async_context
            options: dict[str, Any] = {"namespace": namespace, "partitions": 3}
            self.services = [await enter(connect(self.url, limits=LIMITS, **options)) for _ in range(2)]
            hasty = [await enter(connect(self.url, limits=LIMITS, call_timeout_s=0.03, **options)) for _ in range(2)]
            self.services += hasty
            self.limiter = await enter(AsyncRateLimiter.connect(self.url, limits=LIMITS, **options))
            self.worker = await enter(by_hand(self.services[0]))

        self.run_(begin())
        self.made: dict[str, Made] = {}
        self.own: dict[str, RateLimitConfig] = {}
        self.reset_ms = dict.fromkeys(USERS, 0)
        self.forgiven: set[str] = set()
        self.faults = False

    def run_(self, call: Coroutine[Any, Any, R]) -> R:
        """The call's result."""
        return self.runner.run(call)

    def limits_of(self, user: str, group: str) -> RateLimitConfig:
        """What is in force."""
        return self.own.get(user) or LIMITS.config_of(group)

    async def now_ms(self) -> int:
        """The time of the clock that is moved."""
        return (await self.limiter._tallies.usage("nobody"))[0]

    def is_own(self, own: bool, key: str | None) -> bool:
        """Whether it is of the kind that has a limit of its own."""
        return own if key is None or self.mixed else key == "k1"

    async def create(self, which: int, user: str, session: str, own: bool, key: str | None) -> Any:
        """What becomes of a creation."""
        kind = CHECKPOINT if self.is_own(own, key) else InterruptKind.TIMEOUT
        service = self.services[which]
        try:
            return await service.create_interrupt(kind, "r", user, session, idempotency_key=key)
        except (RateLimitedError, ConflictError, UnavailableError) as refused:
            return refused

    async def check(self) -> None:
        """The log, against the limits; and what is used, against the log."""
        await settled(*self.services)
        before = set(self.made)
        for event in await whole_log(self.services[0]):
            if event.type == "interrupt.created" and event.kind is not EXHAUSTED:
                ms = round((event.at - datetime.fromtimestamp(0, UTC)) / timedelta(milliseconds=1))
                groups = (CREATE, KIND) if event.kind is CHECKPOINT else (CREATE,)
                self.made[event.interrupt_id] = Made(event.interrupt_id, event.user_id, ms, groups)
        for made in self.made.values():
            if made.id not in before:
                self.within_limits(made)
        now_ms = await self.now_ms()
        for user, group in itertools.product(USERS, (CREATE, KIND)):
            (use,) = await self.limiter.usage(user, group)
            for window, window_ms in zip(WINDOWS, WINDOWS_MS, strict=True):
                there = self.there(user, group, now_ms - window_ms, now_ms)
                assert getattr(use, window).used >= there, (user, group, window, use, there)

    def there(self, user: str, group: str, after_ms: int, until_ms: int) -> int:
        """How many creations the log has of this time, without what was forgiven."""
        return sum(
            one.user == user and group in one.groups and max(after_ms, self.reset_ms[user]) < one.ms <= until_ms
            for one in self.made.values()
        )

    def within_limits(self, new: Made) -> None:
        """A creation that has just come is not one too many."""
        for group in new.groups:
            for window, window_ms in zip(WINDOWS, WINDOWS_MS, strict=True):
                limit = self.limits_of(new.user, group).limit(window)
                there = self.there(new.user, group, new.ms - window_ms, new.ms)
                assert there <= limit, f"{there} of {new.user} in {group} within a {window}, where {limit} are allowed"

    @rule(
        which=st.integers(0, 1),
        user=st.sampled_from(USERS),
        session=st.sampled_from(SESSIONS),
        own=st.booleans(),
        key=st.sampled_from([None, None, "k0", "k1"]),
    )
    def one(self, which: int, user: str, session: str, own: bool, key: str | None) -> None:
        """One creation; where nothing has gone wrong, it is refused only if that much is in the log."""
        before = self.run_(self.now_ms())
        outcome = self.run_(self.create(which, user, session, own, key))
        assert not isinstance(outcome, UnavailableError), outcome
        self.run_(self.check())
        if isinstance(outcome, RateLimitedError) and not self.faults:
            assert outcome.result is not None
            result, window = outcome.result, outcome.result.limit_type or ""
            assert result.retry_after_seconds > 0
            if window in WINDOWS:
                ring = WINDOWS.index(window)
                since_ms = (before // SIZES_MS[ring] - CELLS[ring]) * SIZES_MS[ring] - 1
                assert any(
                    self.there(user, group, since_ms, before + 60_000) >= result.limit
                    for group in ((CREATE, KIND) if self.is_own(own, key) else (CREATE,))
                    if self.limits_of(user, group).limit(window) == result.limit
                ), (outcome, self.made)

    @rule(calls=st.lists(CALLS, min_size=2, max_size=8))
    def many(self, calls: list[tuple[int, str, bool]]) -> None:
        """Many at once, in several sessions."""

        async def all_of_them() -> list[Any]:
            tries = (self.create(which, user, f"s{n % 4}", own, None) for n, (which, user, own) in enumerate(calls))
            return await asyncio.gather(*tries)

        assert all(isinstance(one, FlowInterrupt | RateLimitedError) for one in self.run_(all_of_them()))
        self.run_(self.check())

    @rule(
        fault=st.sampled_from(["lose", "cut"]),
        at=st.sampled_from(["reserve", "append", "settle"]),
        times=st.sampled_from([1, 100]),
        key=KEYS,
        user=st.sampled_from(USERS),
        own=st.booleans(),
    )
    def faulty(self, fault: str, at: str, times: int, key: str | None, user: str, own: bool) -> None:
        """A creation whose calls are lost, once or until it gives up."""
        self.faults = True
        getattr(self.wire, fault)(at, times)
        self.run_(self.create(2, user, "s0", own, key))
        self.run_(settled(self.services[2]))
        self.wire.mend()
        self.run_(self.check())

    @rule(
        calls=st.lists(CALLS, max_size=6),
        seconds=st.sampled_from((0, 1, 20, 29, 31, 45)),
        key=KEYS,
        user=st.sampled_from(USERS),
        own=st.booleans(),
        same=st.booleans(),
        unsettled=st.booleans(),
    )
    def overtaken(
        self,
        calls: list[tuple[int, str, bool]],
        seconds: int,
        key: str | None,
        user: str,
        own: bool,
        same: bool,
        unsettled: bool,
    ) -> None:
        """A creation is let in, and appended much later: after others, one with its key perhaps, that was not sent."""
        self.faults = True

        async def overtake() -> None:
            come, go = self.wire.hold("append")
            first = asyncio.ensure_future(self.create(3 if unsettled else 0, user, "s2", own, key))
            waiting = asyncio.ensure_future(come.wait())
            await asyncio.wait([first, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            self.wire.mend()
            if same:
                self.wire.cut("append", 100)
                await self.create(2, user, "s2", own, key)
                await settled(self.services[2])
                self.wire.mend()
            tries = (self.create(1, user, f"s{n % 4}", own, None) for n, (_, user, own) in enumerate(calls))
            await asyncio.gather(*tries)
            await self.services[0].store.server.command(0, "INCRBY", OFFSET, seconds)
            if unsettled:
                self.wire.cut("settle", 100)
            go.set()
            await first
            await settled(self.services[3])
            self.wire.mend()
            await self.check()

        self.run_(overtake())

    @rule(turns=st.integers(0, 40), user=st.sampled_from(USERS), key=st.sampled_from([None, "k0"]))
    def leaving(self, turns: int, user: str, key: str | None) -> None:
        """A caller that is cancelled."""

        async def leave() -> None:
            call = asyncio.ensure_future(self.create(0, user, "s1", False, key))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
            await self.check()

        self.run_(leave())

    @rule(seconds=st.sampled_from(PASSING_S), ms=st.integers(0, 2_000))
    def later(self, seconds: int, ms: int) -> None:
        """Time passes."""

        async def pass_by() -> None:
            server = self.services[0].store.server
            await server.command(0, "INCRBY", OFFSET, seconds + ms // 1_000)
            await self.check()

        self.run_(pass_by())

    @rule()
    def fold(self) -> None:
        """All that is in the log is counted."""
        self.run_(self.worker.fold())
        self.run_(self.check())

    @rule(user=st.sampled_from(USERS))
    def reset(self, user: str) -> None:
        """The user begins anew."""

        async def forgive() -> None:
            await self.limiter.reset(user)
            self.reset_ms[user] = await self.now_ms()
            self.forgiven |= {one.id for one in self.made.values() if one.user == user}
            await self.check()

        self.run_(forgive())

    @rule(user=st.sampled_from(USERS), own=st.sampled_from([None, *OWN]))
    def limit(self, user: str, own: RateLimitConfig | None) -> None:
        """Other limits for the user, or none of their own."""
        if own is None:
            self.run_(self.limiter.remove_user_limits(user))
            self.own.pop(user, None)
        else:
            self.run_(self.limiter.set_user_limits(user, own))
            self.own[user] = own

    def teardown(self) -> None:
        """In the end, where nothing has gone wrong, what is used is what the log has."""

        async def end() -> None:
            await self.worker.fold()
            await self.check()
            now_ms = await self.now_ms()
            for user, group in itertools.product(USERS, (CREATE, KIND)):
                (use,) = await self.limiter.usage(user, group)
                if self.faults:
                    continue
                assert use.reserved == 0, use
                since_ms = (now_ms // SIZES_MS[2] - CELLS[2]) * SIZES_MS[2] - 1
                mine = [one for one in self.made.values() if one.user == user and group in one.groups]
                most = sum(one.id not in self.forgiven and one.ms > since_ms for one in mine)
                assert self.there(user, group, since_ms, now_ms) <= use.day.used <= most

        try:
            self.run_(end())
        finally:
            self.run_(self.services[0].store.server.command(0, "DEL", OFFSET))
            self.run_(self.stack.aclose())
            self.runner.close()


@pytest.mark.parametrize("mixed", [False, True], ids=["a key is of one kind", "a key is of any kind"])
def test_the_log_never_has_more_than_the_limit(url: str, monkeypatch: pytest.MonkeyPatch, mixed: bool) -> None:
    """Whatever is done in whatever order, and however much time passes in between."""
    shift_clocks(monkeypatch)

    class OnThisStore(Creations):
        """The creations, on the store of this test."""

    OnThisStore.url, OnThisStore.wire, OnThisStore.mixed = url, Wire(monkeypatch), mixed
    modest = settings(
        max_examples=30,
        stateful_step_count=40,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(OnThisStore, settings=modest)
