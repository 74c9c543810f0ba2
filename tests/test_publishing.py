"""Publishing: an event of one's own is in its session's log, once, as it was said, and in no view."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import InterruptService, Position, RecordedEvent, connect
from interrupts.errors import ValidationError
from interrupts.event_names import check_event_name, check_event_pattern, matches
from tests.conftest import whole_log
from tests.raw import raw
from tests.waiting import ask

NAME = "session.chat.completed"


async def only(service: InterruptService) -> RecordedEvent:
    """The one event of the log."""
    (event,) = await whole_log(service)
    return event


async def once_keys(service: InterruptService) -> dict[str, int]:
    """What is remembered of published events, and for how many milliseconds."""
    found = {}
    for partition in range(service.log.partitions):
        names = await raw(service, "KEYS", f"{service.store.keys.once[partition]}*", partition=partition)
        for name in names:
            found[name.decode()] = await raw(service, "PTTL", name, partition=partition)
    return found


NAMES = ["a.b.c", NAME, "a1.b-2.c_3", "interrupts.own.thing", f"{'a' * 64}.b.c", "published.by.me"]
NO_NAMES = [
    *("", "a", "a.b", "a.b.c.d", "A.b.c", "a.B.c", "a..c", ".a.b.c", "a.b.", "1a.b.c", "a.b.1", "-a.b.c", "a b.c.d"),
    *("a.b.c\n", "é.b.c", "a.b.*", "*", f"{'a' * 65}.b.c", "interrupt.resolved.twice", "interrupt.a.b"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_has_three_parts(name: str) -> None:
    """Domain, entity and action, in small letters; it is a pattern, too."""
    assert check_event_name(name) == name == check_event_pattern(name)
    assert matches(name, name)


@pytest.mark.parametrize("name", [*NO_NAMES, None, 7, b"a.b.c", ["a.b.c"]])
def test_other_names_are_refused(namespace: str, name: Any) -> None:
    """Those of the store's own events above all; nothing is written."""

    async def main() -> None:
        async with connect("memory://", namespace=namespace) as service:
            with pytest.raises(ValidationError) as refused:
                await service.publish(name)
            assert refused.value.field == "event_type"
            assert await whole_log(service) == []

    asyncio.run(main())


