"""How Python calls the scripts of webhooks, and the same calls in the words of the headers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import astuple

from interrupts.limits import (
    HOOK_BYTES_MAX,
    HOOK_FAILED_MAX,
    HOOK_READ_BYTES_MAX,
    HOOK_RESULTS_MAX,
    HOOK_WAITING_MAX,
    HOOKS_MAX,
    WORKER_LEASE_S,
)
from interrupts.store.deliveries import Add, Deliveries, Portion, Sent
from interrupts.store.hooks import Hooks
from interrupts.views import Checkpoint
from tests.headers import Call, Values
from tests.recording import KEYS, Recorder

GROUP, OWNER = "webhooks", "somebody"
OWNER_MS = round(WORKER_LEASE_S * 1000)
LEFT_OUT = b'{"error":"no room","name":'
PLACES = (3, 0, 15)
FIRST, SECOND = "wh_a", "wh_b"
CLAIMED_MS = 4_102_444_800_000
"""2100-01-01: until then a delivery is somebody's."""
START, NEXT, AFTER = Checkpoint(), Checkpoint("5-0", 5, b'["event 5"]'), Checkpoint("6-0", 6, b'["event 6"]')
LANE = ("waiting", "failed", "bodies", "tries", "results", "stats")
REGISTERED = {"hooks": KEYS.hooks} | {what: f"{KEYS.hooks}:{what}" for what in ("off", "news", "meta")}


def lane(partition: int, endpoint: str) -> Values:
    """The keys of what an endpoint has in a partition."""
    return {name: f"{KEYS.lanes(partition)}{endpoint}:{name}" for name in LANE}


def prepared() -> Iterator[tuple[Any, ...]]:
    """The commands that make what these scripts find: places in the log; of one endpoint deliveries that wait, that
    somebody has, and that were given up; and two endpoints that are registered, one of them switched off."""
    for partition in PLACES:
        yield "HSET", KEYS.group(partition, GROUP), "at", START.encode(), "token", "another", "news", 2
        keys = lane(partition, FIRST)
        yield "ZADD", keys["waiting"], 1, "1-0", CLAIMED_MS, "2-0"
        yield "ZADD", keys["failed"], 5, "3-0"
        for stream_id in ("1-0", "2-0", "3-0"):
            yield "HSET", keys["bodies"], stream_id, '"name"\n{}'
            yield "HSET", keys["tries"], stream_id, "{}"
        yield "HSET", keys["stats"], "bytes", 27
        yield "RPUSH", keys["results"], "{}", "{}"
        yield "SADD", KEYS.hooked(partition), FIRST
    for number, hook in enumerate((FIRST, SECOND), 1):
        yield "HSET", REGISTERED["hooks"], hook, "5 {}"
        yield "ZADD", REGISTERED["news"], number, hook
    yield "HSET", REGISTERED["off"], SECOND, "{}"
    yield "HSET", REGISTERED["meta"], "rev", 2


async def deliver(server: Recorder) -> list[Call]:
    """Writes portions down: on one server all in one call, in a cluster each in a call of its own. Then once more,
    where there is hardly any room."""
    calls: list[Call] = []
    for room, before, at, done in ((None, START, NEXT, ["4-0"]), (1, NEXT, AFTER, [])):
        portions = []
        for partition in PLACES:
            first, second = _added("5-0", FIRST, 7, b'"name"\n{}', room), Add("5-0", SECOND, 0, b"{}", 40 + partition)
            adds = [first, second, _added("6-0", FIRST, 7, b"{}", room)]
            portions.append(Portion(partition, f"t{room}", before, at, adds[: 3 - len(done)], done))
        together = [portions] if server.route.one_server else [[portion] for portion in portions]
        for some in together:
            await Deliveries(server, KEYS).deliver(GROUP, OWNER, LEFT_OUT, some)
            calls.append(_delivered(some, HOOK_WAITING_MAX if room is None else room))
    return calls


def _added(stream_id: str, endpoint: str, claim_ms: int, body: bytes, room: int | None) -> Add:
    """A delivery that says how many may wait, or does not."""
    return Add(stream_id, endpoint, claim_ms, body, *([] if room is None else [room]))


def _delivered(portions: list[Portion], room: int) -> Call:
    head = {
        "partitions": len(portions),
        "bytes_max": HOOK_BYTES_MAX,
        "failed_max": HOOK_FAILED_MAX,
        "owner": OWNER,
        "lease_ms": OWNER_MS,
        "left_out": LEFT_OUT,
    }
    partitions: list[Values] = []
    lanes: list[Values] = []
    changes: list[Values] = []
    for one in portions:
        # Of each portion the lanes are numbered as they come.
        numbers = {endpoint: number for number, endpoint in enumerate(dict.fromkeys(add.hook for add in one.adds), 1)}
        said = [(numbers[add.hook], "add", add.stream_id, add.claim_ms, add.body) for add in one.adds]
        said += [(0, "done", stream_id, 0, b"") for stream_id in one.done]
        changes += [dict(zip(("lane", "what", "id", "claim_ms", "body"), change, strict=True)) for change in said]
        most = {FIRST: room, SECOND: 40 + one.partition}
        lanes += [
            {"hook": endpoint, "waiting_max": most[endpoint]} | lane(one.partition, endpoint) for endpoint in numbers
        ]
        partitions.append(
            {
                "card": KEYS.group(one.partition, GROUP),
                "hooked": KEYS.hooked(one.partition),
                "token": one.token,
                "before": one.before.encode(),
                "at": one.at.encode(),
                "lanes": len(numbers),
                "changes": len(said),
            }
        )
    return {"head": [head], "partition": partitions, "lane": lanes, "change": changes}


