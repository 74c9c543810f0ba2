"""What else hears of moved deadlines and marks: views, `verify`, ports; and how many a deadline may be moved."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interrupts import ConflictError, InterruptService, connect
from interrupts.commands import Mark
from projections import PROJECTIONS
from projections.verify import verify
from tests.conftest import World, until_expired, whole_log
from tests.following import fold_all
from tests.raw import folded, raw
from tests.waiting import YES, ask, types

LONG = timedelta(hours=2)
SHORT = timedelta(milliseconds=1)


async def mark_all(service: InterruptService, interrupt_id: str, groups: int = 2) -> None:
    """As those do who go on with what has ended."""
    for number in range(groups):
        for done in (False, True):
            await service.execution.carry_out(Mark(interrupt_id, f"{number} {done}", f"g{number}", done))


async def lived(service: InterruptService) -> list[str]:
    """Interrupts of all sorts, extended and not, ended and marked; the ids of those that are pending."""
    pending = []
    for session in ("s0", "s1", "s2"):
        made = [await ask(service, session) for _ in range(5)]
        made.append(await ask(service, session, auto_expire=False))
        late = await ask(service, session, ttl_seconds=0.2)
        for one in (*made, late):
            await service.extend(one.id, LONG if one is not late else timedelta(seconds=0.3))
        await service.extend(made[0].id, 2 * LONG)
        await service.respond(made[1].id, YES)
        await service.cancel(made[2].id)
        await service.respond(made[5].id, YES)
        await until_expired(service, late.id)
        await service.expire_pending()
        for one in (made[1], made[2], made[5], late):
            await mark_all(service, one.id)
        await mark_all(service, made[3].id)  # pending: not marked
        pending += [made[0].id, made[3].id, made[4].id]
    return pending


def test_views_and_verify_are_equal_after_extensions_and_marks(url: str, namespace: str) -> None:
    """Interrupts, deadlines and views are what the log says; lists show each once, with its deadline as it now is."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            pending = await lived(service)
            await folded(service, PROJECTIONS)
            found = await verify(service)
            assert (found.equal, found.differences) == (True, [])
            assert found.events == len(await whole_log(service))
            listed = await service.list_pending(wait=False)
            assert sorted(one.id for one in listed) == sorted(pending)
            assert listed == [await service.get_interrupt(one.id) for one in listed]
            for session in ("s0", "s1", "s2"):
                assert len(await service.list_closed(session, wait=False)) == 4
            counted = await service.counts(wait=False)
            assert counted.overdue == 0

    asyncio.run(main())


def test_views_that_are_folded_event_by_event_are_the_same(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch of one event, extensions, marks and what is published among them."""
    monkeypatch.setattr("projections.follower.FOLD_EVENTS_MAX", 1)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await lived(service)
            await service.publish("a.b.c", session_id="s0")
            await service.cancel((await ask(service)).id)
            await fold_all(service, PROJECTIONS)
            assert (await verify(service)).differences == []

    asyncio.run(main())


@pytest.mark.parametrize("enforced", [True, False])
def test_verify_finds_a_deadline_that_was_not_moved(url: str, namespace: str, enforced: bool) -> None:
    """One that stands as it was before the extension, or that should not stand there, is a difference."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            asked = await ask(service, auto_expire=enforced)
            await service.extend(asked.id, LONG)
            await folded(service, PROJECTIONS)
            assert (await verify(service)).equal
            await raw(service, "ZADD", service.store.keys.deadlines[0], 1_795_183_541_100, asked.id)
            found = await verify(service)
            assert found.different == 1

    asyncio.run(main())


def test_ports_hear_of_a_moved_deadline_and_not_of_marks(url: str, namespace: str) -> None:
    """The database gets the new deadline, the trace the event; a webhook hears of neither."""
    world = World()

    async def main() -> None:
        async with connect(url, namespace=namespace, **world.ports()) as service:
            asked = await ask(service)
            moved = await service.extend(asked.id, LONG, command_id="c")
            assert await service.extend(asked.id, LONG, command_id="c") == moved
            assert moved is not None
            before = len(world.told)
            row: dict[str, Any] = moved.to_db_row()
            changed = {name: row[name] for name in ("expires_at", "version", "position")}
            assert ("update", "flow_interrupts", changed, {"id": asked.id}) in world.told
            assert [told[1] for told in world.told if told[0] == "otel"] == ["interrupt.created", "interrupt.extended"]
            assert world.announced() == ["interrupt.confirmation_needed"]
            await service.respond(asked.id, YES)
            answered = len(world.told)
            await mark_all(service, asked.id)
            assert len(world.told) == answered == before + 3

    asyncio.run(main())


def test_a_database_that_reads_what_it_is_told_ends_with_the_interrupt(namespace: str) -> None:
    """A row made of the insertion and all updates is the interrupt's row."""
    world = World()

    async def main() -> None:
        async with connect("memory://", namespace=namespace, db=world) as service:
            asked = await ask(service)
            await service.extend(asked.id, LONG)
            await service.extend(asked.id, 2 * LONG)
            row: dict[str, Any] = {}
            for told in world.told:
                row |= told[2]
            now = await service.get_interrupt(asked.id)
            assert now is not None
            assert row == now.to_db_row()
            answered = await service.respond(asked.id, YES)
            assert answered is not None
            assert row | world.told[-1][2] == answered.to_db_row()

    asyncio.run(main())


def test_a_deadline_may_be_moved_until_only_the_room_for_the_end_is_left(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is refused as full, and the interrupt is answered, marked, and expired as any other."""
    monkeypatch.setattr("interrupts.decide.EVENTS_KEPT_FOR_THE_END", 995)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            asked, late = await ask(service), await ask(service, ttl_seconds=1)
            for number in range(1, 5):
                await service.extend(asked.id, number * LONG)
                await service.extend(late.id, ttl_seconds=1 + number / 10, command_id=f"{number}")
            for one in (asked, late):
                with pytest.raises(ConflictError) as full:
                    await service.extend(one.id, 9 * LONG)
                assert full.value.code == "full"
            assert await service.extend(late.id, ttl_seconds=1.4, command_id="4") == await service.get_interrupt(
                late.id
            )
            await service.respond(asked.id, YES)
            await mark_all(service, asked.id)
            await until_expired(service, late.id)
            assert await service.expire_pending() == 1
            assert (await types(service, asked.id))[4:6] == ["interrupt.extended", "interrupt.resolved"]
            assert len(await types(service, asked.id)) == 10
            await folded(service, PROJECTIONS)
            assert (await verify(service)).differences == []

    asyncio.run(main())
