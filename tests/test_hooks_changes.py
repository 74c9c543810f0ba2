"""What has changed of what is registered, for those who keep a copy: since the number that they know, or everything."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interrupts.store.hooks import Changes
from tests.endpoints import registered_in
from tests.reacting import run

KEPT = 1_000
"""Changes of what is not there any more that are remembered."""


def test_what_has_changed_since_a_number_is_told_once(url: str, namespace: str) -> None:
    """As it now is, however often it has changed; what is gone as well, and what was only rung for."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            for one in "abcd":
                await hooks.put(one, b"1")
            assert await hooks.changes(4) == Changes(4, False, [])
            await hooks.put("b", b"2")
            await hooks.remove("c")
            await hooks.switch_off("b", "why")
            await hooks.ring("d")
            await hooks.ring("nobody")
            found = await hooks.changes(4)
            assert (found.rev, found.everything) == (8, False)
            assert [(one.id, one.text, one.off) for one in found.changes] == [
                ("c", b"", ""),
                ("b", b"2", "why"),
                ("d", b"1", ""),
            ]
            assert [one.stored is None for one in found.changes] == [True, False, False]
            assert [one.id for one in (await hooks.changes(7)).changes] == ["d"]

    run(main())


@pytest.mark.parametrize("known", [-1, 9, 10_000])
def test_a_number_that_there_never_was_is_told_everything(url: str, namespace: str, known: int) -> None:
    """The server was rolled back, or a copy is of another one."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            for one in "abcdefgh":
                await hooks.put(one, b"1")
            found = await hooks.changes(known)
            assert (found.rev, found.everything, len(found.changes)) == (8, True, 8)
            await hooks.raw("DEL", ":meta")
            assert (await hooks.changes(8)).everything

    run(main())


def test_changes_that_are_forgotten_are_told_by_telling_everything(url: str, namespace: str) -> None:
    """A thousand that are gone are remembered, beside all that are there."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            await hooks.put("old", b"1")
            await hooks.put("stays", b"1")
            gone = 0

            async def come_and_go(count: int) -> None:
                nonlocal gone
                for _ in range(count):
                    gone += 1
                    await hooks.put(f"gone {gone}", b"1")
                    await hooks.remove(f"gone {gone}")

            await come_and_go(1)
            known = (await hooks.changes()).rev
            await come_and_go(KEPT - 1)
            found = await hooks.changes(known)
            assert (found.everything, len(found.changes)) == (False, KEPT - 1)
            assert not (await hooks.changes(1)).everything
            await come_and_go(3)
            assert not (await hooks.changes(known)).everything
            assert (await hooks.changes(0)).everything
            await come_and_go(1)
            found = await hooks.changes(known)
            assert (found.everything, {one.id for one in found.changes}) == (True, {"old", "stays"})
            assert await hooks.raw("ZCARD", ":news") == KEPT + 2
            # What was told as everything can be gone on from.
            await hooks.put("stays", b"2")
            assert [one.id for one in (await hooks.changes(found.rev)).changes] == ["stays"]

    run(main())


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "del", "off", "on", "ring", "look"]), st.sampled_from("abc"), st.integers(0, 2)),
    max_size=25,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_copy_that_takes_in_changes_is_what_is_there(url: str, namespace: str, steps: list[Any]) -> None:
    """Whenever it looks, and whatever was done before."""

    async def main() -> None:
        async with registered_in(url, namespace) as hooks:
            for suffix in ("", ":off", ":news", ":meta"):
                await hooks.raw("DEL", suffix)
            copies: list[tuple[int | None, dict[str, tuple[bytes, str]]]] = [(None, {})] * 2
            model: dict[str, tuple[bytes, str]] = {}

            async def look(which: int) -> None:
                known, copy = copies[which]
                found = await hooks.changes(known)
                copy = {} if found.everything else dict(copy)
                for one in found.changes:
                    copy.pop(one.id, None)
                    if one.stored is not None:
                        copy[one.id] = (one.text, one.off)
                copies[which] = found.rev, copy
                assert copy == model

            actions: dict[str, Any] = {
                "put": lambda one, n: hooks.put(one, b"text %d" % n),
                "del": lambda one, _: hooks.remove(one),
                "off": lambda one, n: hooks.switch_off(one, f"why {n}"),
                "on": lambda one, _: hooks.switch_on(one),
                "ring": lambda one, _: hooks.ring(one),
                "look": lambda _, n: look(n % 2),
            }
            for what, one, n in steps:
                call: Coroutine[Any, Any, Any] = actions[what](one, n)
                done = await call
                text, off = model.get(one, (b"", ""))
                if what == "put":
                    model[one] = (b"text %d" % n, off)
                elif what == "del":
                    assert done == (model.pop(one, None) is not None)
                elif what in ("off", "on"):
                    assert done == bool(text and bool(off) != (what == "off"))
                    if done:
                        model[one] = (text, f"why {n}" if what == "off" else "")
            await look(0)
            await look(1)

    run(main())