async def fetch(server: Recorder) -> list[Call]:
    """Takes what may be sent: on one server all in one call, in a cluster of each partition in a call of its own. Then
    where nothing waits."""
    calls: list[Call] = []
    for first in (FIRST, "wh_none"):
        asked = [(3, first, 2, 5_000), (3, SECOND, 0, 7_000), (0, first, 1, 5_000)]
        for some in [asked] if server.route.one_server else [asked[:2], asked[2:]]:
            await Deliveries(server, KEYS).fetch(some)
            lanes = [
                lane(where, which) | {"hooked": KEYS.hooked(where), "hook": which, "room": room, "claim_ms": ms}
                for where, which, room, ms in some
            ]
            calls.append({"head": [{"bytes_max": HOOK_READ_BYTES_MAX}], "lane": lanes})
    return calls


async def sent(server: Recorder) -> list[Call]:
    """Writes down what became of deliveries, of two partitions in turn."""
    rounds = [
        [
            Sent(3, FIRST, "2-0", "again", CLAIMED_MS, 5, b"{}"),
            Sent(0, FIRST, "2-0", "fail", CLAIMED_MS, 0, b"{}"),
            Sent(3, FIRST, "1-0", "back", 1, 5),
        ],
        [
            Sent(3, FIRST, "2-0", "fail", 1, 0, b"{}", b"{}", 4),
            Sent(0, SECOND, "2-0", "ok", 1, 0, b"", b"{}", 12),
            Sent(3, FIRST, "1-0", "ok", 1, 0, b"", b"{}", 12),
        ],
    ]
    calls: list[Call] = []
    for outcomes in rounds:
        by_place = [[one for one in outcomes if one.partition == partition] for partition in (3, 0)]
        for some in [outcomes] if server.route.one_server else by_place:
            await Deliveries(server, KEYS).sent(some)
            calls.append(_sent([place for place in by_place if place[0] in some]))
    return calls


def _sent(by_lane: list[list[Sent]]) -> Call:
    names = ("id", "what", "until", "due_ms", "tries", "result", "took_ms")
    return {
        "head": [{"results_max": HOOK_RESULTS_MAX, "failed_max": HOOK_FAILED_MAX, "bytes_max": HOOK_BYTES_MAX}],
        "lane": [lane(some[0].partition, some[0].hook) | {"outcomes": len(some)} for some in by_lane],
        "outcome": [dict(zip(names, astuple(one)[2:], strict=True)) for some in by_lane for one in some],
    }


async def resend(server: Recorder) -> list[Call]:
    """Has deliveries sent again: one that was given up, one that waits, and one that is said anew; and drops them."""
    some = [("3-0", b""), ("2-0", b""), ("9-0", b"{}")]
    for what in ("again", "drop"):
        await Deliveries(server, KEYS).resend(3, FIRST, what, some)
    return [
        {
            "head": [{"hooked": KEYS.hooked(3)} | lane(3, FIRST) | {"hook": FIRST, "what": what}],
            "delivery": [{"id": stream_id, "body": body} for stream_id, body in some],
        }
        for what in ("again", "drop")
    ]


async def deliveries(server: Recorder) -> list[Call]:
    """Looks at some deliveries, of which one is not there; and at none."""
    calls: list[Call] = []
    for ids in (["1-0", "3-0", "9-0"], list[str]()):
        await Deliveries(server, KEYS).known_of(3, FIRST, ids)
        calls.append({"head": [lane(3, FIRST) | {"id": ids}]})
    return calls


async def waiting(server: Recorder) -> list[Call]:
    """Looks at lanes: on one server at all in one call, in a cluster at each partition's in a call of its own."""
    lanes = [(3, FIRST), (3, SECOND), (0, FIRST)]
    together = [lanes] if server.route.one_server else [lanes[:2], lanes[2:]]
    await Deliveries(server, KEYS).listed_anywhere(lanes)
    return [{"head": [{}], "lane": [lane(*one) for one in some]} for some in together]


async def hook(server: Recorder) -> list[Call]:
    """Does with endpoints all that can be done; the first is put there twice, in a call of its own each time."""
    known = Hooks(server, KEYS)
    said = [
        ("put", "wh_new", b"{}", b""),
        ("put", "wh_new", b"{}", b""),
        ("put", FIRST, b'{"url":""}', b"5 {}"),
        ("off", FIRST, b"why", b""),
        ("off", FIRST, b"why", b"1"),
        ("on", SECOND, b"", b""),
        ("ring", FIRST, b"", b""),
        ("del", SECOND, b"", b""),
    ]
    numbers = map("{:016x}".format, itertools.count())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("interrupts.store.hooks.secrets.token_hex", lambda _: next(numbers))
        for what, endpoint, text, before in said:
            match what:
                case "put":
                    await known.put(endpoint, text, before)
                case "off":
                    await known.switch_off(endpoint, text.decode(), int(before) if before else None)
                case "on":
                    await known.switch_on(endpoint)
                case "ring":
                    await known.ring(endpoint)
                case "del":
                    await known.remove(endpoint)
    names = ("said", "what", "id", "text", "before", "most")
    return [
        {"head": [REGISTERED | dict(zip(names, (f"{KEYS.hooks}:said:{number:016x}", *one, HOOKS_MAX), strict=True))]}
        for number, one in enumerate(said)
    ]


async def hooks(server: Recorder) -> list[Call]:
    """Asks for all, and for what has changed since one number and since another."""
    known = (None, 1, 2)
    for number in known:
        await Hooks(server, KEYS).changes(number)
    return [{"head": [REGISTERED | {"known": "" if number is None else str(number)}]} for number in known]
