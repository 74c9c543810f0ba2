"""The script `take` on a clock that the test sets, against an exact log of calls and against a plain model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import fakeredis
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from interrupts import RateLimitConfig
from interrupts.rates import LIMIT_TYPES, WINDOWS
from interrupts.rings import CELLS, SIZES_MS, Tally, uses, without_prefix
from tests.rate_model import (
    CONFIGS,
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    START_MS,
    STARTS,
    WINDOWS_MS,
    Call,
    Clocked,
    Model,
    Outcome,
    Step,
    by_cell,
    made,
    next_ms,
    steps,
    within_burst,
    written,
)
from tests.servers import RedisServer

WIDE = 1_000_000
EXAMPLES, EXAMPLES_IN_MEMORY = 80, 30
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)

Checks = Callable[..., None]


@pytest.fixture(params=["redis", "memory"])
def take(request: pytest.FixtureRequest, namespace: str) -> Iterator[Clocked]:
    """The script on a real server, and in this process's memory."""
    server: RedisServer = request.getfixturevalue("shared_server")
    with server.client() if request.param == "redis" else fakeredis.FakeRedis() as client:
        yield Clocked(client, namespace)


def holds(take: Clocked, check: Checks, *given_: st.SearchStrategy[object]) -> None:
    """Tries it with many examples; with fewer in memory, which is slower."""
    examples = EXAMPLES_IN_MEMORY if isinstance(take.client, fakeredis.FakeRedis) else EXAMPLES

    @settings(max_examples=examples, deadline=None, phases=PHASES)
    @given(st.tuples(*given_))
    def tried(values: tuple[object, ...]) -> None:
        take.forget()
        check(*values)

    tried()


class Replay:
    """Steps with their times: no clock goes back, and a refusal's end is one of the times."""

    def __init__(self, start_ms: int) -> None:
        self.ms = start_ms
        self.until_ms = start_ms

    def at(self, step: Step) -> int:
        """The step's time."""
        self.ms = next_ms(self.ms, step.gap, self.until_ms)
        return self.ms

    def said(self, outcome: Outcome) -> Outcome:
        """Notes until when a refusal holds."""
        if outcome.verdict == 0:
            self.until_ms = self.ms + outcome.ms
        return outcome


def config(minute: int = WIDE, hour: int = WIDE, day: int = WIDE, burst: int | None = None) -> RateLimitConfig:
    """Limits of which only those that are said can be reached."""
    return RateLimitConfig(minute, hour, day, minute if burst is None else burst)


# --- against an exact log of calls -----------------------------------------------------------------------------------


def test_never_more_than_the_limit_in_any_stretch_of_time(take: Clocked) -> None:
    """Of a minute, an hour, a day; and at once never more than the burst and what was let come again. Also while the
    clock is set back time and again: then by the time that has really passed."""

    def check(start_ms: int, limits: RateLimitConfig, steps: list[Step]) -> None:
        replay, back_ms = Replay(start_ms), 0
        let_in: list[Call] = []
        for step in steps:
            back_ms += step.back_ms
            real_ms = replay.at(step)
            outcome = take.ask(real_ms - back_ms, limits, step.cost)
            if outcome.verdict == 0:
                replay.until_ms = real_ms + outcome.ms
            elif outcome.verdict == 1:
                let_in.append(Call(real_ms, step.cost))
                for window, window_ms in zip(WINDOWS, WINDOWS_MS, strict=True):
                    assert made(let_in, real_ms - window_ms) <= limits.limit(window), window
                assert within_burst(let_in, limits)

    holds(take, check, STARTS, CONFIGS, steps(back=True))


def test_a_refusal_is_due_to_calls_that_are_no_more_than_a_cell_too_old(take: Clocked) -> None:
    """A log of exact times that lets go of a call when it is at most one cell older than the window would refuse, too.
    Of the burst exactly."""

    def check(start_ms: int, limits: RateLimitConfig, steps: list[Step]) -> None:
        replay = Replay(start_ms)
        let_in: list[Call] = []
        for step in steps:
            ms = replay.at(step)
            outcome = replay.said(take.ask(ms, limits, step.cost, peek=step.peek))
            if outcome.verdict == 0 and outcome.window == "burst":
                assert not within_burst([*let_in, Call(ms, step.cost)], limits)
            elif outcome.verdict == 0:
                which = WINDOWS.index(outcome.window)
                since_ms = ms - WINDOWS_MS[which] - SIZES_MS[which] + 1
                assert made(let_in, since_ms) + step.cost > outcome.limit
            elif outcome.verdict == 1 and not step.peek:
                let_in.append(Call(ms, step.cost))

    holds(take, check, STARTS, CONFIGS, steps())


