"""Marks: an interrupt's history says when its end was handed over and when its handler was done; nobody hears of it."""

from __future__ import annotations

import pytest

from interrupts import InterruptResponse, InterruptService, connect
from projections.verify import verify
from tests.reacting import parked, reacting, run, until_settled
from tests.waiting import types
from workers import Event, running

MARKED = ["interrupt.delivered", "interrupt.acknowledged"]


async def ended(service: InterruptService, how: str) -> str:
    """An interrupt that has come to this end."""
    pause = await service.create_confirmation("r", "u", "s", "Go on?", ttl_seconds=0.05 if how == "expired" else 60)
    if how == "resolved":
        await service.respond(pause.id, InterruptResponse(approved=True))
    elif how == "cancelled":
        await service.cancel(pause.id, "no")
    else:
        while not await service.expire_pending():
            pass
    return pause.id


@pytest.mark.parametrize("how", ["resolved", "cancelled", "expired"])
def test_handing_over_and_the_handlers_end_are_marked_once_each(url: str, namespace: str, how: str) -> None:
    """However often the handler is called; with the name of the group."""

    async def main() -> None:
        attempts = list[int]()

        async def resume(event: Event) -> None:
            attempts.append(event.attempt)
            seen = [one.type for one in await service.history(event.interrupt_id)]
            assert seen == ["interrupt.created", f"interrupt.{how}", "interrupt.delivered"]
            if event.attempt < 3:
                raise ValueError("not yet")

        async with connect(url, namespace=namespace, partitions=2) as service:
            async with reacting(service, resume, f"interrupt.{how}", group="resume", resumes=True):
                interrupt_id = await ended(service, how)
                await until_settled(service, "resume")
            assert attempts == [1, 2, 3]
            assert await types(service, interrupt_id) == ["interrupt.created", f"interrupt.{how}", *MARKED]
            delivered, acknowledged = (await service.history(interrupt_id))[2:]
            assert (delivered.actor, acknowledged.actor) == ("resume", "resume")
            now = await service.get_interrupt(interrupt_id)
            assert now is not None
            assert now.status.value == how

    run(main())


def test_what_is_parked_was_handed_over_and_not_acknowledged() -> None:
    """That is how one can see it in the history."""

    async def main() -> None:
        def fails(_: Event) -> None:
            raise ValueError("no")

        async with connect("memory://", partitions=2) as service:
            async with reacting(service, fails, "interrupt.*", group="resume", resumes=True, attempts_max=2):
                interrupt_id = await ended(service, "resolved")
                await until_settled(service, "resume", parked_count=2)
            assert len(await parked(service, "resume")) == 2  # its creation, and its end
            assert (await types(service, interrupt_id))[2:] == ["interrupt.delivered"]

    run(main())


def test_nobody_hears_of_marks_and_nothing_else_is_marked(url: str, namespace: str) -> None:
    """`*` would feed itself; neither a creation nor what was published is resumed."""

    async def main() -> None:
        heard = list[str]()

        def note(event: Event) -> None:
            heard.append(event.event_type)

        async with connect(url, namespace=namespace, partitions=2) as service:
            async with (
                reacting(service, note, "*", "interrupt.*", group="all", resumes=True),
                reacting(service, lambda _: None, "interrupt.resolved", group="resume", resumes=True) as bus,
            ):
                interrupt_id = await ended(service, "resolved")
                await bus.publish("a.b.c", session_id="s")
                await until_settled(service, "all")
                await until_settled(service, "resume")
                await until_settled(service, "all")
            assert sorted(heard) == ["a.b.c", "interrupt.created", "interrupt.resolved"]
            assert sorted(await types(service, interrupt_id)) == sorted(
                ["interrupt.created", "interrupt.resolved", *MARKED, *MARKED]
            )

    run(main())


def test_a_group_that_resumes_nothing_marks_nothing() -> None:
    """Marks are for those that say so."""

    async def main() -> None:
        async with connect("memory://", partitions=2) as service:
            async with reacting(service, lambda _: None, "interrupt.*"):
                interrupt_id = await ended(service, "cancelled")
                await until_settled(service, "g")
            assert await types(service, interrupt_id) == ["interrupt.created", "interrupt.cancelled"]

    run(main())


def test_views_are_what_the_log_says_with_marks_and_published_events_in_it(url: str, namespace: str) -> None:
    """`verify` finds no difference, and the lists show what they showed."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, running(service, expiry=False):
            async with reacting(service, lambda _: None, "*", resumes=True) as bus:
                closed = [await ended(service, how) for how in ("resolved", "cancelled")]
                await bus.publish("a.b.c", session_id="s")
                still = await service.create_confirmation("r", "u", "s", "And now?")
                await until_settled(service, "g")
                assert [one.id for one in await service.list_closed("s")] == closed[::-1]
                assert [one.id for one in await service.list_pending(session_id="s")] == [still.id]
            assert (await types(service, closed[0]))[2:] == MARKED
            verified = await verify(service)
            assert verified.equal, verified.differences

    run(main())
