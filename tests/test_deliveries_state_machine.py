"""Any sequence of deliveries, fetches, outcomes and resends, against a plain model of lanes: after each step what is
stored is what the model has, and the bytes that are counted are those of the bodies that are kept."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from interrupts.store.deliveries import Add, Sent, Written
from tests.lane_model import LIMITS, UNKNOWN_BYTES, Model
from tests.lanes_clocked import GROUP, LEFT_OUT, OWNER, START_MS, Clock, lanes

R = TypeVar("R")
HOOKS, PARTITIONS = ("wh_a", "wh_b"), (0, 1)
IDS = st.sampled_from([f"{number}-0" for number in range(1, 7)])
BODIES = st.sampled_from([b"1", b"four", b"seven..", b"a body with more than there is room for"])
WHERE = st.tuples(st.sampled_from(PARTITIONS), st.sampled_from(HOOKS))
ADDS = st.lists(st.tuples(st.sampled_from(HOOKS), IDS, st.sampled_from([0, 0, 3, 50]), BODIES), max_size=5)
LANES = [(partition, hook) for partition in PARTITIONS for hook in HOOKS]
MOST = st.fixed_dictionaries({where: st.integers(2, 4) for where in LANES})
OUTCOMES = st.tuples(
    WHERE, IDS, st.sampled_from(["ok", "again", "again", "fail", "fail", "back"]), st.integers(0, 9), st.booleans()
)
_namespaces = itertools.count()


class LanesMachine(RuleBasedStateMachine):
    """Two endpoints in two partitions, and a clock that is moved."""

    url: ClassVar[str]
    clock: ClassVar[Clock]

    def __init__(self) -> None:
        super().__init__()
        self.runner, self.stack = asyncio.Runner(), AsyncExitStack()
        self.clock.ms = START_MS
        namespace = f"lanes-{next(_namespaces)}"
        self.lane = self.run_(self.stack.enter_async_context(lanes(self.url, namespace, self.clock)))
        self.models = {where: Model() for where in LANES}

    def run_(self, call: Coroutine[Any, Any, R]) -> R:
        """The call's result."""
        return self.runner.run(call)

    async def check(self) -> None:
        """All that is stored."""
        for (partition, hook), model in self.models.items():
            kept = await self.lane.kept(hook, partition)
            expected = model.kept()
            assert kept._replace(stats={}) == expected._replace(stats={})
            assert Counter(kept.stats) == Counter(expected.stats)
            assert kept.stats.get("bytes", 0) == sum(map(len, kept.bodies.values()))
            assert kept.waiting.keys() | kept.failed.keys() >= kept.bodies.keys()
            assert not kept.waiting or hook in await self.lane.all.waiting_for(partition)

    @rule(adds=st.tuples(ADDS, ADDS), most=MOST, stale=st.sampled_from([None, None, None, 0, 1]), again=st.booleans())
    def deliver(
        self,
        adds: Sequence[list[tuple[str, str, int, bytes]]],
        most: dict[tuple[int, str], int],
        stale: int | None,
        again: bool,
    ) -> None:
        """Deliveries are written down, in both partitions, one of which was read on by somebody else perhaps. How many
        may wait is said of each lane."""
        lane, now = self.lane, self.clock.ms
        portions, expected = [], []
        for partition, some in zip(PARTITIONS, adds, strict=True):
            said = [Add(one, hook, ms, body, most[partition, hook]) for hook, one, ms, body in some]
            portions.append(lane.portion(*said, partition=partition))
            if partition == stale:
                portions[-1] = lane.portion(*portions[-1].adds, partition=partition)
                self.run_(lane.write(lane.portion(partition=partition)))
                expected.append(Written(None, [0] * len(some)))
            else:
                for hook in HOOKS:
                    self.models[partition, hook].taken = self.models[partition, hook].size
                until = [
                    self.models[partition, hook].add(now, one, ms, body, most[partition, hook])
                    for hook, one, ms, body in some
                ]
                expected.append(Written(0, until))

        async def write() -> None:
            assert await lane.write(*portions) == expected
            await self.check()
            if again:
                replied = await lane.all.deliver(GROUP, OWNER, LEFT_OUT, portions)
                assert [one.news for one in replied] == [one.news for one in expected]
                await self.check()

        self.run_(write())

    @rule(
        partition=st.sampled_from(PARTITIONS),
        room=st.tuples(st.integers(0, 3), st.integers(0, 3)),
        left=st.sampled_from([6, UNKNOWN_BYTES + 6, 3 * UNKNOWN_BYTES]),
    )
    def fetch(self, partition: int, room: tuple[int, int], left: int) -> None:
        """Somebody fetches for both endpoints, about so many bytes."""
        now, limit, expected = self.clock.ms, left, {}
        for hook, some in zip(HOOKS, room, strict=True):
            expected[hook], left = self.models[partition, hook].fetch(now, some, left, 20 + some)
        asked = [(hook, some, 20 + some) for hook, some in zip(HOOKS, room, strict=True)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("interrupts.store.deliveries.HOOK_READ_BYTES_MAX", limit)
            assert self.run_(self.lane.fetch(*asked, partition=partition)) == expected
        listed = [hook for hook in HOOKS if self.models[partition, hook].waiting]
        assert sorted(self.run_(self.lane.all.waiting_for(partition))) == listed
        self.run_(self.check())

    @rule(outcomes=st.lists(OUTCOMES, min_size=1, max_size=4), mine=st.sampled_from([True, True, False]))
    def say(self, outcomes: list[tuple[tuple[int, str], str, str, int, bool]], mine: bool) -> None:
        """It is said what became of some, by those who have them or by others."""
        said = []
        for model in self.models.values():
            model.owed = 0
        for (partition, hook), one, what, number, result in outcomes:
            until = self.models[partition, hook].waiting.get(one, 0) - (not mine)
            kept = b"result %d" % number if result else b""
            said.append(Sent(partition, hook, one, what, until, number, b"try %d" % number, kept, number * 7))
        first = {one.partition: index for index, one in reversed(list(enumerate(said)))}
        order = sorted(range(len(said)), key=lambda index: (first[said[index].partition], index))
        expected = {index: self.models[said[index].partition, said[index].hook] for index in order}
        settled = {index: model.settle(self.clock.ms, said[index]) for index, model in expected.items()}
        assert self.run_(self.lane.all.sent(said)) == [settled[index] for index in range(len(said))]
        self.run_(self.check())

    @rule(
        where=WHERE,
        what=st.sampled_from(["again", "again", "drop"]),
        some=st.lists(st.tuples(IDS, st.sampled_from([b"", b"", b"anew"])), min_size=1, max_size=5),
    )
    def resend(self, where: tuple[int, str], what: str, some: list[tuple[str, bytes]]) -> None:
        """Some are sent again, or dropped."""
        some = [(one, body if what == "again" else b"") for one, body in some]
        expected = [self.models[where].resend(self.clock.ms, what, one, body) for one, body in some]
        assert self.run_(self.lane.all.resend(*where, what, some)) == expected
        self.run_(self.check())

    @rule(ms=st.sampled_from([1, 2, 5, 20, 60]))
    def later(self, ms: int) -> None:
        """Time passes."""
        self.clock.ms += ms

    @rule(where=WHERE)
    def purge(self, where: tuple[int, str]) -> None:
        """A lane is forgotten."""
        self.models[where] = Model()
        self.run_(self.lane.all.purge(*where))
        self.run_(self.check())

    def teardown(self) -> None:
        """It is closed."""
        self.run_(self.stack.aclose())
        self.runner.close()


def test_lanes_are_what_their_model_says(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done in whatever order."""
    for name, limit in LIMITS.items():
        monkeypatch.setattr(f"interrupts.store.deliveries.{name}", limit)

    class OnThisStore(LanesMachine):
        """The lanes, on the store of this test."""

    OnThisStore.url, OnThisStore.clock = url, Clock(monkeypatch)
    modest = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(OnThisStore, settings=modest)