def test_a_refusal_of_a_clock_that_was_set_back_is_due_to_calls_that_are_hardly_too_old(take: Clocked) -> None:
    """As above; calls count as made at the latest time that the clock ever showed."""

    def check(start_ms: int, limits: RateLimitConfig, steps: list[Step]) -> None:
        ms = latest_ms = start_ms
        let_in: list[Call] = []
        for step in steps:
            ms = next_ms(ms, step.gap, latest_ms) - step.back_ms
            latest_ms = max(ms, latest_ms)
            outcome = take.ask(ms, limits, step.cost)
            if outcome.verdict == 0 and outcome.window != "burst":
                which = WINDOWS.index(outcome.window)
                since_ms = ms - WINDOWS_MS[which] - SIZES_MS[which] + 1
                assert made(let_in, since_ms) + step.cost > outcome.limit
            elif outcome.verdict == 1:
                let_in.append(Call(latest_ms, step.cost))

    holds(take, check, STARTS, CONFIGS, steps(back=True))


def test_retry_after_is_the_exact_moment(take: Clocked) -> None:
    """One such call passes exactly then, and fails a millisecond earlier: with the refusal that is remembered, and
    without it."""

    def check(start_ms: int, limits: Sequence[RateLimitConfig], steps: list[Step]) -> None:
        replay = Replay(start_ms)
        for step in steps:
            ms, holding = replay.at(step), limits[step.config % len(limits)]
            outcome = replay.said(take.ask(ms, holding, step.cost, peek=step.peek))
            if outcome.verdict == 0:
                assert outcome.ms > 0
                for remembered in (True, False):
                    early = take.on_a_copy(ms + outcome.ms - 1, holding, step.cost, remembered=remembered)
                    then = take.on_a_copy(ms + outcome.ms, holding, step.cost, remembered=remembered)
                    assert (early.verdict, early.window, early.ms, then.verdict) == (0, outcome.window, 1, 1)

    holds(take, check, STARTS, st.lists(CONFIGS, min_size=1, max_size=3), steps())


# --- against a plain model -------------------------------------------------------------------------------------------


