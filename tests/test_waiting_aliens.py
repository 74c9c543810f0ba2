"""Waiting beside entries of the log that are no events."""

from __future__ import annotations

import asyncio

from interrupts import InterruptResponse, connect
from tests.conftest import World


def test_an_entry_that_is_no_event_does_not_make_those_who_wait_deaf(url: str, namespace: str) -> None:
    """It is passed over by the tail that all share; it is no fault of it."""

    async def main() -> None:
        world = World()
        async with (
            connect(url, namespace=namespace, partitions=1, logger=world) as service,
            connect(url, namespace=namespace) as other,
        ):
            asked = await other.create_clarification("r", "u", "s", "What?")
            waiting = asyncio.create_task(service.wait(asked.id))
            with_it = await other.create_clarification("r", "u", "s", "And what else?")
            beside = asyncio.create_task(service.wait(with_it.id))
            log = other.store.keys.logs[0]
            alien = await other.store.server.command(0, "XADD", log, "*", "x", "y", writes=True)
            await other.store.server.command(0, "XDEL", log, alien, writes=True)
            for one in (asked, with_it):
                await other.respond(one.id, InterruptResponse(text="this"))
            closed = await asyncio.wait_for(asyncio.gather(waiting, beside), 20)
            assert [one.id for one in closed] == [asked.id, with_it.id]
            assert [line for line in world.lines if line[1] == "interrupts.tail_fault"] == []

    asyncio.run(main())


def test_an_alien_entry_is_no_fault_while_it_is_there(url: str, namespace: str) -> None:
    """The tail has been sent it before it is removed."""

    async def main() -> None:
        world = World()
        async with connect(url, namespace=namespace, partitions=1, logger=world) as service:
            asked = await service.create_clarification("r", "u", "s", "What?")
            waiting = asyncio.create_task(service.wait(asked.id))
            await service.get_interrupt(asked.id)
            service._waiters._heard(0, [(b"1-0", [b"x", b"y"]), (b"1-1", [b"s", b"1", b"e", b'["'])])
            await service.respond(asked.id, InterruptResponse(text="this"))
            assert (await asyncio.wait_for(waiting, 20)).id == asked.id
            assert [line for line in world.lines if line[1] == "interrupts.tail_fault"] == []

    asyncio.run(main())
