"""Moving a deadline: to later only, once for each command, and whatever meets it, there is one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from interrupts import AuthorizationError, ConflictError, InterruptService, InterruptStatus, connect
from interrupts.errors import InterruptsError, ValidationError
from interrupts.store.lanes import Command, Lanes, UnreachableError
from interrupts.store.log import APPEND
from tests.conftest import World, until_expired, whole_log
from tests.waiting import YES, ask, types

SHORT = timedelta(milliseconds=1)
LONG = timedelta(hours=2)


async def deadline_ms(service: InterruptService, interrupt_id: str) -> float | None:
    """When the interrupt is to be expired, as it stands among the deadlines."""
    keys = service.store.keys
    partition = keys.partition_of_id(interrupt_id)
    score = await service.store.server.command(keys.slots[partition], "ZSCORE", keys.deadlines[partition], interrupt_id)
    return None if score is None else float(score)


def ms(time: datetime | None) -> int:
    """As the deadlines have it."""
    assert time is not None
    return round(time.timestamp() * 1000)


def test_an_extended_interrupt_waits_until_its_new_deadline(url: str, namespace: str) -> None:
    """So long from the event on, in what is returned, what is read, the history and the deadlines; past the first one
    it is answered as if nothing were."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked, clock = await ask(service, ttl_seconds=0.5), await ask(service, ttl_seconds=0.5)
            moved = await service.extend(asked.id, LONG, "u", actor="bot")
            assert moved is not None
            _, extended = await service.history(asked.id)
            assert (extended.type, extended.version, extended.actor) == ("interrupt.extended", 2, "bot")
            assert (moved.expires_at, moved.version) == (extended.at + LONG, 2)
            assert (moved.position, moved.status) == (extended.position, InterruptStatus.PENDING)
            assert await deadline_ms(service, asked.id) == ms(moved.expires_at)
            await until_expired(service, clock.id)
            assert await service.expire_pending() == 1
            assert await service.get_interrupt(asked.id) == moved
            answered = await service.respond(asked.id, YES, expected_version=2)
            assert answered is not None
            assert (answered.version, answered.expires_at) == (3, moved.expires_at)
            assert await deadline_ms(service, asked.id) is None

    asyncio.run(main())


def test_it_expires_at_the_deadline_to_which_it_was_moved(url: str, namespace: str) -> None:
    """Reads as expired, refuses answers and further time, and is written down once, after the new deadline."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service, ttl_seconds=0.4)
            moved = await service.extend(asked.id, ttl_seconds=0.5)
            assert moved is not None
            await until_expired(service, asked.id)
            for _ in range(2):
                with pytest.raises(ConflictError) as lost:
                    await service.extend(asked.id, LONG, command_id="c")
                assert (lost.value.code, lost.value.interrupt) == ("expired", await service.get_interrupt(asked.id))
            _, _, expired = await service.history(asked.id)
            assert moved.expires_at is not None
            assert expired.type == "interrupt.expired"
            assert expired.at >= moved.expires_at
            assert await deadline_ms(service, asked.id) is None

    asyncio.run(main())


def test_a_deadline_that_is_only_shown_is_moved_and_still_only_shown(url: str, namespace: str) -> None:
    """`auto_expire=False`: the new one is read, even after the first has passed, and is among no deadlines."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            shown = await ask(service, ttl=SHORT, auto_expire=False)
            await until_expired(service, (await ask(service, ttl=SHORT)).id)
            moved = await service.extend(shown.id, timedelta(milliseconds=2))
            assert moved is not None
            assert shown.expires_at is not None
            assert moved.expires_at is not None
            assert moved.expires_at > shown.expires_at
            assert await deadline_ms(service, shown.id) is None
            await until_expired(service, (await ask(service, ttl=timedelta(milliseconds=3))).id)
            await service.expire_pending()
            assert await service.get_interrupt(shown.id) == moved
            answered = await service.respond(shown.id, YES)
            assert answered is not None
            assert answered.status is InterruptStatus.RESOLVED

    asyncio.run(main())