def test_everything_said_and_stored_is_the_models(take: Clocked) -> None:
    """Each outcome, whatever limits hold at the time and whatever was refused before. A peek changes nothing, a refusal
    uses nothing of any limit. What is stored can be read, adds up, and lasts for as long as it counts."""

    def check(start_ms: int, limits: Sequence[RateLimitConfig], steps: list[Step]) -> None:
        replay, models, before = Replay(start_ms), {"a": Model(), "b": Model()}, dict[str, bytes]()
        for step in steps:
            ms, holding, model = replay.at(step), limits[step.config % len(limits)], models[step.group]
            outcome = take.ask(ms, holding, step.cost, peek=step.peek, group=step.group)
            expired = not take.client.exists(take.key())
            assert model.ask(ms, holding, step.cost, peek=step.peek) == outcome
            replay.said(outcome)
            fields, ends_ms = take.stored()
            assert (fields == before) or not (step.peek or outcome.verdict < 0) or expired
            before = fields
            for group, of_group in models.items():
                name = f"={group}"
                tally = Tally.parse(without_prefix(name, fields[name]) if name in fields else None)
                assert by_cell(tally, ms) == [
                    {cell: calls for cell, calls in ring.items() if cell >= ms // SIZES_MS[which] - CELLS[which]}
                    for which, ring in enumerate(of_group.rings)
                ]
                for cell in tally.rings[2]:
                    assert ends_ms >= (cell + CELLS[2] + 1) * SIZES_MS[2]
            assert (ends_ms > ms + DAY_MS) or outcome.verdict != 1 or step.peek

    holds(take, check, STARTS, st.lists(CONFIGS, min_size=1, max_size=3), steps("ab"))


def test_usage_says_what_the_script_says(take: Clocked) -> None:
    """What is used of the window that the script names, what is left of it, and when it is empty."""

    def check(start_ms: int, limits: RateLimitConfig, steps: list[Step]) -> None:
        replay = Replay(start_ms)
        for step in steps:
            ms = replay.at(step)
            outcome = replay.said(take.ask(ms, limits, step.cost))
            if outcome.verdict < 0:
                continue
            (use,) = uses(take.fields(), ms, "e", lambda _: limits)
            window, said = getattr(use, outcome.window), outcome
            if outcome.verdict == 0:  # not one that is remembered: that says what was used when it was made
                said = take.on_a_copy(ms, limits, step.cost, remembered=False)
            assert (window.used, window.limit) == (said.used, said.limit)
            assert window.remaining == max(0, said.limit - said.used)
            for one in LIMIT_TYPES:
                assert getattr(use, one).used <= getattr(use, one).limit
            if outcome.verdict == 1:
                assert window.reset_after_seconds * 1000 == outcome.ms
                later_ms = ms + outcome.ms
                (early,) = uses(take.fields(), later_ms - 1, "e", lambda _: limits)
                (later,) = uses(take.fields(), later_ms, "e", lambda _: limits)
                assert getattr(early, outcome.window).used > 0
                assert getattr(later, outcome.window).used == 0

    holds(take, check, STARTS, CONFIGS, steps())


def test_a_clock_that_is_set_back_is_taken_to_stand_still(take: Clocked) -> None:
    """What is said while the clock is behind: verdict, window and numbers are those of a model for which no time
    passes until the clock has come to where it was."""

    def check(start_ms: int, limits: RateLimitConfig, steps: list[Step]) -> None:
        ms, until_ms, model = start_ms, start_ms, Model()
        for step in steps:
            ms = next_ms(ms, step.gap, until_ms) - step.back_ms
            outcome = take.ask(ms, limits, step.cost)
            assert model.ask(ms, limits, step.cost) == outcome
            until_ms = ms + outcome.ms if outcome.verdict == 0 else until_ms

    holds(take, check, STARTS, CONFIGS, steps(back=True))


@pytest.mark.parametrize("back_ms", [1, 500, 5_000])
def test_retry_after_of_the_burst_is_exact_also_while_the_clock_is_behind(take: Clocked, back_ms: int) -> None:
    """The debt is paid off from the latest call on: the time until then has to be waited for, too."""
    limits = config(minute=60, burst=1)
    assert take.ask(START_MS, limits).verdict == 1
    ms = START_MS - back_ms
    outcome = take.ask(ms, limits)
    assert (outcome.verdict, outcome.window) == (0, "burst")
    assert take.on_a_copy(ms + outcome.ms - 1, limits, 1, remembered=False).verdict == 0
    assert take.on_a_copy(ms + outcome.ms, limits, 1, remembered=False).verdict == 1


def test_reset_after_is_exact_also_while_the_clock_is_behind(take: Clocked) -> None:
    """A call counts as made at the latest time: until it has left its window, the window is not empty."""
    limits = config(minute=60)
    assert take.ask(START_MS, limits).verdict == 1
    ms = START_MS - 2_000
    outcome = take.ask(ms, limits)
    (use,) = uses(take.fields(), ms, "e", lambda _: limits)
    assert (outcome.window, outcome.used) == ("minute", 2)
    assert outcome.ms == use.minute.reset_after_seconds * 1000


# --- one by one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "limits"),
    [
        ("minute", config(minute=3)),
        ("hour", config(hour=3)),
        ("day", config(day=3)),
    ],
    ids=WINDOWS,
)
@pytest.mark.parametrize("into_ms", [0, 1, 499, 999])
def test_the_edge_of_a_window_is_where_it_is_said_to_be(
    take: Clocked, window: str, limits: RateLimitConfig, into_ms: int
) -> None:
    """A call counts for the window and the rest of the cell that it was made in, to the millisecond."""
    which = WINDOWS.index(window)
    size, window_ms = SIZES_MS[which], WINDOWS_MS[which]
    ms = START_MS + into_ms
    outcomes = [take.ask(ms, limits) for _ in range(4)]
    assert [(one.verdict, one.window, one.used, one.limit) for one in outcomes] == [
        (1, window, 1, 3),
        (1, window, 2, 3),
        (1, window, 3, 3),
        (0, window, 3, 3),
    ]
    free_ms = START_MS + window_ms + size
    assert {one.ms for one in outcomes} == {free_ms - ms}
    assert take.ask(ms + window_ms, limits).verdict == 0
    assert take.ask(free_ms - 1, limits, peek=True).verdict == 0
    assert take.ask(free_ms - 1, limits).verdict == 0
    assert take.ask(free_ms, limits).verdict == 1


