"""What the rate limiter should say, worked out plainly: calls by cell in dicts, and a log of the exact times of calls.
And the script `take` itself, on a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import redis
from hypothesis import strategies as st

from interrupts import RateLimitConfig
from interrupts.rates import LIMIT_TYPES
from interrupts.rings import CALL, CELLS, SIZES_MS, Tally
from interrupts.scripts import script

START_MS = 4_102_444_800_000
"""2100-01-01: far enough ahead that no real server takes a key for expired."""
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
WINDOWS_MS = (MINUTE_MS, HOUR_MS, DAY_MS)
CLOCK = "redis.call('TIME')"
GIVEN = """
local NOW = tonumber(ARGV[#ARGV])
for _, key in ipairs(KEYS) do
  local ends = redis.call('PEXPIRETIME', key)
  if ends >= 0 and ends <= NOW then
    redis.call('DEL', key)
  end
end
"""
"""In front of a script: the time is its last argument, and what has expired by then is gone."""

UNTIL, BEFORE = "when it passes", "just before"
Gap = int | str
"""Milliseconds until the next call, or a time that the last refusal has named."""


class Outcome(NamedTuple):
    """What a script says of a call: `take.lua` tells what the numbers mean."""

    verdict: int
    window: str
    used: int
    limit: int
    ms: int


class Step(NamedTuple):
    """A call, some time after the one before."""

    gap: Gap
    cost: int
    peek: bool
    config: int
    """Which of the configs holds, modulo their number."""
    group: str
    back_ms: int = 0
    """By how much the clock is set back before."""


_EDGES: st.SearchStrategy[Gap] = st.builds(
    lambda which, cells, by: WINDOWS_MS[which] + cells * SIZES_MS[which] + by,
    st.integers(0, 2),
    st.integers(-1, 1),
    st.one_of(st.integers(-1, 1), st.integers(-2_000, 2_000)),
)
_FAR: st.SearchStrategy[Gap] = st.one_of(
    st.sampled_from(SIZES_MS), st.integers(0, 2 * DAY_MS), st.sampled_from([DAY_MS * days for days in (2, 7, 30, 400)])
)
_GAPS: st.SearchStrategy[Gap] = st.one_of(
    st.integers(0, 900), st.integers(0, 900), st.integers(0, 20_000), _EDGES, st.sampled_from([UNTIL, BEFORE]), _FAR
)
COSTS = st.sampled_from([1, 1, 1, 1, 2, 3, 5])
BACK = st.one_of(st.just(0), st.just(0), st.just(0), st.integers(1, 3_000), st.integers(1, HOUR_MS))
STARTS = st.integers(START_MS, START_MS + 300 * SIZES_MS[2])
CONFIGS = st.builds(
    lambda minute, hour, day, burst: RateLimitConfig(minute, hour, day, min(minute, burst)),
    st.integers(1, 6),
    st.integers(1, 10),
    st.integers(1, 14),
    st.integers(1, 6),
)
PEEKS = st.sampled_from([False, False, False, True])


def steps(groups: str = "e", *, back: bool = False) -> st.SearchStrategy[list[Step]]:
    """Histories, most of them long."""
    backs = BACK if back else st.just(0)
    step = st.builds(Step, _GAPS, COSTS, PEEKS, st.integers(0, 2), st.sampled_from(groups), backs)
    return st.integers(1, 50).flatmap(lambda number: st.lists(step, min_size=number, max_size=number))


class Clocked:
    """The script `take` for the users of one partition, at times that the caller says."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client: Any = client
        self.limits_key = f"{{{namespace}}}:limits"
        self._begin = f"{{{namespace}}}:rate:"
        text = script("take").text
        assert text.count(CLOCK) == 1
        self.sha = self.client.script_load(GIVEN + text.replace(CLOCK, "{math.floor(NOW / 1000), NOW % 1000 * 1000}"))
        self.forget()

    def key(self, user: str = "u") -> str:
        """Where a user's counts are."""
        return self._begin + user

    def forget(self) -> None:
        """Everybody begins anew."""
        self.client.delete(self.limits_key, self.key(), self.key("copy"))

    def ask(
        self, ms: int, config: RateLimitConfig, cost: int = 1, *, peek: bool = False, group: str = "e", user: str = "u"
    ) -> Outcome:
        """What becomes of a call."""
        terms = f"{'peek' if peek else 'take'} {cost} {config.words()}"
        reply = self.client.evalsha(self.sha, 2, self.limits_key, self.key(user), 1, 1, terms, group, ms)[0]
        return Outcome(reply[0], LIMIT_TYPES[reply[1] - 1], *reply[2:5])

    def fields(self, user: str = "u") -> dict[str, bytes]:
        """What is stored of a user."""
        return {name.decode(): text for name, text in self.client.hgetall(self.key(user)).items()}

    def stored(self, user: str = "u") -> tuple[dict[str, bytes], int]:
        """What is stored of a user, and when it expires."""
        with self.client.pipeline(transaction=False) as pipeline:
            found, ends_ms = pipeline.hgetall(self.key(user)).pexpiretime(self.key(user)).execute()
        return {name.decode(): text for name, text in found.items()}, ends_ms

    def store(self, fields: Mapping[str, bytes | str], user: str = "u") -> None:
        """Stores this of a user, and nothing else."""
        self.client.delete(self.key(user))
        self.client.hset(self.key(user), mapping=dict(fields))

    def on_a_copy(
        self, ms: int, config: RateLimitConfig, cost: int, *, group: str = "e", remembered: bool = True
    ) -> Outcome:
        """What would become of a call, with what is `remembered` of refusals or without it. Nothing changes."""
        fields: dict[str, bytes] = self.fields()
        if not remembered:
            fields = {name: text.rpartition(b"\n")[2] for name, text in fields.items()}
        self.store(fields, "copy")
        return self.ask(ms, config, cost, group=group, user="copy")


class Held(NamedTuple):
    """A refusal as it is remembered."""

    until_ms: int
    cost: int
    config: RateLimitConfig
    outcome: Outcome


class Model:
    """What is used of the limits in one group. While its clock is behind, time stands still for it."""

    def __init__(self) -> None:
        self.last_ms = 0
        self.debt = 0
        self.rings: list[dict[int, int]] = [{}, {}, {}]
        self.held: Held | None = None

    def ask(self, ms: int, config: RateLimitConfig, cost: int, *, peek: bool = False) -> Outcome:
        """What becomes of a call."""
        held = self.held
        if held and ms < held.until_ms and (held.cost, held.config) == (cost, config):
            return held.outcome._replace(ms=held.until_ms - ms)
        at_ms = max(ms, self.last_ms)
        debt = max(0, self.debt - (at_ms - self.last_ms) * config.requests_per_minute)
        rings = [kept(ring, which, ms) for which, ring in enumerate(self.rings)]
        outcome = weighed(rings, debt, ms, at_ms, config, cost)
        if not peek and outcome.verdict >= 0:
            self.last_ms, self.debt, self.rings = at_ms, debt, rings
            self.held = None if outcome.verdict else Held(ms + outcome.ms, cost, config, outcome)
            if outcome.verdict:
                self.debt += cost * CALL
                for ring, size in zip(rings, SIZES_MS, strict=True):
                    ring[at_ms // size] = ring.get(at_ms // size, 0) + cost
        return outcome


def kept(ring: Mapping[int, int], which: int, ms: int) -> dict[int, int]:
    """The cells that count at this time."""
    return {cell: calls for cell, calls in ring.items() if calls and cell >= ms // SIZES_MS[which] - CELLS[which]}


def weighed(
    rings: Sequence[Mapping[int, int]], debt: int, ms: int, at_ms: int, config: RateLimitConfig, cost: int
) -> Outcome:
    """What is to be said of a call where this is used. `at_ms`: the time from which the debt is paid off."""
    limits = [config.limit(window) for window in LIMIT_TYPES]
    owed = -(-debt // CALL)
    used = [*(sum(ring.values()) for ring in rings), owed]
    for window, limit, there in zip(LIMIT_TYPES, limits, used, strict=True):
        if cost > limit:
            return Outcome(-1, window, there, limit, 0)
    over = debt + (cost - config.burst_size) * CALL
    frees = [
        *(free_ms(ring, which, used[which] + cost - limits[which]) for which, ring in enumerate(rings)),
        at_ms - (-over // config.requests_per_minute) if over > 0 else 0,
    ]
    latest = max(frees)
    if latest:
        which = frees.index(latest)
        return Outcome(0, LIMIT_TYPES[which], used[which], limits[which], latest - ms)
    which = min(range(3), key=lambda which: limits[which] - used[which])
    empty_ms = (at_ms // SIZES_MS[which] + CELLS[which] + 1) * SIZES_MS[which]
    return Outcome(1, LIMIT_TYPES[which], used[which] + cost, limits[which], empty_ms - ms)


def free_ms(ring: Mapping[int, int], which: int, need: int) -> int:
    """When so many calls have left their window; 0: none need to."""
    for cell in sorted(ring):
        if need <= 0:
            break
        need -= ring[cell]
        if need <= 0:
            return (cell + CELLS[which] + 1) * SIZES_MS[which]
    return 0


class Call(NamedTuple):
    """A call that was let in."""

    ms: int
    cost: int


def made(calls: Iterable[Call], since_ms: int) -> int:
    """How many calls were made from this time on."""
    return sum(call.cost for call in calls if call.ms >= since_ms)


def within_burst(calls: Sequence[Call], config: RateLimitConfig) -> bool:
    """Whether in any stretch that ends with the latest call there are at most the burst and what was let come again."""
    last_ms, total = calls[-1].ms, 0
    for call in reversed(calls):
        total += call.cost
        if (total - config.burst_size) * CALL > (last_ms - call.ms) * config.requests_per_minute:
            return False
    return True


def next_ms(ms: int, gap: Gap, until_ms: int) -> int:
    """The time of a step: never before `ms`."""
    if isinstance(gap, int):
        return ms + gap
    return max(ms, until_ms - (gap == BEFORE))


def written(calls: Iterable[Call], debt: int = 0, *, ahead_ms: int = 0) -> bytes:
    """A tally of these calls as `rings.lua` writes it at the time of the latest, or so much earlier."""
    there = list(calls)
    last_ms = max([call.ms for call in there] or [0])
    numbers, lists = [last_ms, debt], []
    for size, window in zip(SIZES_MS, CELLS, strict=True):
        cells: dict[int, int] = {}
        for cell, cost in ((call.ms // size, call.cost) for call in there):
            if cell >= (last_ms - ahead_ms) // size - window:
                cells[cell] = cells.get(cell, 0) + cost
        numbers += [sum(cells.values()), cells.pop(last_ms // size, 0)]
        lists.append("".join(f"{cell % 1000:03d}{cells[cell]}," for cell in sorted(cells)))
    return f"{' '.join(map(str, numbers))};{';'.join(lists)}".encode()


def by_cell(tally: Tally, ms: int) -> list[dict[int, int]]:
    """A tally's cells that count at this time."""
    return [kept(tally.rings[which], which, ms) for which in range(3)]