def test_the_same_command_extends_once(url: str, namespace: str) -> None:
    """Repeated at once, later, and after the end: no second event. With another body it is refused."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = await ask(one)
            calls = (service.extend(asked.id, LONG, command_id="c") for service in (one, two) for _ in range(5))
            moved, *again = await asyncio.gather(*calls)
            assert again == [moved] * 9
            others: list[Any] = [
                *(two.extend(asked.id, LONG + SHORT, command_id="c"), one.cancel(asked.id, command_id="c")),
                *(one.extend(asked.id, LONG, command_id="c", actor="bot"), one.respond(asked.id, YES, command_id="c")),
            ]
            for refused in await asyncio.gather(*others, return_exceptions=True):
                assert isinstance(refused, ConflictError)
                assert (refused.code, refused.interrupt) == ("idempotency", moved)
            answered = await two.respond(asked.id, YES, command_id="a")
            assert await one.extend(asked.id, LONG, command_id="c") == answered
            with pytest.raises(ConflictError) as lost:
                await one.extend(asked.id, LONG, command_id="d")
            assert (lost.value.code, lost.value.interrupt) == ("resolved", answered)
            assert await types(one, asked.id) == [f"interrupt.{what}" for what in ("created", "extended", "resolved")]

    asyncio.run(main())


REFUSED: list[tuple[dict[str, Any], type[InterruptsError], str | None]] = [
    ({"ttl": LONG, "user_id": "bob"}, AuthorizationError, None),
    ({"ttl": LONG, "expected_version": 2}, ConflictError, None),
    ({"ttl": timedelta(minutes=59)}, ValidationError, "ttl"),
    ({}, ValidationError, "ttl"),
    ({"ttl": LONG, "ttl_seconds": 7_200}, ValidationError, "ttl"),
    ({"ttl": 7_200}, ValidationError, "ttl"),
    ({"ttl": timedelta(0)}, ValidationError, "ttl"),
    ({"ttl_seconds": -1}, ValidationError, "ttl_seconds"),
    ({"ttl_seconds": float("nan")}, ValidationError, "ttl_seconds"),
    ({"ttl": timedelta.max}, ValidationError, "ttl"),
    ({"ttl": LONG, "expected_version": -1}, ValidationError, "expected_version"),
    ({"ttl": LONG, "command_id": ""}, ValidationError, "command_id"),
    ({"ttl": LONG, "actor": 7}, ValidationError, "actor"),
]


@pytest.mark.parametrize(("options", "error", "field"), REFUSED)
def test_what_can_not_be_extended_so_is_left_as_it_is(
    namespace: str, options: dict[str, Any], error: type[InterruptsError], field: str | None
) -> None:
    """Another user, another version, an earlier deadline, no time: refused by name, and nothing is written."""

    async def main() -> None:
        async with connect("memory://", namespace=namespace) as service:
            asked = await ask(service)
            with pytest.raises(error) as refused:
                await service.extend(asked.id, **options)
            assert getattr(refused.value, "field", None) == field
            assert await service.get_interrupt(asked.id) == asked
            given: Any = asked
            with pytest.raises(ValidationError, match="the interrupt's id"):
                await service.extend(given, LONG)
            assert await service.extend("1b0e" + "0" * 28, LONG) is await service.extend("?", LONG) is None
            checkpoint = await service.create_checkpoint("r", "u", "s")
            with pytest.raises(ValidationError, match="no deadline"):
                await service.extend(checkpoint.id, LONG)
            assert len(await whole_log(service)) == 2

    asyncio.run(main())


def test_lost_replies_extend_once(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second reply to an append is lost after it ran: one event, one telling, and the caller has won."""
    call, appends = Lanes.call, [0]
    world = World()

    async def losing(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        replies = await call(lanes, commands, timeout_s)
        if commands[0][1:2] and commands[0][1] in (APPEND.sha, APPEND.text):
            appends[0] += 1
            if appends[0] % 2:
                raise UnreachableError("the reply was lost", sent=True)
        return replies

    async def main() -> None:
        async with connect(url, namespace=namespace, db=world) as service:
            asked = await ask(service)
            monkeypatch.setattr(Lanes, "call", losing)
            for number in range(1, 4):
                moved = await service.extend(asked.id, number * LONG)
                assert moved is not None
                assert moved.version == number + 1
                assert await service.get_interrupt(asked.id) == moved
            monkeypatch.undo()
            assert len(await whole_log(service)) == 4

    asyncio.run(main())
    assert [told[0] for told in world.told] == ["insert", "update", "update", "update"]
