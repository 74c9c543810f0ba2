"""Users with a past: calls that were made before a measurement, written as `rings.lua` documents it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from benchmarks.rates_peers import ENDPOINT
from benchmarks.server import BenchServer
from benchmarks.stored import KEYS
from interrupts.rings import CELLS, SIZES_MS, Tally

LIGHT_CALLS: Final = 3
FIELD: Final = f"={ENDPOINT}"

Past = Callable[[int], list[tuple[int, int]]]
"""Of a user: when, in milliseconds, and how many calls; at the time that it is now."""


def names(count: int) -> list[str]:
    """That many users."""
    return [f"user-{number:06}" for number in range(count)]


def chosen(users: list[str], calls: int, seed: int = 0) -> list[str]:
    """Who calls, call by call: anyone each time."""
    return random.Random(seed).choices(users, k=calls)


def busy(now_ms: int) -> list[tuple[int, int]]:
    """Ten calls a second since yesterday: every second, minute and quarter of the windows has some."""
    past: list[tuple[int, int]] = []
    before = now_ms + 1
    for size, cells in zip(SIZES_MS, CELLS, strict=True):
        newest, calls = now_ms // size, size // 100
        past += [(cell * size, calls) for cell in range(newest - cells, newest + 1) if cell * size < before]
        before = min(ms for ms, _ in past)
    return past


def light(now_ms: int) -> list[tuple[int, int]]:
    """A few calls in the last seconds."""
    return [(now_ms - 1_000 * ago, 1) for ago in range(1, LIGHT_CALLS + 1)]


def key(user: str) -> str:
    """Where it is counted what this user does."""
    return KEYS.rates[KEYS.partition_of_user(user)] + user


def write(server: BenchServer, users: list[str], past: Past) -> str:
    """Gives all users this past, and returns it as it is stored."""
    seconds, us = server.command("TIME")
    now_ms = seconds * 1_000 + us // 1_000
    text = stored(past(now_ms))
    expiry = (now_ms // SIZES_MS[2] + CELLS[2] + 2) * SIZES_MS[2]
    server.commands([("HSET", key(user), FIELD, text) for user in users])
    server.commands([("PEXPIREAT", key(user), expiry) for user in users])
    return text


def stored(past: list[tuple[int, int]]) -> str:
    """The tally of these calls. The library must read it as it was meant."""
    last_ms = max(ms for ms, _ in past)
    heads, rings = [str(last_ms), "0"], []
    for size, cells in zip(SIZES_MS, CELLS, strict=True):
        newest = last_ms // size
        calls: Counter[int] = Counter()
        for ms, count in past:
            if ms // size >= newest - cells:
                calls[ms // size] += count
        heads += [str(calls.total()), str(calls[newest])]
        rings.append("".join(f"{cell % 1000:03}{calls[cell]}," for cell in sorted(calls) if cell != newest))
    text = ";".join([" ".join(heads), *rings])
    assert Tally.parse(text.encode()).last_ms == last_ms
    return text


def check_full(text: str) -> None:
    """Every cell of every window has calls."""
    tally = Tally.parse(text.encode())
    assert [len(ring) for ring in tally.rings] == [cells + 1 for cells in CELLS]


def stored_bytes(server: BenchServer, users: list[str]) -> float:
    """The bytes of what is written down for a user: the key, the field and the tally. The mean."""
    lengths: list[int] = server.commands([("HSTRLEN", key(user), FIELD) for user in users])
    assert all(lengths)
    return len(FIELD) + sum(length + len(key(user)) for length, user in zip(lengths, users, strict=True)) / len(users)
