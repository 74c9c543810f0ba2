"""Verifying: what is equal is said to be, at rest and under load; each sort of damage is found, and named."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interrupts import FlowInterrupt, InterruptService, connect
from projections import PROJECTIONS
from projections.verify import verify
from tests.conftest import whole_log
from tests.folding import YES, populate
from tests.only_folding import running
from tests.raw import folded, live_key, raw
from tests.servers import RedisServer, until

COUNTED = "counted"
GHOST = "1b0e" + "0" * 28
ROUNDS = 4


def test_all_is_equal_after_all_sorts_of_work(url: str, namespace: str) -> None:
    """Created, answered, called off, expired, overdue: each event, key and interrupt is looked at, and none differs."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=3) as service:
            there = await populate(service)
            await folded(service, PROJECTIONS)
            found = await verify(service)
            assert (found.equal, found.different, found.differences) == (True, 0, [])
            assert found.events == len(await whole_log(service))
            assert found.interrupts == len([*there.pending, *there.closed, *there.overdue])
            keys = [await raw(service, "KEYS", f"{{{namespace}:*{what}") for what in (":view:*:*:*", ":rate:*")]
            assert found.keys == sum(map(len, keys)) > 20

    asyncio.run(main())


def test_under_load_nothing_differs(url: str, namespace: str) -> None:
    """What comes while it compares is never taken for a difference, and is compared, too."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=2) as others,
            connect(url, namespace=namespace) as service,
            running(service),
        ):
            await populate(others, 20)
            written, ended = 0, False

            async def churn(number: int) -> None:
                nonlocal written
                while not ended:
                    made = [await others.create_confirmation("r", "u", f"s{n}", "?") for n in range(4)]
                    await others.respond(made[number].id, YES)
                    await others.cancel(made[number - 1].id)
                    written += 6

            churning = [asyncio.create_task(churn(number)) for number in range(3)]
            for _ in range(ROUNDS):
                seen = written
                found = await verify(service)
                assert found.differences == []
                assert found.interrupts >= seen // 3
                await until(lambda seen=seen: written > seen, "others write")  # type: ignore[misc]
            ended = True
            await asyncio.gather(*churning)

    asyncio.run(main())


Made = dict[str, FlowInterrupt]
Seen = tuple[str, str, str | None, str | None, str | None]
"""what, key, member, expected, found"""
Blow = Callable[[InterruptService, Made], Awaitable[list[Seen]]]


def in_view(view: str, key: str, command: str, *arguments: Any, seen: list[tuple[Any, Any, Any]]) -> Blow:
    """A command on a key of a view; of the words `a` to `d` is made the id of that interrupt."""

    async def blow(service: InterruptService, made: Made) -> list[Seen]:
        def named(value: Any) -> Any:
            return made[value].id if value in made else value

        await raw(service, command, await live_key(service, view, key), *map(named, arguments))
        return [(f"view {view}", key, named(member), *rest) for member, *rest in seen]

    return blow


def on_interrupt(command: str, *arguments: Any, seen: tuple[Any, Any, Any] | None, name: str = "a") -> Blow:
    """A command on an interrupt's key; `P` in what is expected is its head."""

    async def blow(service: InterruptService, made: Made) -> list[Seen]:
        key = service.store.keys.interrupt(made[name].id)
        head = (await raw(service, "GET", key)).partition(b"\n")[0].decode()
        await raw(service, command, key, *arguments)
        member, expected, found = seen or (None, None, None)
        return [("interrupt", made[name].id, member, head if expected == "P" else expected, found)]

    return blow


async def a_ghost_s_key(service: InterruptService, _: Made) -> list[Seen]:
    """An interrupt that nobody created."""
    await raw(service, "SET", service.store.keys.interrupts[0] + GHOST, "1p\n1-0 []\n")
    return [("interrupt", GHOST, "head", None, "1p")]


async def another_message(service: InterruptService, made: Made) -> list[Seen]:
    """The words in an interrupt's key are not those of the log."""
    key = service.store.keys.interrupt(made["a"].id)
    text = await raw(service, "GET", key)
    await raw(service, "SET", key, text.replace(b"Which?", b"Witch?"))
    return [("interrupt", made["a"].id, "events", "checksum", "checksum")]


def on_deadline(command: str, name: str, *score: int, expected: Any, found: str | None) -> Blow:
    """A command on the deadlines; `D` in what is expected is the deadline."""

    async def blow(service: InterruptService, made: Made) -> list[Seen]:
        member = made[name].id if name in made else name
        deadline = await raw(service, "ZSCORE", service.store.keys.deadlines[0], member)
        await raw(service, command, service.store.keys.deadlines[0], *score, member)
        return [("deadline", member, None, f"{float(deadline):.0f}" if expected == "D" else expected, found)]

    return blow


