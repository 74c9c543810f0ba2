"""The copy of what is registered that those who send keep: to whom an event goes, and that it is never an old one.

(Where it is damaged, or was taken back: `test_webhook_registry_lost`.)
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interrupts.event_names import matches
from tests.endpoints import copy_in, stored, told
from tests.reacting import run
from workers.webhooks.registered import Stored, encoded
from workers.webhooks.scopes import Scope


def test_an_event_goes_to_those_of_its_scopes(url: str, namespace: str) -> None:
    """Those for all, and those for its request, its session and its user; each once."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            for hook, scope in (("all", None), ("r", "request:r"), ("s", "session:s"), ("u", "user:u")):
                await copy.put(hook, scope=scope)
            await copy.put("other", scope="session:r")  # the same id, of another sort
            await copy.registry.refresh()
            assert copy.wanting() == ["all", "r", "s", "u"]
            assert copy.wanting(request="r", session="r", user="") == ["all", "other", "r"]
            assert copy.wanting(request="", session="x", user="v") == ["all"]
            assert copy.wanting() == ["all", "r", "s", "u"]
            await copy.hooks.remove("all")
            await copy.registry.refresh()
            assert copy.wanting() == ["r", "s", "u"]

    run(main())


def test_an_event_goes_to_those_who_subscribe_to_its_name(url: str, namespace: str) -> None:
    """By name, by how names begin, or to all; who does it in several ways is told once. Those that are off as well: it
    waits for them."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            await copy.put("name", "interrupt.resolved")
            await copy.put("begin", "interrupt.*", scope="session:s")
            await copy.put("twice", "*", "interrupt.*", "interrupt.resolved")
            await copy.put("others", "interrupt.cancelled", "interrupt.resolved.again", "interrupt", "inter.*")
            await copy.put("off", "interrupt.resolved")
            await copy.hooks.switch_off("off", '{"why":"it is","at_ms":5}')
            await copy.registry.refresh()
            assert copy.wanting("interrupt.resolved") == ["begin", "name", "off", "twice"]
            assert copy.wanting("interrupt.expired") == ["begin", "twice"]
            assert copy.wanting("interrupts.resolved") == ["twice"]
            assert copy.wanting("interrupt.cancelled") == ["begin", "others", "twice"]

    run(main())


def test_an_endpoint_is_told_of_what_comes_after_it_was_registered(url: str, namespace: str) -> None:
    """Of each partition by the place where its log ended then; of one that was empty it is told everything."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            await copy.put("late", after={0: "9-9"})
            await copy.put("late too", after={0: "9-9"}, scope="user:u")
            await copy.registry.refresh()
            late = copy.registry.by_id["late"]
            for place in ("0:9-9", "0:9-8", "0:8-10", "0:5-0"):
                assert copy.wanting(place=place) == []
                assert not late.wants(told(place=place))
            for place in ("0:9-10", "0:10-0", "0:100-1", "1:1-0"):
                assert copy.wanting(place=place) == ["late", "late too"]
                assert late.wants(told(place=place))

    run(main())


def test_an_event_for_one_endpoint_goes_to_that_one(url: str, namespace: str) -> None:
    """Whatever it subscribes to; if it is not there, to nobody."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            await copy.put("one", "a.b", scope="session:r", after={0: "9-9"})
            await copy.put("other")
            await copy.registry.refresh()
            assert copy.wanting(only="one") == ["one"]
            assert [copy.registry.by_id[hook].wants(told(only="one")) for hook in ("one", "other")] == [True, False]
            assert copy.wanting(only="gone") == copy.wanting(only="") == []

    run(main())


def test_what_changes_is_known_after_the_next_look_and_told(url: str, namespace: str) -> None:
    """Also for events whose names were asked for before. Nothing else counts as changed."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            refresh = copy.registry.refresh
            assert await refresh() == set()
            assert copy.wanting() == []
            await copy.put("a", "interrupt.*")
            await copy.put("b", scope="session:s")
            assert copy.wanting() == []
            assert await refresh() == {"a", "b"}
            assert copy.wanting() == ["a", "b"]
            assert await refresh() == set()
            await copy.put("a", "other.*")
            await copy.put("c")
            assert await refresh() == {"a", "c"}
            assert copy.wanting() == ["b", "c"]
            await copy.put("b", scope="user:u")
            await copy.hooks.switch_off("c", '{"why":"it is","at_ms":5}')
            assert await refresh() == {"b", "c"}
            assert (copy.wanting(), copy.wanting(user="v")) == (["b", "c"], ["c"])
            off = copy.registry.by_id["c"].off
            assert off is not None
            assert (off.why, off.at_ms) == ("it is", 5)
            await copy.hooks.switch_on("c")
            await copy.hooks.ring("a")
            await copy.hooks.ring("nobody")
            assert await refresh() == {"a", "c"}
            assert copy.registry.by_id["c"].off is None
            await copy.hooks.remove("c")
            assert await refresh() == {"c"}
            assert copy.wanting() == ["b"]
            assert copy.registry.by_id.keys() == {"a", "b"}

    run(main())


def test_what_was_asked_for_is_not_what_is_asked_for_next(url: str, namespace: str) -> None:
    """Callers may do with a list what they like."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            await copy.put("all")
            await copy.registry.refresh()
            copy.registry.wanting(told()).clear()
            assert copy.wanting() == ["all"]
            await copy.put("s", scope="session:s")
            await copy.registry.refresh()
            copy.registry.wanting(told()).clear()
            assert [copy.wanting(), copy.wanting(), copy.wanting(session="x")] == [["all", "s"], ["all", "s"], ["all"]]

    run(main())


HOOKS = st.sampled_from(["a", "b", "c", "d"])
SCOPES = st.sampled_from([None, "request:r", "session:s", "user:u", "session:r"])
PATTERNS = st.sampled_from(["*", "interrupt.*", "interrupt.resolved", "a.b", "a.*"])
STEPS = st.lists(
    st.one_of(
        st.tuples(HOOKS, st.lists(PATTERNS, min_size=1, max_size=2), SCOPES, st.booleans()),
        st.tuples(HOOKS, st.none(), st.none(), st.booleans()),
    ),
    max_size=12,
)
EVENTS = [(name, ids) for name in ("interrupt.resolved", "a.b", "a.b.c", "interrupt") for ids in ({}, {"session": "r"})]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_who_wants_an_event_is_who_is_registered_for_it(url: str, namespace: str, steps: list[Any]) -> None:
    """Whatever was registered, changed and taken away before, and whatever was asked in between."""

    async def main() -> None:
        async with copy_in(url, namespace) as copy:
            for suffix in ("", ":off", ":news", ":meta"):
                await copy.raw("DEL", suffix)
            there: dict[str, Stored] = {}
            for hook, patterns, scope, look in (*steps, ("a", None, None, True)):
                if patterns is None:
                    await copy.hooks.remove(hook)
                    there.pop(hook, None)
                else:
                    there[hook] = stored(*patterns, scope=scope)
                    await copy.hooks.put(hook, encoded(there[hook]))
                if not look:
                    continue
                await copy.registry.refresh()
                for name, ids in EVENTS:
                    scopes = (Scope(), *told(name, **ids).scopes)
                    wanted = [
                        id_
                        for id_, one in there.items()
                        if Scope(one.sort, one.scope_id) in scopes and any(matches(each, name) for each in one.events)
                    ]
                    assert copy.wanting(name, **ids) == sorted(wanted)
                    by_itself = [one.id for one in copy.registry.by_id.values() if one.wants(told(name, **ids))]
                    assert sorted(by_itself) == sorted(wanted)

    run(main())
