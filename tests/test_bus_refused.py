"""What the event bus refuses, by name: names, patterns, groups, and what can't be meant."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from interrupts import ValidationError, connect
from interrupts.event_names import check_event_name, check_event_pattern, matches
from tests.conftest import whole_log
from tests.reacting import NAME, publish, run
from tests.servers import until
from workers import Event, EventBus

got_by_name: list[Event] = []


class Callable:
    """A handler that is no function."""

    async def __call__(self, event: Event) -> None:
        """The handler."""
        got_by_name.append(event)


async def remembered(event: Event) -> None:
    """A handler with a name that lasts."""
    got_by_name.append(event)


@pytest.mark.parametrize(
    "name",
    ["", "a", "a.b", "a.b.c.d", "A.b.c", "a..c", "a.b.*", "a.b.c\n", "1a.b.c", "a.b.ä", f"{'a' * 65}.b.c", 7, None],
)
def test_a_name_of_another_form_is_not_published(name: Any) -> None:
    """`[domain].[entity].[action]`, and nothing is written."""

    async def main() -> None:
        async with connect("memory://") as service:
            with pytest.raises(ValidationError, match="event_type"):
                await EventBus(service).publish(name, session_id="s")
            assert await whole_log(service) == []

    run(main())


@pytest.mark.parametrize("name", ["interrupt.flow.resolved", "interrupt.a.b"])
def test_the_stores_own_domain_is_not_published(name: str) -> None:
    """It is said whose it is; a domain that only begins like it is anybody's."""
    with pytest.raises(ValidationError, match="store's own"):
        check_event_name(name)
    assert check_event_name("interrupts.a.b") == "interrupts.a.b"


@pytest.mark.parametrize("pattern", ["", "**", "*.a", "a", "a.*.c", "a.b.c.*", "a.b.c.d", "a.", ".*", "A.*", 3, None])
def test_a_pattern_of_another_form_is_refused(pattern: Any) -> None:
    """When it is subscribed to, and by name."""
    with pytest.raises(ValidationError, match="pattern"):
        EventBus().subscribe(pattern, group="g")(remembered)
    with pytest.raises(ValidationError, match="pattern"):
        check_event_pattern(pattern)


def test_there_is_nothing_to_hear_of_marks() -> None:
    """Whoever subscribes to them is told so, rather than waiting for ever."""
    with pytest.raises(ValidationError, match="pattern"):
        EventBus().subscribe("interrupt.delivered", group="g")(remembered)


def test_a_beginning_ends_at_a_dot() -> None:
    """`session.*` does not mean `sessions.a.b`."""
    assert matches("session.*", "session.a.b")
    assert not matches("session.*", "sessions.a.b")
    assert not matches("session.chat.*", "session.chats.a")


def test_a_group_has_its_handlers_name_unless_told(namespace: str) -> None:
    """The name lasts: the same function is the same group in the next process."""

    async def main() -> None:
        bus = EventBus()
        assert bus.subscribe("tests.*")(remembered) is remembered
        assert [one.group for one in bus.subscriptions] == [f"{__name__}.remembered"]
        async with connect("memory://", namespace=namespace) as service, bus.running(service):
            await publish(service, "s", 1)
            await until(lambda: len(got_by_name) == 1, "it is heard")

    run(main())
    got_by_name.clear()


@pytest.mark.parametrize("sort", ["lambda", "local", "partial", "object"])
def test_a_handler_without_a_lasting_name_needs_a_group(sort: str) -> None:
    """It would be another one, or none, in the next process."""

    def local(event: Event) -> None: ...

    handlers: dict[str, Any] = {
        "lambda": lambda event: None,
        "local": local,
        "partial": functools.partial(remembered),
        "object": Callable(),
    }
    with pytest.raises(ValidationError, match="group") as refused:
        EventBus().subscribe("tests.*")(handlers[sort])
    assert "tests.*" in str(refused.value)


@pytest.mark.parametrize("group", ["", "a b", "a:b", "{a}", "ä", "a" * 101, ".a", "a\n", 5, b"g"])
def test_a_groups_name_is_checked(group: Any) -> None:
    """It is part of keys."""
    with pytest.raises(ValidationError, match="group"):
        EventBus().subscribe("tests.*", group=group)(remembered)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("attempts_max", value) for value in (0, 101, 1.5, True, "3")),
        *(("concurrency", value) for value in (0, 1_001, 2.0)),
        *(("timeout_s", value) for value in (0, -1, float("nan"), float("inf"), "1")),
        *(("backoff_first_s", value) for value in (-1, float("nan"))),
        *(("backoff_max_s", value) for value in (0.1, float("inf"))),
        *(("start", value) for value in ("never", "x:1-1", 12, None)),
    ],
)
def test_what_can_not_be_meant_is_refused_by_name(field: str, value: Any) -> None:
    """Before anything runs."""
    with pytest.raises(ValidationError):
        EventBus().subscribe("tests.*", group="g", **{field: value})(remembered)


def test_one_group_has_one_handler() -> None:
    """On one bus, and on two that run together."""
    bus = EventBus()
    bus.subscribe("tests.*", group="g")(remembered)
    with pytest.raises(ValidationError, match="group"):
        bus.subscribe("a.*", group="g")(remembered)
    with pytest.raises(ValidationError, match="pattern"):
        bus.subscribe(group="h")(remembered)
    with pytest.raises(ValidationError, match="handler"):
        bus.subscribe("a.*", group="h")(None)  # type: ignore[type-var]


def test_a_bus_without_a_service_publishes_nothing() -> None:
    """It says what is missing; with a service of its own it needs no running block."""

    async def main() -> None:
        with pytest.raises(ValidationError, match="service"):
            await EventBus().publish(NAME)
        with pytest.raises(ValidationError, match="service"):
            async with EventBus().running():
                pass
        async with connect("memory://") as service:
            at = await EventBus(service).publish(NAME, n=1)
            assert [str(event.position) for event in await whole_log(service)] == [at]

    asyncio.run(main())