PENDING, CLOSED, COUNTS = "pending", "closed", "counts"
BLOWS: dict[str, Blow] = {
    "a member is gone": in_view(PENDING, "user:u", "ZREM", "a", seen=[("a", "1", None)]),
    "a member too many": in_view(PENDING, "session:s", "ZADD", 9, "b", seen=[("b", None, "9")]),
    "a ghost of a member": in_view(PENDING, "user:u", "ZADD", 0, GHOST, seen=[(GHOST, None, "0")]),
    "a wrong score": in_view(PENDING, "request:r", "ZADD", 7, "c", seen=[("c", "3", "7")]),
    "a key is gone": in_view(PENDING, "user:u", "DEL", seen=[(None, "a zset of 2", None)]),
    "a key too many": in_view(PENDING, "user:x", "ZADD", 1, "a", seen=[("a", None, "1")]),
    "text for a set": in_view(PENDING, "user:u", "SET", "x", seen=[(None, "a zset of 2", "a string")]),
    "a text too many": in_view(CLOSED, "user:u", "SET", "x", seen=[(None, None, "a string")]),
    "two closed, swapped": in_view(
        CLOSED, "session:s", "ZADD", 6, "b", 5, "d", seen=[("b", "5", "6"), ("d", "6", "5")]
    ),
    "a wrong count": in_view(
        COUNTS, COUNTED, "HINCRBY", "clarification:pending", 1, seen=[("clarification:pending", "1", "2")]
    ),
    "a count is gone": in_view(
        COUNTS, COUNTED, "HDEL", "confirmation:resolved", seen=[("confirmation:resolved", "1", None)]
    ),
    "a count too many": in_view(COUNTS, COUNTED, "HSET", "x:y", 0, seen=[("x:y", None, "0")]),
    "all counts are gone": in_view(COUNTS, COUNTED, "DEL", seen=[(None, "a hash of 5", None)]),
    "an interrupt is gone": on_interrupt("DEL", seen=("head", "P", None)),
    "an interrupt's version": on_interrupt("SETRANGE", 0, "2", seen=("head", "P", "2")),
    "an interrupt's status": on_interrupt("SETRANGE", 1, "p", seen=("head", "2r", "2p"), name="b"),
    "an interrupt cut short": on_interrupt("SET", "2r\n", seen=("events", "checksum", "checksum"), name="b"),
    "an interrupt too many": a_ghost_s_key,
    "an interrupt's words": another_message,
    "a deadline is gone": on_deadline("ZREM", "a", expected="D", found=None),
    "a deadline too early": on_deadline("ZADD", "a", 5, expected="D", found="5"),
    "a deadline too many": on_deadline("ZADD", "b", 5, expected=None, found="5"),
    "a deadline of a ghost": on_deadline("ZADD", GHOST, 5, expected=None, found="5"),
    "a deadline of no id": on_deadline("ZADD", "x", 5, expected=None, found="5"),
}


@pytest.mark.parametrize("blow", BLOWS)
def test_each_damage_is_found_and_named(shared_server: RedisServer, namespace: str, blow: str) -> None:
    """Exactly what was done is told: in which key, for which member, what it should be and what it is."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            made = {
                "a": await service.create_clarification("r", "u", "s", "Which?"),
                "b": await service.create_confirmation("r", "u", "s", "Go on?"),
                "c": await service.create_checkpoint("r", "u", "s"),
                "d": await service.create_checkpoint("r", "u", "s"),
            }
            await service.respond(made["b"].id, YES)
            await service.cancel(made["d"].id)
            await folded(service, PROJECTIONS)
            expected = await BLOWS[blow](service, made)
            told: list[Any] = []
            found = await verify(service, tell=told.append)
            seen = []
            for one in found.differences:
                checksums = one.member == "events"
                told_of = ("checksum", "checksum") if checksums else (one.expected, one.found)
                assert not checksums or one.expected != one.found
                seen.append((one.what, one.key, one.member, *told_of))
                assert (one.partition, one.position.partition(":")[0]) == (0, "0")
                for fact in (one.what, one.key, one.member or "", one.expected or "nothing", one.found or "nothing"):
                    assert fact in str(one)
            head = expected[0]
            if head[2] == "head" and head[4] == "2":  # the deadline behind the version is as it was
                seen = [(*seen[0][:4], (seen[0][4] or "")[:1])]
            assert sorted(map(str, seen)) == sorted(map(str, expected))
            assert (found.equal, found.different, told) == (False, len(expected), found.differences)

    asyncio.run(main())
