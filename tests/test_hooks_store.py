"""What is registered of webhooks, as it is stored: one text for each endpoint, and a number for each change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interrupts import NotConfirmedError
from interrupts.keys import Keys
from interrupts.limits import HOOKS_MAX
from interrupts.store.hooks import MOVED, TOO_MANY, Change, Changes, Hooks
from interrupts.store.memory import memory_route
from interrupts.store.server import Confirmation, Server
from tests.endpoints import registered_in
from tests.lanes_clocked import START_MS, Clock
from tests.reacting import run


def test_an_endpoint_is_put_changed_and_taken_away(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there since it was first put, whatever else is put later; taken away and put again it is a new one."""
    clock = Clock(monkeypatch)

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            assert await hooks.changes() == Changes(0, True, [])
            assert await hooks.put("a", b"first text") == 1
            clock.ms += 5
            assert await hooks.put("b", b"") == 2
            assert await hooks.put("a", b"\xff second") == 3
            found = await hooks.changes()
            first, second = sorted(found.changes, key=lambda one: one.id)
            assert (found.rev, found.everything) == (3, True)
            assert first == Change("a", b"%d \xff second" % START_MS, "")
            assert (first.since_ms, first.text) == (START_MS, b"\xff second")
            assert second == Change("b", b"%d " % (START_MS + 5), "")
            assert (second.since_ms, second.text) == (START_MS + 5, b"")
            assert await hooks.remove("a") is True
            assert await hooks.remove("a") is False
            assert await hooks.there() == {"b": (b"", "")}
            assert await hooks.put("a", b"third") == 5
            (change,) = (await hooks.changes(4)).changes
            assert (change.since_ms, change.text) == (START_MS + 5, b"third")

    run(main())


@pytest.mark.parametrize(
    ("stored", "since_ms", "text"),
    [
        (None, 0, b""),
        (b"", 0, b""),
        (b"garbage", 0, b""),
        (b"5", 5, b""),
        (b" {}", 0, b"{}"),
        (b"-5 {}", 0, b"{}"),
        (b"5 a b", 5, b"a b"),
        (b"9" * 5_000 + b" {}", 0, b"{}"),
        ("\u0665 {}".encode(), 0, b"{}"),
        (b"\xff {}", 0, b"{}"),
    ],
)
def test_whatever_is_stored_has_a_time_and_a_text(stored: bytes | None, since_ms: int, text: bytes) -> None:
    """If it is not ours, no time, and what is behind the first space."""
    change = Change("a", stored, "")
    assert (change.since_ms, change.text) == (since_ms, text)


def test_what_was_read_is_replaced_only_while_it_is_there(url: str, namespace: str) -> None:
    """Somebody else has changed it, or taken it away: nothing is changed. It is compared to the letter, also where it
    is not ours."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:

            async def was() -> bytes:
                change = await hooks.one("a")
                return b"" if change is None or change.stored is None else change.stored

            await hooks.put("a", b"1")
            first = await was()
            assert await hooks.put("a", b"2", first) == 2
            assert await hooks.put("a", b"3", first) == MOVED
            assert await hooks.there() == {"a": (b"2", "")}
            second = await was()
            await hooks.remove("a")
            assert await hooks.put("a", b"3", second) == MOVED
            assert await hooks.there() == {}
            for damaged in (b"garbage", b"5 \xff", b" "):
                await hooks.raw("HSET", "", "a", damaged)
                assert await was() == damaged
                assert await hooks.put("a", b"3", b"another") == MOVED
                assert await hooks.put("a", b"3", damaged) > 0
                assert await hooks.there() == {"a": (b"3", "")}

    run(main())


def test_there_are_only_so_many(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there can be changed all the same; when one is taken away there is room for another."""
    assert HOOKS_MAX >= 1_000
    monkeypatch.setattr("interrupts.store.hooks.HOOKS_MAX", 2)

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            await hooks.put("a", b"1")
            await hooks.put("b", b"1")
            assert await hooks.put("c", b"1") == TOO_MANY
            assert await hooks.put("b", b"2") == 3
            assert await hooks.there() == {"a": (b"1", ""), "b": (b"2", "")}
            await hooks.remove("a")
            assert await hooks.put("c", b"1") == 5

    run(main())


