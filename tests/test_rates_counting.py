"""Counting creations in any order, by the script itself: each once, at its own time, for as long as it counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import fakeredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interrupts.rings import DAY_MS, SIZES_MS
from tests.clocked import START_MS, Clocked, Made, place
from tests.servers import RedisServer
from tests.tallies import Cells, Counter, key_of

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
SKEW_MS = 20_000
"""How far the clocks of two servers may be apart."""
TRIED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["redis", "memory"])
def scripts(request: pytest.FixtureRequest, namespace: str) -> Iterator[Clocked]:
    """The scripts on a real server, and in this process's memory."""
    server: RedisServer = request.getfixturevalue("shared_server")
    with server.client() if request.param == "redis" else fakeredis.FakeRedis() as client:
        yield Clocked(client, namespace)


def plainly(made: Sequence[Made], now_ms: int, user: str = "u", group: str = "g") -> Cells:
    """What must be counted, by a plain loop."""
    counter = Counter()
    for one in made:
        for each in one.groups:
            counter.add(one.user, each, one.ms)
    return Cells(counter.cells.get(key_of(user, group), Cells(({}, {}, {}))).rings, now_ms)


STEPS_MS = st.one_of(
    st.integers(0, 1_500),
    st.integers(0, 2 * MINUTE_MS),
    st.sampled_from([size + by for size in (*SIZES_MS, MINUTE_MS, HOUR_MS) for by in (-1, 0, 1)]),
    st.integers(0, 30 * HOUR_MS),
)


@st.composite
def logs(draw: st.DrawFn) -> list[list[Made]]:
    """What two sources have, each in the order of its time."""
    sources: list[list[Made]] = []
    for source in (0, 1):
        ms, made = START_MS, []
        for number, step in enumerate(draw(st.lists(STEPS_MS, max_size=12))):
            ms += step
            user, groups = draw(st.sampled_from("uv")), draw(st.sampled_from([("g",), ("h",), ("g", "h")]))
            made.append(Made(ms, number, source, user, groups))
        sources.append(made)
    return sources


class Order:
    """An order in which what two sources have is counted: which of them goes on, by how many, how much later."""

    def __init__(self, draw: st.DrawFn, sources: Sequence[Sequence[Made]]) -> None:
        self.batches: list[tuple[list[Made], int]] = []
        left = [list(made) for made in sources]
        while any(left):
            which = draw(st.sampled_from([source for source in (0, 1) if left[source]]))
            count = draw(st.integers(1, 4))
            batch, left[which] = left[which][:count], left[which][count:]
            self.batches.append((batch, draw(STEPS_MS)))

    def run(self, scripts: Clocked) -> None:
        """Counts in this order. No source's time is much ahead of the server's."""
        for batch, later_ms in self.batches:
            scripts.now_ms = max(scripts.now_ms + later_ms, batch[-1].ms - SKEW_MS)
            assert scripts.count(batch) == ""


def test_sources_counted_in_any_order_give_the_same_counts(scripts: Clocked) -> None:
    """Late, out of order, in any batches: what is in a window now is what a plain loop over both logs says."""

    @TRIED
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        scripts.forget()
        sources = data.draw(logs())
        Order(data.draw, sources).run(scripts)  # type: ignore[arg-type]
        scripts.now_ms = max([scripts.now_ms, *(one.ms for made in sources for one in made)])
        for user in "uv":
            for group in "gh":
                wanted = plainly([*sources[0], *sources[1]], scripts.now_ms, user, group)
                assert scripts.counted(user, group) == wanted

    tried()


def test_what_is_counted_again_in_other_batches_counts_once(scripts: Clocked) -> None:
    """Whatever begins at or before what is counted, and ends anywhere: it adds what is new, and nothing else."""

    @TRIED
    @given(st.lists(STEPS_MS, min_size=1, max_size=12), st.lists(st.tuples(st.integers(0, 12), st.integers(1, 12))))
    def tried(steps: list[int], again: list[tuple[int, int]]) -> None:
        scripts.forget()
        made, ms, done = [], START_MS, 0
        for number, step in enumerate(steps):
            ms += step
            made.append(Made(ms, number))
        scripts.now_ms = ms
        for back, count in [*again, (12, len(made))]:
            first = max(0, done - back)
            batch = made[first : first + count]
            if batch:
                assert scripts.count(batch) == ""
                done = max(done, first + len(batch))
                assert scripts.counted() == plainly(made[:done], scripts.now_ms)
        assert scripts.count(made) == ""
        assert scripts.counted() == plainly(made, scripts.now_ms)

    tried()