def test_the_burst_lets_calls_come_again_one_by_one(take: Clocked) -> None:
    """At once as many as it says, then one for each 60,000 / (calls per minute) milliseconds, to the millisecond."""
    limits = config(minute=7, burst=3)
    assert [take.ask(START_MS, limits).verdict for _ in range(4)] == [1, 1, 1, 0]
    for number in range(1, 4):
        due_ms = START_MS - -60_000 * number // 7
        early, then, again = (take.ask(ms, limits) for ms in (due_ms - 1, due_ms, due_ms))
        assert (early.verdict, early.window, early.used, early.limit, early.ms) == (0, "burst", 3, 3, 1)
        assert (then.verdict, again.verdict) == (1, 0)


def test_all_limits_are_looked_at_and_the_one_that_holds_longest_is_named(take: Clocked) -> None:
    """Where several are used up, the last to end tells the time; none of them is used by a refusal."""
    limits = RateLimitConfig(2, 3, 4, 2)
    assert [take.ask(START_MS, limits).verdict for _ in range(3)] == [1, 1, 0]
    before = take.fields()["=e"].partition(b"\n")[2]
    assert take.ask(START_MS, limits).window == "minute"
    assert before == take.fields()["=e"].partition(b"\n")[2]
    ms = START_MS + 61_000
    assert (take.ask(ms, limits).window, take.ask(ms, limits).window) == ("hour", "hour")
    ms = START_MS + HOUR_MS + 61_000
    assert take.ask(ms, limits)[:4] == (1, "day", 4, 4)
    refused = take.ask(ms, limits)
    assert (refused.window, ms + refused.ms) == ("day", START_MS + DAY_MS + SIZES_MS[2])


@pytest.mark.parametrize("limit", LIMIT_TYPES)
def test_a_cost_of_more_than_a_limit_is_refused_for_good_by_the_name_of_the_limit(take: Clocked, limit: str) -> None:
    """It says which one, and nothing is stored or remembered."""
    limits = {
        "minute": RateLimitConfig(3, 100, 100, 3),
        "hour": config(hour=3),
        "day": config(day=3),
        "burst": config(burst=3),
    }[limit]
    outcome = take.ask(START_MS, limits, 4)
    assert outcome == (-1, limit, 0, 3, 0)
    assert take.fields() == {}
    assert take.ask(START_MS, limits, 2).verdict == 1
    before = take.fields()
    assert take.ask(START_MS, limits, 4) == (-1, limit, 2, 3, 0)
    assert take.fields() == before
    assert take.ask(START_MS, limits, 1).verdict == 1


def test_a_cost_is_all_or_nothing(take: Clocked) -> None:
    """A call that counts for more than is left is refused, and a cheaper one still passes."""
    limits = config(minute=10)
    assert take.ask(START_MS, limits, 8)[:4] == (1, "minute", 8, 10)
    assert take.ask(START_MS, limits, 3)[:4] == (0, "minute", 8, 10)
    assert take.ask(START_MS, limits, 2)[:4] == (1, "minute", 10, 10)
    assert take.ask(START_MS, limits, 1).verdict == 0


@pytest.mark.parametrize(
    ("cost", "limits"), [(1, config(minute=5)), (2, config(minute=6)), (2, config(minute=5, burst=4))]
)
def test_a_remembered_refusal_is_for_one_cost_and_one_set_of_limits(
    take: Clocked, cost: int, limits: RateLimitConfig
) -> None:
    """Any other call is looked at anew, and leaves the refusal where it is if it changes nothing."""
    assert take.ask(START_MS, config(minute=5), 4).verdict == 1
    refused = take.ask(START_MS, config(minute=5), 2)
    before = take.fields()
    assert before["=e"].startswith(b"!")
    asked = take.ask(START_MS, limits, cost, peek=True)
    assert asked == take.on_a_copy(START_MS, limits, cost, remembered=False)
    assert take.fields() == before
    assert refused == take.ask(START_MS, config(minute=5), 2)
    assert take.fields() == before


