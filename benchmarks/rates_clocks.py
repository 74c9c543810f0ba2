"""Rate limiters on a clock that is told: the scripts of ours and of the others, run at times that never were.

Ours and throttled-py's ask the server for the time: in place of that they get one with each call. The one of `limits`
asks for no time but lives by its keys' expiries, so it runs, unchanged, on a stand-in for the six commands it uses,
whose keys expire by the time that is told. The exact log is plain Python.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

from benchmarks.rates_peers import ENDPOINT
from benchmarks.rates_users import key
from benchmarks.server import BenchServer
from benchmarks.stored import KEYS
from interrupts import RateLimitConfig
from interrupts.scripts import script

MINUTE_MS: Final = 60_000
USER: Final = "user-000000"

STAND_IN: Final = """
local real, now = redis, tonumber(ARGV[4])
local function expiry(key)
  local at = real.call('HGET', key, 'expiry')
  if at and at + 0 < now then
    real.call('DEL', key)
    at = nil
  end
  return at
end
local commands = {
  pttl = function(key) local at = expiry(key) return at and at - now or -2 end,
  get = function(key) return expiry(key) and real.call('HGET', key, 'value') end,
  exists = function(key) return expiry(key) and 1 or 0 end,
  incrby = function(key, by) return real.call('HINCRBY', key, 'value', by) end,
  rename = function(key, other) return real.call('RENAME', key, other) end,
  set = function(key, value, _, ms) return real.call('HSET', key, 'value', value, 'expiry', now + ms) end,
}
local redis = {call = function(command, ...) return commands[command](...) end}
"""

Limiter = Callable[[list[int]], list[int]]
"""From the times of calls, in milliseconds, to the times of those that were let in."""


class _Scripted(NamedTuple):
    """A script and what it is called with, but for the time."""

    text: str
    keys: tuple[str, ...]
    args: tuple[str | float, ...]
    time: Callable[[int], tuple[int, ...]]
    allows: Callable[[Any], bool]


def limiters(server: BenchServer, limit: int) -> dict[str, Limiter]:
    """All of them, with this many calls a minute."""
    scripted = {"ours": _ours(limit), "limits": _limits(limit), "throttled": _throttled(limit)}
    found = {name: _on(server, one) for name, one in scripted.items()}
    return {**found, "exact log": lambda times: _exact(times, limit)}


def _on(server: BenchServer, one: _Scripted) -> Limiter:
    sha = server.command("SCRIPT", "LOAD", one.text)

    def let_in(times: list[int]) -> list[int]:
        server.flush()
        call = "EVALSHA", sha, len(one.keys), *one.keys, *one.args
        replies = server.commands([(*call, *one.time(ms)) for ms in times])
        return [ms for ms, reply in zip(times, replies, strict=True) if one.allows(reply)]

    return let_in


def _ours(limit: int) -> _Scripted:
    terms = f"take 1 {RateLimitConfig(limit, 1_000 * limit, 10_000 * limit, limit).words()}"
    return _Scripted(
        _replaced(script("take").text, "redis.call('TIME')", "{ARGV[5], ARGV[6]}"),
        (KEYS.limits[KEYS.partition_of_user(USER)], key(USER)),
        (1, 1, terms, ENDPOINT),
        _as_time,
        lambda reply: bool(reply[0][0] == 1),
    )


def _limits(limit: int) -> _Scripted:
    bridge = import_module("limits.aio.storage.redis.bridge").RedisBridge
    text = bridge.SCRIPT_ACQUIRE_SLIDING_WINDOW
    return _Scripted(
        STAND_IN + (text.decode() if isinstance(text, bytes) else text),
        (f"{{{USER}}}/-1", f"{{{USER}}}"),
        (limit, MINUTE_MS // 1_000, 1),
        lambda ms: (ms,),
        lambda reply: reply == 1,
    )


def _throttled(limit: int) -> _Scripted:
    quota = import_module("throttled").per_min(limit)
    text = import_module("throttled.rate_limiter.gcra").RedisLimitAtomicActionSpec.SCRIPTS
    text = _replaced(text, 'redis.call("TIME")', "{ARGV[4], ARGV[5]}")
    return _Scripted(
        # The key would expire by the server's clock; one that is past its time says the same as none.
        _replaced(text, ', "EX", math.ceil(reset_after)', ""),
        (USER,),
        (quota.emission_interval, quota.burst, 1),
        _as_time,
        lambda reply: reply[0] == 0,
    )


def _exact(times: list[int], limit: int) -> list[int]:
    let_in: list[int] = []
    recent: deque[int] = deque()
    for ms in times:
        while recent and recent[0] <= ms - MINUTE_MS:
            recent.popleft()
        if len(recent) < limit:
            recent.append(ms)
            let_in.append(ms)
    return let_in


def _as_time(ms: int) -> tuple[int, int]:
    """As TIME has it: seconds and microseconds."""
    return ms // 1_000, ms % 1_000 * 1_000


def _replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"this version of the script has {old} {text.count(old)} times; adapt {__file__}"
    return text.replace(old, new)
