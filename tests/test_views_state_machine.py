"""Commands, two followers that fold a little each, crashes, redeliveries and rebuilds in any order, against a model.

Whatever the order: once all is folded the lists are the model's; while it is not, nothing that is closed is shown.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from interrupts import InterruptResponse, InterruptStatus, UnavailableError, connect
from projections.folding import Folded
from projections.follower import Follower
from projections.loading import Building
from projections.rebuild import rebuild
from projections.store import Views
from projections.units import Unit
from projections.verify import verify
from tests.conftest import until_expired
from tests.following import ANYTHING, KINDS, ByHand, assert_right
from tests.notes import ALL

R = TypeVar("R")
Section = tuple[Unit, Folded, str]
SESSIONS = ("s0", "s1", "s2")
FOLLOWERS = st.sampled_from([0, 1])
EVENTS_AT_ONCE = 3
PARTITIONS = 2
_namespaces = itertools.count()


class Recording(Views):
    """It keeps copies of the sections that were sent, to send them again."""

    sent: ClassVar[list[list[Section]]] = []
    late: ClassVar[bool] = False
    """Whether what is sent gets lost, or comes later."""

    async def apply(self, sections: Sequence[Section]) -> Any:
        """As ever; but it is written down."""
        self.sent.append([(copy_of(unit), folded, whole) for unit, folded, whole in sections])
        if self.late:
            raise UnavailableError("it is on its way, and nobody knows where")
        return await super().apply(sections)


def copy_of(unit: Unit) -> Unit:
    """The unit as it now is."""
    return Unit(
        unit.partition, unit.projection, unit.generation, unit.at, unit.live, unit.skipped, unit.stopped, unit.resting
    )


class Folding(RuleBasedStateMachine):
    """A service, two workers of one step at a time, and a model of what is pending and closed."""

    url: ClassVar[str]
    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        Recording.sent.clear()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        opened = connect(self.url, namespace=f"folding-{next(_namespaces)}", partitions=PARTITIONS)
        self.service = self.run_(self.stack.enter_async_context(opened))
        self.hands = [ByHand(self.service), ByHand(self.service)]
        self.session_of: dict[str, str] = {}
        self.pending: list[str] = []
        self.closed: list[str] = []
        self.counts: Counter[tuple[Any, InterruptStatus]] = Counter()
        self.kinds: dict[str, Any] = {}
        self.built = 0

    def run_(self, call: Coroutine[Any, Any, R]) -> R:
        """The call's result."""
        return self.runner.run(call)

    @rule(target=ids, session=st.sampled_from(SESSIONS), kind=st.sampled_from(KINDS))
    def create(self, session: str, kind: Any) -> str:
        """One more that is pending."""
        made = self.run_(self.service.create_interrupt(kind, "r", "u", session))
        self.session_of[made.id], self.kinds[made.id] = session, kind
        self.pending.append(made.id)
        return made.id

    @rule(pause_id=ids, how=st.sampled_from([InterruptStatus.RESOLVED, InterruptStatus.CANCELLED]))
    def close(self, pause_id: str, how: InterruptStatus) -> None:
        """An answer or a cancellation, if it still waits."""
        if pause_id in self.pending:
            answers = how is InterruptStatus.RESOLVED
            respond, cancel = self.service.respond, self.service.cancel
            self.run_(respond(pause_id, InterruptResponse(data=ANYTHING.data)) if answers else cancel(pause_id))
            self.pending.remove(pause_id)
            self._closed(pause_id, how)

    @rule(session=st.sampled_from(SESSIONS))
    def expire(self, session: str) -> None:
        """One that is overdue at once, and is written down as expired."""
        soon = timedelta(milliseconds=1)
        made = self.run_(self.service.create_timeout("r", "u", session, "op", 1, ttl=soon, auto_expire=True))
        self.session_of[made.id], self.kinds[made.id] = session, made.kind
        self.run_(until_expired(self.service, made.id))
        assert self.run_(self.service.expire_pending()) == 1
        self._closed(made.id, InterruptStatus.EXPIRED)

    def _closed(self, pause_id: str, how: InterruptStatus) -> None:
        self.closed.append(pause_id)
        self.counts[self.kinds[pause_id], how] += 1

    @rule(which=FOLLOWERS, steps=st.integers(1, 3))
    def fold_a_little(self, which: int, steps: int) -> None:
        """A worker takes some steps, each of a few events."""
        for _ in range(steps):
            self.run_(self.hands[which].step())

    @rule()
    def fold_both_at_once(self) -> None:
        """Both workers take a step, one into the other."""

        async def both() -> None:
            await asyncio.gather(*(hand.step() for hand in self.hands))

        self.run_(both())

    @rule(which=FOLLOWERS)
    def crash(self, which: int) -> None:
        """A worker is gone, and another one comes."""
        self.run_(self.hands[which].follower.end())
        self.hands[which] = ByHand(self.service)

    @rule(which=FOLLOWERS)
    def crash_while_it_sends(self, which: int) -> None:
        """A worker is gone, and what it has sent last may come any time, or never."""
        Recording.late = True
        with suppress(UnavailableError):
            self.run_(self.hands[which].step())
        Recording.late = False
        self.crash(which)

    @rule(chosen=st.integers(0, 1_000))
    def redeliver(self, chosen: int) -> None:
        """What was sent at some time arrives again, or now: it is refused if it was done, or others were quicker."""
        if Recording.sent:
            sections = Recording.sent[chosen % len(Recording.sent)]
            self.run_(self.hands[0].views.apply(sections))
            Recording.sent.pop()

    @rule(projection=st.sampled_from(ALL), from_start=st.booleans(), steps=st.integers(0, 3))
    def build_a_little(self, projection: Any, from_start: bool, steps: int) -> None:
        """A rebuild is begun, or gone on with, and left after some steps."""

        async def build() -> None:
            views, view = self.hands[0].views, projection.view
            for partition in range(PARTITIONS):
                assert await views.begin(partition, view.name, view.version, from_start=from_start)
            builder = Follower(views, Building(views, projection, self.hands[0].said), self.hands[0].said)
            builder.want(range(PARTITIONS))
            for _ in range(steps):
                await builder.step(block=False)
            await builder.end()

        self.run_(build())

    @rule(projection=st.sampled_from(ALL))
    def rebuild(self, projection: Any) -> None:
        """A rebuild to its end."""
        self.run_(rebuild(self.service, projection.view.name, projections=ALL))
        self.built += 1

    @invariant()
    def nothing_closed_is_shown(self) -> None:
        """However far behind the view is, a list shows nothing that is closed, and nothing twice."""
        shown = [interrupt.id for interrupt in self.run_(self.service.list_pending(wait=False))]
        assert set(shown) <= set(self.pending)
        assert len(shown) == len(set(shown))

    @rule()
    def come_to_rest(self) -> None:
        """When all is folded, the lists are the model's."""
        for hand in self.hands:
            self.run_(hand.all(steps_max=200))
        for session in SESSIONS:
            waits = self.run_(self.service.get_pending_for_session(session))
            assert [one.id for one in waits] == [one for one in self.pending if self.session_of[one] == session]
            closed = [one for one in reversed(self.closed) if self.session_of[one] == session]
            assert [one.id for one in self.run_(self.service.list_closed(session))] == closed
        assert {one.id for one in self.run_(self.service.list_pending(limit=1_000))} == set(self.pending)
        counted = self.run_(self.service.counts()).by
        waiting = Counter((self.kinds[one], InterruptStatus.PENDING) for one in self.pending)
        found = {(kind, status): number for kind, by in counted.items() for status, number in by.items() if number}
        assert found == dict(self.counts + waiting)
        for hand in self.hands:
            assert hand.said.lines == []

    def teardown(self) -> None:
        """In the end everything is folded, and every key is right."""
        try:
            self.come_to_rest()
            for projection in ALL:
                self.run_(rebuild(self.service, projection.view.name, projections=ALL))
            self.run_(assert_right(self.service))
            assert self.run_(verify(self.service, projections=ALL)).equal
        finally:
            for hand in self.hands:
                self.run_(hand.follower.end())
            self.run_(self.stack.aclose())
            self.runner.close()


def test_any_order_of_folding_makes_the_views_that_the_log_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, steps, crashes, redeliveries and rebuilds, in any order, on a server and in memory."""
    monkeypatch.setattr("tests.following.Views", Recording)
    monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", EVENTS_AT_ONCE * PARTITIONS)
    monkeypatch.setattr("projections.follower.CATCH_UP_EVENTS", 8)
    monkeypatch.setattr("projections.apart.LOOK_AGAIN_S", 0.001)

    class OnThisStore(Folding):
        """The machine, on the store of this test."""

    OnThisStore.url = url
    modest = settings(
        max_examples=8 if url.startswith("memory") else 25,  # in memory it is slower
        stateful_step_count=30,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(OnThisStore, settings=modest)