def test_a_remembered_refusal_ends_with_its_reason(take: Clocked) -> None:
    """Limits that are raised, a user's own limits, and a reset hold at once; as do limits that are lowered."""
    assert [take.ask(START_MS, config(minute=2)).verdict for _ in range(3)] == [1, 1, 0]
    assert take.ask(START_MS, config(minute=3), peek=True).verdict == 1
    take.client.hset(take.limits_key, "u", config(minute=3).words())
    assert take.ask(START_MS, config(minute=2)).verdict == 1
    assert take.ask(START_MS, config(minute=2)).limit == 3
    take.client.hdel(take.limits_key, "u")
    refused = take.ask(START_MS, config(minute=2))
    assert refused[:4] == (0, "minute", 3, 2)
    take.client.hdel(take.key(), "=e")
    assert take.ask(START_MS, config(minute=2)).verdict == 1


def test_a_remembered_refusal_says_what_was_used_when_it_was_made(take: Clocked) -> None:
    """To look again would cost what an allowed call does; when one passes is exact all the same."""
    limits = config(minute=3)
    assert [take.ask(START_MS + ms, limits).verdict for ms in (0, 10_000)] == [1, 1]
    assert take.ask(START_MS + 20_000, limits, 3)[:4] == (0, "minute", 2, 3)
    ms = START_MS + 61_000
    refused = take.ask(ms, limits, 3)
    (use,) = uses(take.fields(), ms, "e", lambda _: limits)
    assert (refused.verdict, refused.window, refused.ms, use.minute.used) == (0, "minute", 10_000, 1)
    assert refused.used == 2


def test_a_refusal_that_is_remembered_costs_no_write(take: Clocked) -> None:
    """What is stored stays as it is, byte for byte, until the refusal ends."""
    limits = config(minute=2)
    assert [take.ask(START_MS, limits).verdict for _ in range(3)] == [1, 1, 0]
    before = take.stored()
    outcomes = [take.ask(START_MS + by_ms, limits) for by_ms in (0, 1, 30_000, 60_999)]
    assert [one.ms for one in outcomes] == [61_000, 60_999, 31_000, 1]
    assert before == take.stored()


@pytest.mark.parametrize(
    "number", [10**9, 999_999_999, 10**9 - 10**5], ids=["the highest", "one less", "a little less"]
)
def test_the_highest_limits_are_counted_exactly(take: Clocked, number: int) -> None:
    """A thousand million calls: nothing is rounded or written as a power of ten."""
    limits = RateLimitConfig(number, number, number, number)
    assert take.ask(START_MS, limits, number - 1)[:4] == (1, "minute", number - 1, number)
    assert take.ask(START_MS, limits)[:4] == (1, "minute", number, number)
    assert take.ask(START_MS, limits)[:4] == (0, "day", number, number)
    tally = Tally.parse(without_prefix("=e", take.fields()["=e"]))
    assert (tally.debt, [sum(ring.values()) for ring in tally.rings]) == (number * 60_000, [number] * 3)
    slow = RateLimitConfig(1, number, number, 1)
    outcome = take.ask(START_MS, slow)
    assert outcome == (0, "burst", number, 1, number * 60_000)
    free_ms = START_MS + DAY_MS + SIZES_MS[2]
    assert take.on_a_copy(free_ms - 1, limits, 1)[:4] == (0, "day", number, number)
    assert take.on_a_copy(free_ms, limits, number)[:4] == (1, "minute", number, number)


def test_after_a_hundred_endpoints_further_ones_count_together(take: Clocked) -> None:
    """Those that were there go on by themselves; when a place is free again, the next new one gets it."""
    limits = config(minute=3)
    for number in range(100):
        assert take.ask(START_MS, limits, group=f"e{number}").used == 1
    further = [take.ask(START_MS, limits, group=f"further{number}") for number in range(4)]
    assert [(one.verdict, one.used) for one in further] == [(1, 1), (1, 2), (1, 3), (0, 3)]
    assert take.ask(START_MS, limits, group="e99").used == 2
    assert sorted(take.fields()) == sorted(["=*", *(f"=e{number}" for number in range(100))])
    assert take.ask(START_MS, limits, group="one more", peek=True).verdict == 0
    take.client.hdel(take.key(), "=e0", "=e1")
    assert take.ask(START_MS, limits, group="one more").used == 1


