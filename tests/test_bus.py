"""The event bus as its users meet it: subscribing, publishing, patterns, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from interrupts import InterruptResponse, connect
from tests.reacting import NAME, reacting, run, until_settled
from tests.servers import until
from workers import Event, EventBus


def test_the_example_of_the_contract(url: str, namespace: str) -> None:
    """A handler hears that an interrupt was resolved, with its data, and of what was published."""

    async def main() -> None:
        bus, got = EventBus(), list[Event]()

        @bus.subscribe("interrupt.resolved", group="resume")
        async def resume(event: Event) -> None:
            got.append(event)

        @bus.subscribe("session.chat.completed", group="chat")
        async def chat(event: Event) -> None:
            got.append(event)

        async with connect(url, namespace=namespace) as service, bus.running(service):
            pause = await service.create_confirmation("req", "ada", "chat-1", "Go on?")
            await service.respond(pause.id, InterruptResponse(approved=True), user_id="ada")
            await until(lambda: len(got) == 1, "the answer is heard")
            (resolved,) = got
            assert (resolved.event_type, resolved.interrupt_id) == ("interrupt.resolved", pause.id)
            assert (resolved.session_id, resolved.attempt) == ("chat-1", 1)
            assert resolved.data["response"]["approved"] is True
            assert {name: resolved.data[name] for name in ("request_id", "user_id", "session_id", "version")} == {
                "request_id": "req",
                "user_id": "ada",
                "session_id": "chat-1",
                "version": 2,
            }
            at = await bus.publish("session.chat.completed", session_id="chat-1", response_length=12)
            await until(lambda: len(got) == 2, "what was published is heard")
            assert (got[1].position, got[1].interrupt_id) == (at, "")
            assert got[1].data == {"session_id": "chat-1", "response_length": 12}
            assert got[1].timestamp == got[1].recorded.at

    run(main())


@pytest.mark.parametrize(
    ("data", "order"),
    [
        ({"session_id": "s", "request_id": "r"}, "s"),
        ({"request_id": "r", "user_id": "u"}, "r"),
        ({"user_id": "u"}, NAME),
        ({}, NAME),
    ],
)
def test_a_published_event_belongs_to_its_session_else_its_request_else_its_name(
    data: dict[str, Any], order: str
) -> None:
    """That is whose order it keeps."""

    async def main() -> None:
        got = list[Event]()

        async def note(event: Event) -> None:
            got.append(event)

        async with connect("memory://") as service, reacting(service, note) as bus:
            at = await bus.publish(NAME, **data)
            await until(lambda: bool(got), "it is heard")
            assert (got[0].session_id, got[0].position) == (order, at)
            assert int(at.partition(":")[0]) == service.log.partition_of(order)

    run(main())


@pytest.mark.parametrize(
    ("pattern", "heard"),
    [
        ("*", {"interrupt.created", "interrupt.cancelled", "session.chat.completed", "session.tool.called", "a.b.c"}),
        ("interrupt.*", {"interrupt.created", "interrupt.cancelled"}),
        ("interrupt.created", {"interrupt.created"}),
        ("session.*", {"session.chat.completed", "session.tool.called"}),
        ("session.chat.*", {"session.chat.completed"}),
        ("session.chat.completed", {"session.chat.completed"}),
        ("sess.*", set()),
        ("session.chat", set()),
    ],
)
def test_a_pattern_hears_what_it_names_and_nothing_else(pattern: str, heard: set[str]) -> None:
    """Names, the beginnings of names, or all."""

    async def main() -> None:
        got = list[str]()

        def note(event: Event) -> None:
            got.append(event.event_type)

        async with connect("memory://") as service, reacting(service, note, pattern) as bus:
            pause = await service.create_confirmation("r", "u", "s", "Go on?")
            await service.cancel(pause.id, "no")
            for name in ("session.chat.completed", "session.tool.called", "a.b.c"):
                await bus.publish(name, session_id="s")
            await until_settled(service, "g")
            assert sorted(got) == sorted(heard)

    run(main())


def test_several_patterns_of_one_handler_hear_an_event_once() -> None:
    """Also one that both mean."""

    async def main() -> None:
        got = list[str]()

        def note(event: Event) -> None:
            got.append(event.event_type)

        async with connect("memory://") as service, reacting(service, note, "tests.*", NAME, "a.b.c") as bus:
            for name in (NAME, "a.b.c", "a.b.d"):
                await bus.publish(name, session_id="s")
            await until_settled(service, "g")
            assert got == [NAME, "a.b.c"]

    run(main())
