"""Deadlines that can't be served: told once, passed over, in nobody's way, and served as soon as they are mended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from interrupts import FlowInterrupt, InterruptService, connect
from interrupts.errors import InterruptsError
from interrupts.store.log import Appended, AppendItem
from tests.conftest import World, until_expired
from tests.raw import raw
from tests.servers import sessions
from tests.waiting import YES, ask, run, types

SHORT = timedelta(milliseconds=1)
EXPIRED = ["interrupt.created", "interrupt.expired"]
HANGS_S = 15
"""What takes so long has no end; it takes milliseconds."""


async def late(service: InterruptService, session: str = "s", **options: Any) -> FlowInterrupt:
    """One whose deadline has passed."""
    asked = await ask(service, session, ttl=SHORT, **options)
    await until_expired(service, asked.id)
    return asked


async def expire(service: InterruptService) -> int:
    """`expire_pending`, if it comes to an end."""
    return await asyncio.wait_for(service.expire_pending(), HANGS_S)


def complaints(world: World, interrupt_id: str | None = None) -> int:
    """How often an operator was told that one, or any, can't be expired."""
    told = [fields for level, _, fields in world.lines if level == "error"]
    return sum(interrupt_id in (None, fields.get("interrupt_id")) for fields in told)


def head_is(head: bytes) -> Callable[[bytes], bytes]:
    """Another first line."""
    return lambda there: head + there[there.index(b"\n") :]


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "missing": lambda _: None,
    "empty": lambda _: b"",
    "cut off": lambda there: there[: len(there) // 2],
    "no lines": lambda there: there[: there.index(b"\n") + 1],
    "a newer event": lambda there: there.replace(b"interrupt.created", b"interrupt.imagined"),
    "content of another form": lambda there: there.replace(b'"message":', b'"message":7,"x":'),
    "a published event": lambda _: b'1p1\n1-0 ["published","a.b.c","s","","",{},{}]\n',
    "a version that is not its own": lambda there: head_is(b"7" + there[1 : there.index(b"\n")])(there),
    "no deadline in its head": head_is(b"1p"),
    "a later deadline in its head": head_is(b"1p9999999999999"),
    "a head that is none": head_is(b"what"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_interrupt_is_passed_over_until_it_is_mended(url: str, namespace: str, damage: str) -> None:
    """It is told once however often one expires, does not block those behind it, and is expired once it is mended."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            bad = await late(service)
            key = service.store.keys.interrupt(bad.id)
            there = await raw(service, "GET", key)
            damaged = DAMAGES[damage](there)
            await (raw(service, "DEL", key) if damaged is None else raw(service, "SET", key, damaged))
            for _ in range(3):
                good = await late(service)
                assert await expire(service) == 1
                assert await types(service, good.id) == EXPIRED
            assert complaints(world, bad.id) == complaints(world) == 1
            await raw(service, "SET", key, there)
            assert await expire(service) == 1
            assert await types(service, bad.id) == EXPIRED
            assert not service.expiry._stuck[0] or await expire(service) == 0
            assert complaints(world) == 1

    run(main())


def test_a_key_of_another_type_is_passed_over_until_it_is_mended(url: str, namespace: str) -> None:
    """A list where an interrupt should be: as any other damage. Damaged once more, it is told once more."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            bad = await late(service)
            key = service.store.keys.interrupt(bad.id)
            await raw(service, "RENAME", key, f"{key}:aside")
            await raw(service, "RPUSH", key, "x")
            good = await late(service)
            assert await expire(service) == 1
            assert await expire(service) == 0
            assert await types(service, good.id) == EXPIRED
            assert complaints(world, bad.id) == 1
            await raw(service, "RENAME", f"{key}:aside", key)
            assert await expire(service) == 1
            assert await types(service, bad.id) == EXPIRED

    run(main())


@pytest.mark.parametrize("state", ["answered", "not due", "not enforced", "expired", "of another partition"])
def test_a_deadline_of_what_must_not_expire_is_told_and_passed_over(url: str, namespace: str, state: str) -> None:
    """It stands there by mistake: nothing happens to that interrupt, and those behind it expire."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2, logger=world) as service:
            here, there = sessions(service)
            session = there if state == "of another partition" else here
            other = await ask(service, session, ttl=timedelta(hours=1), auto_expire=state != "not enforced")
            if state == "answered":
                await service.respond(other.id, YES)
            elif state == "expired":
                other = await late(service, here)
                assert await expire(service) == 1
            before = await types(service, other.id)
            await raw(service, "ZADD", service.store.keys.deadlines[0], 1, other.id)
            for _ in range(2):
                good = await late(service, here)
                assert await expire(service) == 1
                assert await types(service, good.id) == EXPIRED
            assert await types(service, other.id) == before
            assert complaints(world, other.id) == complaints(world) == 1

    run(main())


def test_more_damaged_ones_than_a_batch_has_block_nobody(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many stand before those that are due, and in whichever order they come: one call expires all that can."""
    monkeypatch.setattr("interrupts.expiry.EXPIRE_BATCH_MAX", 4)
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            good = []
            for number in range(30):
                made = await late(service)
                if number % 10 < 7:
                    await raw(service, "DEL", service.store.keys.interrupt(made.id))
                else:
                    good.append(made)
            assert await expire(service) == len(good) == 9
            assert await expire(service) == 0
            assert complaints(world) == 21
            assert [await types(service, one.id) for one in good] == [EXPIRED] * 9

    run(main())


def test_large_damaged_ones_block_nobody(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be read may be more than one round reads: those behind it expire all the same."""
    monkeypatch.setattr("interrupts.expiry.EXPIRE_BYTES_MAX", 1_000)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            for _ in range(6):
                bad = await late(service)
                await raw(service, "SET", service.store.keys.interrupt(bad.id), "x" * 900)
            good = [await late(service) for _ in range(3)]
            for _ in range(3):
                await expire(service)
            assert [await types(service, one.id) for one in good] == [EXPIRED] * 3

    run(main())


@pytest.mark.parametrize("what", ["deadlines", "log"])
def test_a_partition_that_can_not_be_read_does_not_block_the_others(url: str, namespace: str, what: str) -> None:
    """Its deadlines, or its log, are something else: that is said, or raised, and all others expire."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=3) as service:
            there = sessions(service)
            asked = [await late(service, session) for session in there for _ in range(3)]
            keys = service.store.keys
            key = keys.deadlines[1] if what == "deadlines" else keys.logs[1]
            await raw(service, "RENAME", key, f"{key}:aside", partition=1)
            await raw(service, "SET", key, "x", partition=1)
            for _ in range(2):
                with contextlib.suppress(InterruptsError):
                    await expire(service)
            for one in asked:
                if one.session_id != there[1]:
                    assert await types(service, one.id) == EXPIRED
            await raw(service, "RENAME", f"{key}:aside", key, partition=1)
            assert await expire(service) == 3
            assert [await types(service, one.id) for one in asked] == [EXPIRED] * 9

    run(main())


def test_a_refusal_that_passes_by_is_not_held_against_it(url: str, namespace: str) -> None:
    """The clock was set back between the look and the append: it is not due, then it is again, and is expired."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            asked = await late(service)
            there = await raw(service, "GET", service.store.keys.interrupt(asked.id))
            append_all = service.store.append_all

            async def too_early(items: Sequence[AppendItem]) -> list[Appended]:
                service.store.append_all = append_all  # type: ignore[method-assign]
                return [Appended(0, 1, there, 0, "", confirmed=True, again=False) for _ in items]

            service.store.append_all = too_early  # type: ignore[method-assign]
            assert sum([await expire(service) for _ in range(3)]) == 1
            assert await types(service, asked.id) == EXPIRED
            assert complaints(world) == 0

    run(main())
