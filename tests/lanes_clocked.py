"""Lanes of deliveries, on a server whose scripts have the time that the test says, and all that is stored of them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import pytest

from interrupts import connect
from interrupts.limits import HOOK_WAITING_MAX
from interrupts.scripts import script
from interrupts.store.deliveries import Add, Deliveries, Due, Found, Portion, Sent, Settled, Written
from interrupts.store.lanes import Command, Lanes
from interrupts.views import Checkpoint

GROUP, OWNER, LEFT_OUT = "webhooks", "somebody", b'{"error":"no room","name":'
HOOK, OTHER = "wh_a", "wh_b"
BODY = b'"a.b.c"\n{}'
START_MS = 4_102_444_800_000
"""2100-01-01: nothing here has the real time."""
CLAIM_MS = 5_000
_CLOCK = "redis.call('TIME')"
_GIVEN = "local NOW = tonumber(table.remove(ARGV))\n"
_SCRIPTS = ("deliver", "fetch", "sent", "resend", "deliveries", "hook")


def left_out(body: bytes = BODY) -> bytes:
    """What is kept of a delivery for which there was no room: it has the event's name."""
    return LEFT_OUT + body.partition(b"\n")[0] + b"}"


class Clock:
    """The time that scripts see. It stands still."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ms = START_MS
        call, texts = Lanes.call, dict[str, str]()
        for name in _SCRIPTS:
            one = script(name)
            assert one.text.count(_CLOCK) == 1
            text = _GIVEN + one.text.replace(_CLOCK, "{math.floor(NOW / 1000), NOW % 1000 * 1000}")
            texts[one.sha] = texts[one.text] = text

        async def calling(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
            timed = [
                ("EVAL", texts[command[1]], *command[2:], self.ms)
                if command[0] in ("EVAL", "EVALSHA") and command[1] in texts
                else command
                for command in commands
            ]
            return await call(lanes, timed, timeout_s)

        patch.setattr(Lanes, "call", calling)


class Kept(NamedTuple):
    """All that is stored of a lane: when by stream id, bodies and tries by stream id, results, and counts."""

    waiting: dict[str, int]
    failed: dict[str, int]
    bodies: dict[str, bytes]
    tries: dict[str, bytes]
    results: list[bytes]
    stats: dict[str, int]


class Lane:
    """The lanes of a namespace with two partitions, and the place up to which each is read. If a call does not say
    another one, the lane is that of `HOOK` in the first."""

    def __init__(self, store: Any, clock: Clock) -> None:
        self.server, self.keys = store.server, store.keys
        self.all = Deliveries(self.server, self.keys)
        self.clock = clock
        self.at = [Checkpoint(), Checkpoint()]
        self.tokens = itertools.count(1)

    async def begin(self) -> None:
        """The group reads from the beginning."""
        for partition in range(2):
            await self.raw("HSET", self.keys.group(partition, GROUP), "at", Checkpoint().encode())

    def portion(self, *adds: Add, done: Sequence[str] = (), partition: int = 0) -> Portion:
        """What follows in a partition, under a token of its own."""
        number = next(self.tokens)
        at = Checkpoint(f"{number}-0", number, b'["event"')
        return Portion(partition, f"token {number}", self.at[partition], at, list(adds), list(done))

    async def write(self, *portions: Portion) -> list[Written]:
        """Writes portions down; where that is done the place has moved."""
        written = await self.all.deliver(GROUP, OWNER, LEFT_OUT, portions)
        for portion, one in zip(portions, written, strict=True):
            if one.news is not None:
                self.at[portion.partition] = portion.at
        return written

    async def add(
        self, *ids: str, claim_ms: int = 0, body: bytes = BODY, hook: str = HOOK, waiting_max: int = HOOK_WAITING_MAX
    ) -> list[int]:
        """Writes deliveries down, all in one portion; when their claims end."""
        adds = [Add(one, hook, claim_ms, body, waiting_max) for one in ids]
        (written,) = await self.write(self.portion(*adds))
        assert written.news is not None
        return written.until

    async def take(self, room: int = 9, *, hook: str = HOOK, partition: int = 0) -> list[Due]:
        """Fetches what may be sent."""
        return (await self.fetch((hook, room, CLAIM_MS), partition=partition))[hook].due

    async def fetch(self, *asked: tuple[str, int, int], partition: int = 0) -> dict[str, Found]:
        """Fetches of a partition: of each endpoint so many, for so long."""
        server_ms, found = await self.all.fetch([(partition, *one) for one in asked])
        assert server_ms == self.clock.ms
        return {one[0]: what for one, what in zip(asked, found, strict=True)}

    async def say(self, what: str, stream_id: str, until: int, hook: str = HOOK, **more: Any) -> Settled:
        """Says what became of a delivery in the first partition."""
        (settled,) = await self.all.sent([Sent(0, hook, stream_id, what, until, **more)])
        return settled

    async def given_up(self, *ids: str, body: bytes = BODY) -> None:
        """These are written down, and then given up."""
        for one in ids:
            (until,) = await self.add(one, claim_ms=CLAIM_MS, body=body)
            assert (await self.say("fail", one, until, tries=b"t")).done

    async def raw(self, *command: Any) -> Any:
        """A command's reply."""
        return await self.server.command(0, *command)

    async def kept(self, hook: str = HOOK, partition: int = 0) -> Kept:
        """All of a lane."""
        lane = self.keys.lanes(partition) + hook
        flat = {name: await self.raw("ZRANGE", f"{lane}:{name}", 0, -1, "WITHSCORES") for name in ("waiting", "failed")}
        flat |= {name: await self.raw("HGETALL", f"{lane}:{name}") for name in ("bodies", "tries", "stats")}
        held = {
            name: {one.decode(): value for one, value in zip(values[::2], values[1::2], strict=True)}
            for name, values in flat.items()
        }
        numbers = {
            name: {one: int(float(value)) for one, value in held[name].items()}
            for name in ("waiting", "failed", "stats")
        }
        results = await self.raw("LRANGE", f"{lane}:results", 0, -1)
        return Kept(numbers["waiting"], numbers["failed"], held["bodies"], held["tries"], results, numbers["stats"])

    async def everything(self) -> dict[bytes, Any]:
        """All keys of the namespace's partitions, as they are stored."""
        found: dict[bytes, Any] = {}
        for tag in self.keys.tags:
            for name in await self.raw("KEYS", f"{{{tag}}}:*"):
                match await self.raw("TYPE", name):
                    case b"zset":
                        found[name] = await self.raw("ZRANGE", name, 0, -1, "WITHSCORES")
                    case b"hash":
                        flat = await self.raw("HGETALL", name)
                        found[name] = dict(zip(flat[::2], flat[1::2], strict=True))
                    case b"list":
                        found[name] = await self.raw("LRANGE", name, 0, -1)
                    case b"set":
                        found[name] = set(await self.raw("SMEMBERS", name))
        return found


@contextlib.asynccontextmanager
async def lanes(url: str, namespace: str, clock: Clock) -> AsyncIterator[Lane]:
    """Lanes of a namespace of their own."""
    async with connect(url, namespace=namespace, partitions=2) as service:
        lane = Lane(service.store, clock)
        await lane.begin()
        yield lane