def test_one_that_was_ahead_is_told_how_far_it_is_counted(scripts: Clocked) -> None:
    """A partition that was rolled back: nothing is done until what is missing comes; then each counts once."""
    made = [Made(START_MS + number, number) for number in range(6)]
    scripts.now_ms = made[-1].ms
    assert scripts.count(made[3:], before=place(made[2])) == "0 0"
    assert scripts.fields() == {}
    assert scripts.count(made[:2]) == ""
    assert scripts.count(made[3:], before=place(made[2])) == place(made[1])
    assert scripts.counted() == plainly(made[:2], scripts.now_ms)
    assert scripts.count(made[2:], before=place(made[1])) == ""
    assert scripts.count(made[3:], before=place(made[2])) == ""
    assert scripts.counted() == plainly(made, scripts.now_ms)


def test_places_in_a_log_are_compared_as_numbers(scripts: Clocked) -> None:
    """The tenth event of a millisecond is after its ninth, and each source has a mark of its own."""
    ninth, tenth = Made(START_MS, 9), Made(START_MS, 10)
    for made in (ninth, tenth, ninth, tenth, ninth._replace(source=1), ninth._replace(source=11)):
        assert scripts.count([made]) == ""
    assert scripts.used() == (4, 4, 4)


@pytest.mark.parametrize("age_ms", [DAY_MS, DAY_MS + 1, 400 * DAY_MS])
def test_what_is_older_than_a_day_makes_no_keys(scripts: Clocked, age_ms: int) -> None:
    """It counts nowhere; up to where its source is counted is written down all the same."""
    scripts.now_ms += 500 * DAY_MS
    old = Made(scripts.now_ms - age_ms, 1)
    assert scripts.count([old]) == ""
    assert scripts.client.keys(f"{scripts.stem}:*") == [f"{scripts.stem}:counted".encode()]
    assert scripts.client.hgetall(f"{scripts.stem}:counted") == {b"0": place(old).encode()}
    assert scripts.count([old, Made(scripts.now_ms, 2)]) == ""
    assert scripts.used() == (1, 1, 1)


def test_counts_are_forgotten_when_they_count_nowhere_any_more(scripts: Clocked) -> None:
    """Not before, and not much later; each creation makes them last again, whichever group it is in."""
    for later_ms, group in ((0, "g"), (3 * HOUR_MS, "h"), (900_000, "g"), (1, "g"), (-2 * HOUR_MS, "h")):
        made = Made(max(START_MS, scripts.now_ms + later_ms), 1, source=later_ms + 9_000_000, groups=(group,))
        scripts.now_ms = max(scripts.now_ms, made.ms)
        assert scripts.count([made]) == ""
        latest_ms = max(latest_of(scripts, each) for each in "gh")
        ends_ms = scripts.client.pexpiretime(scripts.key("rate"))
        assert latest_ms + DAY_MS <= ends_ms <= latest_ms + DAY_MS + 2 * SIZES_MS[2]


def latest_of(scripts: Clocked, group: str) -> int:
    """The time of the latest creation in a group."""
    return int(scripts.fields().get(f"+{group}", b"0").split()[0])


def test_a_foreign_key_in_place_of_counts_holds_nobody_else_up(scripts: Clocked) -> None:
    """It is named, and that user's creations are not counted; the others' are."""
    scripts.client.set(scripts.key("rate", "x"), "mine")
    scripts.client.set(scripts.key("reserved", "y"), "mine")
    scripts.client.hset(scripts.key("rate", "z"), "+g", "no tally")
    made = [Made(START_MS, number, user=user) for number, user in enumerate("uxyzv")]
    assert scripts.count(made) == ""
    assert sorted(scripts.damaged) == [scripts.key("rate", user).encode() for user in "xyz"]
    assert [scripts.used(user) for user in "uv"] == [(1, 1, 1)] * 2
    assert [scripts.client.get(scripts.key(*key)) for key in (("rate", "x"), ("reserved", "y"))] == [b"mine"] * 2
    assert scripts.fields("z") == {"+g": b"no tally"}
