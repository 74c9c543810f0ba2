"""The scripts that count creations, on a real server and a clock of the test's own, for the users of one partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from interrupts import RateLimitConfig
from interrupts.limits import RESERVATION_MAX_S
from interrupts.rings import CREATED, RESERVED, Tally, uses
from interrupts.scripts import script
from tests.tallies import Cells

START_MS = 4_102_444_800_000
"""2100-01-01: far enough ahead that no real server takes a key for expired."""
LIFE_MS = round(RESERVATION_MAX_S * 1000)
CLOCK = "redis.call('TIME')"
GIVEN = "local NOW = tonumber(ARGV[#ARGV])\n"
WIDE = RateLimitConfig(1_000_000, 1_000_000, 1_000_000, 1_000_000)


class Made(NamedTuple):
    """A creation in the log of a source partition."""

    ms: int
    number: int
    source: int = 0
    user: str = "u"
    groups: tuple[str, ...] = ("g",)

    @property
    def name(self) -> str:
        """Its reservation's: that of its interrupt, and the groups where they are not the usual one."""
        interrupt, groups = f"i{self.source}-{self.ms}-{self.number}", "\n".join(self.groups)
        return interrupt if groups == "g" else f"{interrupt} {groups}"


class Clocked:
    """Runs the scripts at times that the caller says."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client: Any = client
        self.stem = f"{{{namespace}}}"
        self.now_ms = START_MS
        self.damaged: list[bytes] = []
        """The keys that could not be read when it was counted last."""
        self.forget()

    def forget(self) -> None:
        """Everybody begins anew."""
        self.now_ms = START_MS
        for key in list(self.client.scan_iter(f"{self.stem}:*")):
            self.client.delete(key)

    def key(self, what: str, user: str = "u") -> str:
        """Where counts (`rate`), or reservations (`reserved`), of a user are."""
        return f"{self.stem}:{what}:{user}"

    def run(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        """A script's reply, at the time that it now is."""
        text = script(name).text
        assert text.count(CLOCK) == 1
        text = GIVEN + text.replace(CLOCK, "{math.floor(NOW / 1000), NOW % 1000 * 1000}")
        return self.client.eval(text, len(keys), *keys, *args, self.now_ms)

    def count(self, made: Sequence[Made], before: str = "") -> str:
        """Counts creations of one source; "", or up to where it is counted if nothing was done."""
        keys, args = [f"{self.stem}:counted"], [made[0].source, 1, len(made), before, place(made[-1])]
        for one in made:
            keys += [self.key("rate", one.user), self.key("reserved", one.user)]
            args += [one.name, "\n".join(one.groups), one.ms, one.number]
        outcome, self.damaged = self.run("count", keys, *args)
        return str(outcome.decode())

    def reserve(self, made: Made, config: RateLimitConfig = WIDE) -> int:
        """Reserves; the time that the reservation counts at, or 0 if it was not let in."""
        asked = "\n".join(f"{config.words()} {group}" for group in made.groups)
        keys = [f"{self.stem}:limits", self.key("rate", made.user), self.key("reserved", made.user)]
        (outcome,) = self.run("reserve", keys, 1, LIFE_MS, 1, made.name, asked)
        return int(outcome[7]) if len(outcome) > 7 else 0

    def settle(self, made: Made, own_ms: int, *, appended: bool = True) -> None:
        """Says that it was appended, or refused."""
        keys = [self.key("rate", made.user), self.key("reserved", made.user), f"{self.stem}:counted"]
        known = (made.source, made.ms, made.number) if appended else ("", "", "")
        self.run("settle", keys, LIFE_MS, made.name, "\n".join(made.groups), own_ms, *known, "")

    def forgive(self, group: str = "") -> int:
        """Forgives a user's calls."""
        keys = [self.key("rate"), self.key("reserved"), self.key("exhausted")]
        return int(self.run("forgive", keys, group, "g"))

    def fields(self, user: str = "u") -> dict[str, bytes]:
        """What is stored of a user."""
        return {name.decode(): text for name, text in self.client.hgetall(self.key("rate", user)).items()}

    def counted(self, user: str = "u", group: str = "g") -> Cells:
        """The creations that are counted from the log."""
        return Cells(Tally.parse(self.fields(user).get(CREATED + group)).rings, self.now_ms)

    def waiting(self, user: str = "u", group: str = "g") -> Cells:
        """The reservations that count."""
        return Cells(Tally.parse(self.fields(user).get(RESERVED + group)).rings, self.now_ms)

    def reserved(self, user: str = "u") -> dict[str, int]:
        """The reservations by name."""
        found = self.client.zrange(self.key("reserved", user), 0, -1, withscores=True)
        return {name.decode(): int(ms) for name, ms in found}

    def used(self, user: str = "u", group: str = "g") -> tuple[int, int, int]:
        """What is used of the minute, the hour and the day."""
        (use,) = uses(self.fields(user), self.now_ms, group, lambda _: WIDE)
        return use.minute.used, use.hour.used, use.day.used


def place(made: Made) -> str:
    """As it is written beside the counts."""
    return f"{made.ms} {made.number}"
