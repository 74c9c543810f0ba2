"""Reservations and the log: what was let in counts once, whatever is said of it, in whichever order, or never."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import fakeredis
import pytest
import redis

from interrupts.rings import CELLS, DAY_MS, SIZES_MS
from tests.clocked import LIFE_MS, START_MS, Clocked, Made
from tests.servers import RedisServer
from tests.tallies import Cells

NOTHING = Cells(({}, {}, {}))
MADE = Made(START_MS + 1_500, 3)
"""A creation that was let in at the start, and is in the log a little later."""
AT_MS = START_MS + LIFE_MS
"""The last moment at which it may be appended."""
WINDOWS = range(3)


@pytest.fixture(params=["redis", "memory"])
def scripts(request: pytest.FixtureRequest, namespace: str) -> Iterator[Clocked]:
    """The scripts on a real server, and in this process's memory."""
    server: RedisServer = request.getfixturevalue("shared_server")
    client: redis.Redis
    with server.client() if request.param == "redis" else fakeredis.FakeRedis() as client:
        yield Clocked(client, namespace)


def cells(*times_ms: int) -> Cells:
    """Calls made at these times."""
    rings: list[dict[int, int]] = [{}, {}, {}]
    for ms, (ring, size) in itertools.product(times_ms, zip(rings, SIZES_MS, strict=True)):
        ring[ms // size] = ring.get(ms // size, 0) + 1
    return Cells(tuple(rings))


def assert_in_no_window_after(scripts: Clocked, ms: int) -> None:
    """What is used counts as made at this time: it is in each window as long as that, and not a cell longer."""
    for window in WINDOWS:
        scripts.now_ms = (ms // SIZES_MS[window] + CELLS[window] + 1) * SIZES_MS[window] - 1
        assert scripts.used()[window] == 1
        scripts.now_ms += 1
        assert scripts.used()[window] == 0


def test_a_reservation_is_there_before_the_fold_and_gone_after_it(scripts: Clocked) -> None:
    """Together they are one creation, all the time."""
    assert scripts.reserve(MADE) == AT_MS
    assert (scripts.reserved(), scripts.waiting(), scripts.used()) == ({MADE.name: AT_MS}, cells(AT_MS), (1, 1, 1))
    scripts.now_ms = MADE.ms + 5
    scripts.count([MADE])
    assert (scripts.reserved(), scripts.waiting(), scripts.counted()) == ({}, NOTHING, cells(MADE.ms))
    assert scripts.used() == (1, 1, 1)
    assert_in_no_window_after(scripts, MADE.ms)


@pytest.mark.parametrize("order", list(itertools.permutations(["settle", "settle again", "count", "count again"])))
def test_whoever_comes_first_it_counts_once_and_at_its_own_time(scripts: Clocked, order: tuple[str, ...]) -> None:
    """Settled before the fold, or after it, or in between; each of them once or twice."""
    scripts.reserve(MADE)
    scripts.now_ms = MADE.ms + 5
    for what in order:
        if what.startswith("settle"):
            scripts.settle(MADE, AT_MS)
        else:
            scripts.count([MADE])
        assert scripts.used() == (1, 1, 1)
    assert (scripts.reserved(), scripts.waiting(), scripts.counted()) == ({}, NOTHING, cells(MADE.ms))
    assert_in_no_window_after(scripts, MADE.ms)


def test_settled_it_counts_exactly_at_the_event_s_time(scripts: Clocked) -> None:
    """While nobody folds the log, the windows are those of the log."""
    scripts.reserve(MADE)
    scripts.now_ms = MADE.ms + 5
    scripts.settle(MADE, AT_MS)
    assert (scripts.reserved(), scripts.waiting()) == ({MADE.name: MADE.ms}, cells(MADE.ms))
    assert_in_no_window_after(scripts, MADE.ms)


def test_of_which_nothing_is_known_it_counts_as_late_as_it_may_be_appended(scripts: Clocked) -> None:
    """Settled by nobody and folded by nobody: it is in every window that it might come to be in, and then in none."""
    scripts.reserve(MADE)
    assert_in_no_window_after(scripts, AT_MS)


def test_it_counts_in_all_windows_that_it_may_come_to_be_in(scripts: Clocked) -> None:
    """Whenever it is appended, until the last moment: it was used all the time from when it was let in."""
    for appended_ms in (START_MS, START_MS + 999, START_MS + LIFE_MS // 2, AT_MS):
        scripts.forget()
        made = Made(appended_ms, 1)
        scripts.reserve(made)
        for later_ms in range(0, 95_000, 500):
            scripts.now_ms = START_MS + later_ms
            assert scripts.used()[0] >= (appended_ms // 1000 + 60 >= scripts.now_ms // 1000)
        scripts.now_ms = appended_ms + 50_000
        scripts.count([made])
        assert scripts.counted() == cells(appended_ms)


def test_refused_it_is_given_back_only_under_its_own_time(scripts: Clocked) -> None:
    """Of two attempts under one name none gives back what the other has reserved."""
    first_ms = scripts.reserve(MADE)
    scripts.now_ms += 7
    second_ms = scripts.reserve(MADE)
    assert second_ms == first_ms + 7
    scripts.settle(MADE, first_ms, appended=False)
    scripts.settle(MADE, second_ms + 1, appended=False)
    assert (scripts.reserved(), scripts.used()) == ({MADE.name: second_ms}, (1, 1, 1))
    scripts.settle(MADE, second_ms, appended=False)
    assert (scripts.reserved(), scripts.waiting(), scripts.used()) == ({}, NOTHING, (0, 0, 0))
    scripts.settle(MADE, second_ms, appended=False)
    assert scripts.used() == (0, 0, 0)


@pytest.mark.parametrize("later_ms", [0, 1, 999, 29_000, LIFE_MS - 1])
def test_reserved_again_under_the_same_name_it_counts_once(scripts: Clocked, later_ms: int) -> None:
    """The reservation moves, and two attempts in one millisecond can be told apart."""
    first_ms = scripts.reserve(MADE)
    scripts.now_ms += later_ms
    second_ms = scripts.reserve(MADE)
    assert second_ms == max(first_ms + 1, scripts.now_ms + LIFE_MS)
    assert (scripts.reserved(), scripts.waiting()) == ({MADE.name: second_ms}, cells(second_ms))
    assert scripts.used() == (1, 1, 1)


def test_one_whose_time_has_passed_is_left_until_it_is_known_what_became_of_it(scripts: Clocked) -> None:
    """It may be in the log, and the append tells; refused there, it is given back, and made anew."""
    scripts.reserve(MADE)
    scripts.now_ms = AT_MS
    assert scripts.reserve(MADE) == AT_MS
    assert (scripts.reserved(), scripts.used()) == ({MADE.name: AT_MS}, (1, 1, 1))
    scripts.settle(MADE, AT_MS, appended=False)
    assert (scripts.reserved(), scripts.used()) == ({}, (0, 0, 0))
    assert scripts.reserve(MADE) == AT_MS + LIFE_MS


def test_known_after_the_fold_removes_what_a_retry_has_reserved(scripts: Clocked) -> None:
    """An idempotency key used again after its interrupt was counted: the new reservation ends when that is known."""
    scripts.reserve(MADE)
    scripts.now_ms = MADE.ms + 5
    scripts.count([MADE])
    again_ms = scripts.reserve(MADE)
    assert scripts.used() == (2, 2, 2)
    scripts.settle(MADE, again_ms)
    assert (scripts.reserved(), scripts.waiting(), scripts.used()) == ({}, NOTHING, (1, 1, 1))


def test_a_source_that_is_counted_further_removes_and_another_does_not(scripts: Clocked) -> None:
    """What is known is compared with the mark of its own source, as a place of its own log."""
    for mark, counted in (
        (MADE._replace(source=1, ms=MADE.ms + 9), False),
        (MADE._replace(number=2), False),
        (MADE._replace(number=10), True),
    ):
        scripts.forget()
        scripts.now_ms = MADE.ms + 20
        scripts.count([mark._replace(user="another")])
        own_ms = scripts.reserve(MADE)
        scripts.settle(MADE, own_ms)
        assert scripts.reserved() == ({} if counted else {MADE.name: MADE.ms})


def test_other_names_users_and_groups_are_not_touched(scripts: Clocked) -> None:
    """Each script changes what it is about: one reservation of one user, in the groups that it counts in."""
    others = [Made(MADE.ms, 4), Made(MADE.ms, 3, user="v"), Made(MADE.ms, 5, groups=("h",))]
    for one in (MADE, *others):
        scripts.reserve(one)
    assert (scripts.used(), scripts.used("v"), scripts.used(group="h")) == ((2,) * 3, (1,) * 3, (1,) * 3)
    before = scripts.fields("v"), scripts.fields()["?h"], scripts.reserved("v")
    scripts.now_ms = MADE.ms + 5
    scripts.settle(MADE, AT_MS, appended=False)
    scripts.settle(Made(START_MS + 7, 99), AT_MS)
    scripts.settle(Made(START_MS + 7, 99), AT_MS, appended=False)
    scripts.count([Made(START_MS + 1, 1, source=9, groups=("another",))])
    assert scripts.used() == (1, 1, 1)
    assert (scripts.fields("v"), scripts.fields()["?h"], scripts.reserved("v")) == before
    assert scripts.reserved() == {others[0].name: AT_MS, others[2].name: AT_MS}


def test_in_two_groups_it_is_reserved_and_counted_in_both(scripts: Clocked) -> None:
    """And given back in both."""
    both = Made(MADE.ms, 3, groups=("g", "h"))
    for appended in (True, False):
        scripts.forget()
        own_ms = scripts.reserve(both)
        assert (scripts.used(), scripts.used(group="h")) == ((1,) * 3, (1,) * 3)
        scripts.now_ms = MADE.ms + 5
        if appended:
            scripts.count([both])
        else:
            scripts.settle(both, own_ms, appended=False)
        assert (scripts.used(), scripts.used(group="h")) == ((int(appended),) * 3, (int(appended),) * 3)
        assert (scripts.waiting(), scripts.waiting(group="h"), scripts.reserved()) == (NOTHING, NOTHING, {})


def test_reservations_are_forgotten_when_they_count_nowhere_any_more(scripts: Clocked) -> None:
    """Their keys last as long as they count, also after each change, and not much longer."""
    own_ms = scripts.reserve(MADE)
    keys = scripts.key("rate"), scripts.key("reserved")

    def assert_lasting(ms: int) -> None:
        for key in keys:
            assert ms + DAY_MS <= scripts.client.pexpiretime(key) <= own_ms + DAY_MS + 2 * SIZES_MS[2]

    assert_lasting(own_ms)
    scripts.now_ms = MADE.ms + 5
    scripts.settle(MADE, own_ms)
    assert_lasting(MADE.ms)
    scripts.count([Made(MADE.ms - 1, 1)])
    assert_lasting(MADE.ms)


def test_those_of_which_nothing_was_heard_are_thrown_away_after_a_day(scripts: Clocked) -> None:
    """With the next one that is made."""
    scripts.reserve(MADE)
    for days in (2, 4):
        scripts.now_ms = START_MS + LIFE_MS + days * DAY_MS
        late = Made(scripts.now_ms, days)
        scripts.reserve(late)
        assert scripts.reserved().keys() == {late.name}


def test_forgiven_is_what_was_created_before_also_if_it_is_counted_later(scripts: Clocked) -> None:
    """What is counted from the log stays what the log says; what is used begins anew."""
    counted, waiting = Made(START_MS, 1), Made(START_MS + 400, 2)
    scripts.settle(waiting, scripts.reserve(waiting))
    scripts.count([counted])
    scripts.now_ms = START_MS + 500
    assert scripts.used() == (2, 2, 2)
    assert scripts.forgive() == 1
    assert (scripts.used(), scripts.reserved(), scripts.counted()) == ((0, 0, 0), {}, cells(counted.ms))
    scripts.count([waiting])
    assert (scripts.used(), scripts.counted()) == ((0, 0, 0), cells(counted.ms, waiting.ms))
    later = Made(START_MS + 501, 3)
    scripts.reserve(later)
    assert scripts.used() == (1, 1, 1)
    scripts.now_ms = START_MS + 600
    scripts.count([later])
    assert (scripts.used(), scripts.counted()) == ((1, 1, 1), cells(counted.ms, waiting.ms, later.ms))


@pytest.mark.parametrize("group", ["g", ""])
def test_what_is_on_its_way_into_the_log_is_not_forgiven_yet(scripts: Clocked, group: str) -> None:
    """It may be appended after the reset, and counts then. If it was made before, it is forgiven when it is counted."""
    before, after = Made(START_MS + 400, 1), Made(START_MS + 600, 2)
    for one in (before, after):
        scripts.reserve(one)
    scripts.now_ms = START_MS + 500
    assert scripts.forgive(group) == 1
    assert scripts.used() == (2, 2, 2)
    scripts.now_ms = START_MS + 700
    scripts.count([before, after])
    assert (scripts.used(), scripts.reserved()) == ((1, 1, 1), {})


def test_of_one_group_another_groups_reservations_are_not_forgiven(scripts: Clocked) -> None:
    """Nor those that count in several groups, until the log says that they were made before."""
    here, there, both = Made(START_MS, 1), Made(START_MS, 2, groups=("h",)), Made(START_MS, 3, groups=("g", "h"))
    for one in (here, there, both):
        scripts.settle(one, scripts.reserve(one))
    scripts.now_ms = START_MS + 500
    assert (scripts.used(), scripts.used(group="h")) == ((2,) * 3, (2,) * 3)
    assert scripts.forgive("g") == 1
    assert (scripts.used(), scripts.used(group="h")) == ((1,) * 3, (2,) * 3)
    scripts.count([here, there, both])
    assert (scripts.used(), scripts.used(group="h")) == ((0,) * 3, (2,) * 3)
    scripts.now_ms = START_MS + 70_000
    assert scripts.used() == (0, 0, 0)