PATTERNS = {
    "*": (["a.b.c", "interrupt.resolved"], []),
    "a.*": (["a.b.c", "a.bc.d"], ["ab.c.d", "b.a.c"]),
    "a.b.*": (["a.b.c"], ["a.bc.d", "a.c.b"]),
    "a.b.c": (["a.b.c"], ["a.b.cd", "a.b.d"]),
    "interrupt.*": (["interrupt.resolved", "interrupt.created"], ["interrupts.a.b"]),
    "interrupt.resolved": (["interrupt.resolved"], ["interrupt.expired"]),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_a_name_or_how_names_begin(pattern: str) -> None:
    """Up to a dot: not half of a part."""
    meant, others = PATTERNS[pattern]
    assert check_event_pattern(pattern) == pattern
    assert all(matches(pattern, name) for name in meant)
    assert not any(matches(pattern, name) for name in others)


@pytest.mark.parametrize("pattern", ["", ".*", "a*", "a", "a.*.c", "*.a", "**", "a.b.c.*", "a.b.c.d", "A.*", None, 7])
def test_other_patterns_are_refused(pattern: Any) -> None:
    """By name."""
    with pytest.raises(ValidationError) as refused:
        check_event_pattern(pattern)
    assert refused.value.field == "pattern"


def test_what_is_published_is_in_the_log_as_it_was_said(url: str, namespace: str) -> None:
    """At the position that is returned, with its ids, who did it and what was said."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            data = {"b": [1, -2.5, None, {"ä": "\n🙂"}], "a": 2**70, "type": "interrupt.created"}
            ids = {"session_id": "s", "request_id": "r", "user_id": "u"}
            position = await service.publish(NAME, data, **ids, actor="bot")
            event = await only(service)
            assert (event.type, event.position, event.actor, event.content) == (NAME, position, "bot", data)
            assert (event.session_id, event.request_id, event.user_id) == ("s", "r", "u")
            assert (event.kind, event.version, event.interrupt_id, event.terms) == (None, 0, "", {})
            assert (event.sequence, bool(event.command_id)) == (1, True)
            assert event.to_dict()["kind"] is None
            assert Position.parse(position).partition == service.log.partition_of("s")

    asyncio.run(main())


def test_a_tail_tells_what_is_published_among_the_events_of_interrupts(url: str, namespace: str) -> None:
    """In the order in which it all happened, each with its number."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            start = await service.publish(NAME, {"n": 0}, session_id="s")
            tail = service.log.tail(0, after=start)
            asked = await ask(service)
            positions = [await service.publish(NAME, {"n": n}, session_id="s") for n in (1, 2)]
            await service.cancel(asked.id)
            told = [await asyncio.wait_for(anext(tail), 20) for _ in range(4)]
            await tail.aclose()
            assert [event.type for event in told] == ["interrupt.created", NAME, NAME, "interrupt.cancelled"]
            assert [event.sequence for event in told] == [2, 3, 4, 5]
            assert [event.position for event in told[1:3]] == positions
            assert [event.content for event in told[1:3]] == [{"n": 1}, {"n": 2}]

    asyncio.run(main())


ROUTES: list[tuple[dict[str, Any], dict[str, Any], tuple[str, str, str]]] = [
    ({}, {}, (NAME, "", "")),
    ({"session_id": "s"}, {}, ("s", "", "")),
    ({"request_id": "r"}, {}, ("r", "r", "")),
    ({"user_id": "u"}, {}, (NAME, "", "u")),
    ({"session_id": "s", "request_id": "r", "user_id": "u"}, {}, ("s", "r", "u")),
    ({}, {"session_id": "ds", "request_id": "dr", "user_id": "du"}, ("ds", "dr", "du")),
    ({"session_id": "s"}, {"session_id": "ds", "request_id": "dr"}, ("s", "dr", "")),
    ({}, {"session_id": None, "request_id": "dr"}, ("dr", "dr", "")),
]


@pytest.mark.parametrize(("given", "data", "expected"), ROUTES)
def test_it_keeps_the_order_of_its_session_else_its_request_else_its_name(
    url: str, namespace: str, given: dict[str, Any], data: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    """As said, or as it stands in the data; it is in that partition."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            position = await service.publish(NAME, data, **given)
            event = await only(service)
            assert (event.session_id, event.request_id, event.user_id) == expected
            assert Position.parse(position).partition == service.log.partition_of(expected[0])
            assert event.content == data

    asyncio.run(main())


NO_DATA: list[Any] = [
    [],
    "x",
    7,
    {"a": object()},
    {1: 2},
    {"a": float("nan")},
    {"a": "\ud800"},
    {"much": "x" * 300_000},
]
NO_IDS: list[Any] = ["", 7, "x" * 513]
BAD: list[tuple[dict[str, Any], str]] = [({"data": wrong}, "data") for wrong in NO_DATA]
for name in ("session_id", "request_id", "user_id", "actor", "idempotency_key"):
    BAD += [({name: wrong}, name) for wrong in NO_IDS]
BAD += [({"data": {name: 7}}, name) for name in ("session_id", "request_id", "user_id")]


@pytest.mark.parametrize(("options", "field"), BAD)
def test_what_can_not_be_published_is_refused_by_name(namespace: str, options: dict[str, Any], field: str) -> None:
    """Data that JSON can't hold, or that is too large, and ids that are none: nothing is written or remembered."""

    async def main() -> None:
        async with connect("memory://", namespace=namespace) as service:
            with pytest.raises(ValidationError) as refused:
                await service.publish(NAME, **options)
            assert (refused.value.field or "").partition(".")[0] == field
            assert await whole_log(service) == []
            assert await once_keys(service) == {}

    asyncio.run(main())