def test_an_endpoint_is_switched_off_once_and_on_once(url: str, namespace: str) -> None:
    """The first reason stays; a second time is no change. One that is off stays so when it is put again, but not when
    it was taken away."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            assert await hooks.switch_off("a", "none there") is False
            assert await hooks.switch_on("a") is False
            await hooks.put("a", b"1")
            assert await hooks.switch_on("a") is False
            assert await hooks.switch_off("a", "first") is True
            assert await hooks.switch_off("a", "second") is False
            assert (await hooks.changes()).rev == 2
            assert await hooks.there() == {"a": (b"1", "first")}
            await hooks.put("a", b"2")
            assert await hooks.there() == {"a": (b"2", "first")}
            assert await hooks.switch_on("a") is True
            assert await hooks.switch_on("a") is False
            assert await hooks.there() == {"a": (b"2", "")}
            await hooks.switch_off("a", "third")
            await hooks.remove("a")
            await hooks.put("a", b"3")
            assert await hooks.there() == {"a": (b"3", "")}

    run(main())


def test_an_endpoint_that_has_changed_since_there_was_a_reason_stays_on(url: str, namespace: str) -> None:
    """Whoever switches it off may say up to which change it has known it."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            await hooks.put("a", b"1")
            await hooks.put("b", b"1")
            assert await hooks.switch_off("a", "why", 0) is False
            assert await hooks.switch_off("a", "why", 1) is True
            await hooks.switch_on("a")
            assert await hooks.switch_off("a", "begun before it was switched on", 3) is False
            assert await hooks.there() == {"a": (b"1", ""), "b": (b"1", "")}
            assert await hooks.switch_off("a", "why", 4) is True
            assert await hooks.switch_off("b", "why", 4) is True

    run(main())


def test_a_change_said_again_changes_nothing_and_has_the_same_reply(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reply was lost, so it is the same call: a second one is another."""
    calls = {"number": 0}
    monkeypatch.setattr("interrupts.store.hooks.secrets.token_hex", lambda _: f"call {calls['number']}")

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:

            async def twice(call: Callable[[], Awaitable[Any]]) -> Any:
                calls["number"] += 1
                first = await call()
                before = await hooks.changes()
                assert await call() == first
                assert await hooks.changes() == before
                return first

            assert await twice(lambda: hooks.put("a", b"1")) == 1
            was = (await hooks.changes()).changes[0].stored
            assert was is not None
            assert await twice(lambda: hooks.put("a", b"2", was)) == 2
            assert await twice(lambda: hooks.put("a", b"3", was)) == MOVED
            assert await twice(lambda: hooks.switch_off("a", "why"))
            assert not await twice(lambda: hooks.switch_off("a", "why"))
            assert await twice(lambda: hooks.switch_on("a"))
            await twice(lambda: hooks.ring("a"))
            assert await twice(lambda: hooks.remove("a"))
            assert not await twice(lambda: hooks.remove("a"))
            assert (await hooks.changes()).rev == 6

    run(main())


def test_one_endpoint_is_looked_at_by_itself(url: str, namespace: str) -> None:
    """With why it is off; None if it is not there."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            await hooks.put("a", b"text with spaces")
            await hooks.put("b", b"other")
            await hooks.switch_off("b", "why")
            everything = {one.id: one for one in (await hooks.changes()).changes}
            assert {one: await hooks.one(one) for one in "abc"} == everything | {"c": None}
            assert everything["b"].off == "why"

    run(main())


def test_a_change_whose_durability_is_not_confirmed_is_no_success() -> None:
    """It may be there, and can be done again; what changes nothing needs no confirmation."""

    async def main() -> None:
        server = Server(memory_route(), confirmation=Confirmation(("WAIT", 1, 1), 1))
        hooks = Hooks(server, Keys("unconfirmed", 1))
        for call in (lambda: hooks.put("a", b"secret"), lambda: hooks.switch_off("a", "why"), lambda: hooks.ring("a")):
            with pytest.raises(NotConfirmedError) as error:
                await call()
            assert "secret" not in str(error.value)
        assert await hooks.switch_off("a", "why") is False
        assert [(one.text, one.off) for one in (await hooks.changes()).changes] == [(b"secret", "why")]
        await server.close()

    run(main())