def test_a_batch_says_what_its_calls_say_one_by_one(take: Clocked) -> None:
    """Several partitions, several calls in each, and the same user more than once: in the order of the batch. Each has
    the limits of its own user in its own partition."""
    client, limits = take.client, config(minute=3)
    names = ["{a}:limits", "{b}:limits", "{a}:rate:u", "{a}:rate:v", "{a}:rate:u", "{b}:rate:u", "{b}:rate:u"]
    client.delete(*names)
    client.hset("{b}:limits", "u", config(minute=1).words())
    client.hset("{a}:limits", "another", config(minute=1).words())
    asked: list[object] = [2, 3, 2]
    for cost in (2, 1, 2, 1, 1):
        asked += [f"take {cost} {limits.words()}", "e"]
    outcomes = client.evalsha(take.sha, len(names), *names, *asked, START_MS)
    assert [tuple(outcome[:4]) for outcome in outcomes] == [
        (1, 1, 2, 3),
        (1, 1, 1, 3),
        (0, 1, 2, 3),
        (1, 1, 1, 1),
        (0, 1, 1, 1),
    ]
    assert [outcome[5] if len(outcome) > 5 else None for outcome in outcomes] == [
        *[None] * 3,
        *[config(minute=1).words().encode()] * 2,
    ]
    client.delete(*names)


AHEAD_MS = 30_000
CALLS = st.lists(st.builds(Call, st.integers(-2 * DAY_MS, 0), st.integers(1, 3)), max_size=12)
RESERVED = st.lists(st.builds(Call, st.integers(-2 * MINUTE_MS, AHEAD_MS).filter(bool), st.integers(1, 3)), max_size=8)


def test_creations_and_reservations_are_used_and_what_is_forgiven_is_not(take: Clocked) -> None:
    """Whatever is stored of calls, creations, reservations and forgiveness: what is used is their sum by cell, the
    moment at which a call passes is exact if nothing can still be appended later, and `usage` says the same."""

    def check(
        ms: int, limits: RateLimitConfig, cost: int, stored: Sequence[list[Call]], forgiven: Sequence[bool]
    ) -> None:
        calls, created, reserved = ([call._replace(ms=call.ms + ms) for call in part] for part in stored)
        dropped = [call for call, drop in zip(created, forgiven, strict=False) if drop]
        take.store(
            {
                "=e": written(calls),
                "+e": written(created),
                "?e": written(reserved, ahead_ms=AHEAD_MS),
                "-e": b"%d " % ms + written(dropped),
            }
        )
        (use,) = uses(take.fields(), ms, "e", lambda _: limits)
        for which, window in enumerate(WINDOWS):
            since_ms = (ms // SIZES_MS[which] - CELLS[which]) * SIZES_MS[which]
            assert getattr(use, window).used == made([*calls, *created, *reserved], since_ms) - made(dropped, since_ms)
        outcome = take.ask(ms, limits, cost, peek=True)
        if outcome.verdict < 0:
            return
        used: int = getattr(use, outcome.window).used
        assert outcome.used == used + cost * outcome.verdict
        if outcome.verdict == 1:
            assert all(getattr(use, window).used + cost <= limits.limit(window) for window in WINDOWS)
        else:
            before, waiting = take.fields(), any(call.ms > ms for call in reserved)
            assert used + cost > outcome.limit
            assert take.ask(ms + outcome.ms - 1, limits, cost, peek=True).verdict == 0
            assert take.ask(ms + outcome.ms, limits, cost, peek=True).verdict == 1 or waiting
            assert take.fields() == before

    stored = st.tuples(CALLS, CALLS, RESERVED)
    holds(take, check, STARTS, CONFIGS, st.integers(1, 2), stored, st.lists(st.booleans(), max_size=12))


@pytest.mark.parametrize("by_ms", [-1, 0, 1])
def test_a_reservation_that_has_left_its_window_is_not_used(take: Clocked, by_ms: int) -> None:
    """Also in the very millisecond that the latest reservation counts at."""
    ms = START_MS + 500
    take.store({"?e": written([Call(ms - 90_000, 1), Call(ms, 1)], ahead_ms=AHEAD_MS)})
    assert take.ask(ms + by_ms, config(minute=3), peek=True)[:4] == (1, "minute", 2, 3)
