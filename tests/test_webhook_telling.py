"""What an event of the log is to an endpoint: its name, whose it is, and a body with the interrupt as it was then."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest

from interrupts import (
    CorruptLogError,
    FlowInterrupt,
    InterruptConfig,
    InterruptKind,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    connect,
)
from tests.conftest import until_expired
from tests.raw import raw
from tests.reacting import run
from tests.test_extending_told import mark_all
from workers.log_entries import entries_between
from workers.webhooks.scopes import Scope
from workers.webhooks.telling import EVENTS, TEST_EVENT, Told, bodies, is_unheard_of, told_of

LONG = timedelta(hours=2)
NAMES = {
    InterruptKind.CLARIFICATION: "interrupt.clarification_needed",
    InterruptKind.CONFIRMATION: "interrupt.confirmation_needed",
    InterruptKind.AGENT_REVIEW: "interrupt.agent_review",
    InterruptKind.CHECKPOINT: "interrupt.checkpoint",
    InterruptKind.RESOURCE_EXHAUSTED: "interrupt.resource_exhausted",
    InterruptKind.TIMEOUT: "interrupt.timeout",
    InterruptKind.SYSTEM_ERROR: "interrupt.system_error",
}


async def all_told(service: InterruptService, partition: int = 0) -> list[tuple[Told, dict[str, Any]]]:
    """Of each event of the log that endpoints are told of what it is to them, and its body."""
    entries = await entries_between(service, partition, "-", "+", 1_000)
    told = [one for entry in entries if (one := told_of(partition, entry[0].decode(), entry[1][-1])) is not None]
    return [(one, json.loads(body)) for one, body in zip(told, await bodies(service, told), strict=True)]


async def make(service: InterruptService, kind: InterruptKind, **more: Any) -> FlowInterrupt:
    """One of this kind, with all that a creation can say."""
    said: dict[str, Any] = {"question": "Which?", "message": "Ü\nbig", "data": {"a": [1, None, {"b": 0.5}]}} | more
    return await service.create_interrupt(kind, "req-1", "ada", "chat", "env", **said)


def test_each_of_the_ten_events_has_a_body_with_the_whole_interrupt(url: str, namespace: str) -> None:
    """Creations under the names of their kinds, and the three ways to end. All reads as what the service returned."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            made = {kind: await make(service, kind) for kind in InterruptKind}
            answer = InterruptResponse(text="this one", data={"k": "v"})
            late = await make(service, InterruptKind.TIMEOUT, ttl=timedelta(milliseconds=1))
            expected = [(NAMES[one.kind], one) for one in (*made.values(), late)]
            resolved = await service.respond(made[InterruptKind.CLARIFICATION].id, answer, user_id="ada", actor="bot")
            cancelled = await service.cancel(made[InterruptKind.AGENT_REVIEW].id, reason="not needed")
            await until_expired(service, late.id)
            assert await service.expire_pending() == 1
            expired = await service.get_interrupt(late.id)
            assert resolved is not None
            assert cancelled is not None
            assert expired is not None
            expected += [("interrupt.resolved", resolved), ("interrupt.cancelled", cancelled)]
            expected += [("interrupt.expired", expired)]
            found = await all_told(service)
            assert len({one.name for one, _ in found}) == 10
            assert [(one.name, FlowInterrupt.from_dict(body["data"])) for one, body in found] == expected
            for (one, body), (name, interrupt) in zip(found, expected, strict=True):
                assert (body["type"], body["position"], body["version"]) == (name, one.position, interrupt.version)
                assert one.position == interrupt.position
                at = interrupt.created_at if interrupt.version == 1 else interrupt.resolved_at
                assert at is not None
                assert body["timestamp"] == at.isoformat().replace("+00:00", "Z")
                assert set(body) == {"type", "timestamp", "position", "version", "data"}
                assert one.scopes == (Scope("request", "req-1"), Scope("session", "chat"), Scope("user", "ada"))
                assert one.only is None

    run(main())


def test_the_ten_events_are_known_by_their_names() -> None:
    """Who subscribes to another one of interrupts may have meant one of them."""
    assert {*NAMES.values(), "interrupt.resolved", "interrupt.cancelled", "interrupt.expired"} == set(EVENTS)
    assert len(EVENTS) == 10
    heard_of = [*EVENTS, "interrupt.*", "*", "session.chat.completed", "interrupts.created", "other.*"]
    assert [pattern for pattern in heard_of if is_unheard_of(pattern)] == []
    others = ["interrupt.created", "interrupt.extended", "interrupt.resolved.*", "interrupt.resolve", "interrupt.a.b"]
    assert [pattern for pattern in others if is_unheard_of(pattern)] == others


def test_a_body_is_of_its_own_version_whatever_came_later(url: str, namespace: str) -> None:
    """One that was prolonged, answered and marked since is told as it was; prolonging and marks are not told."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            one = await make(service, InterruptKind.CONFIRMATION, ttl=LONG)
            (before,) = await all_told(service)
            await service.extend(one.id, 2 * LONG)
            await service.extend(one.id, 3 * LONG)
            done = await service.respond(one.id, InterruptResponse(approved=True), actor="bot")
            assert done is not None
            (then,) = (await all_told(service))[1:]
            await mark_all(service, one.id)
            assert await all_told(service) == [before, then]
            assert [len(await service.history(one.id)), before[1]["version"], then[1]["version"]] == [8, 1, 4]
            assert [FlowInterrupt.from_dict(body["data"]) for _, body in (before, then)] == [one, done]
            assert before[1]["data"]["expires_at"] != then[1]["data"]["expires_at"]
            assert (done.status, before[1]["data"]["status"]) == (InterruptStatus.RESOLVED, "pending")

    run(main())


def test_a_creation_is_told_under_the_name_that_was_configured_for_it(url: str, namespace: str) -> None:
    """Also by a process with another configuration: the name is in the log."""
    config = InterruptConfig(webhook_event="interrupt.my_own", default_ttl=LONG)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as other:
            async with connect(url, namespace=namespace, configs={InterruptKind.TIMEOUT: config}) as service:
                await make(service, InterruptKind.TIMEOUT)
            await make(other, InterruptKind.TIMEOUT)
            assert [one.name for one, _ in await all_told(other)] == ["interrupt.my_own", "interrupt.timeout"]

    run(main())


@pytest.mark.parametrize("key", ["gone", "another's", "older", "not ours", "damaged"])
def test_what_the_key_does_not_know_any_more_is_told_from_the_event(url: str, namespace: str, key: str) -> None:
    """A log may be ahead of a key that was damaged or rolled back: who it is, and what was said, are in the event."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            one = await make(service, InterruptKind.CONFIRMATION)
            name = service.store.keys.interrupt(one.id)
            first = await raw(service, "GET", name)
            another = await make(service, InterruptKind.CONFIRMATION)
            await service.respond(one.id, InterruptResponse(approved=True), actor="bot")
            whole = await raw(service, "GET", name)
            stored = {
                "gone": None,
                "another's": await raw(service, "GET", service.store.keys.interrupt(another.id)),
                "older": first,
                "not ours": b"not ours",
                "damaged": whole.replace(b'{"question":"Which?"', b'{"question":[ 7 ]   '),
            }[key]
            assert stored != whole
            await raw(service, "DEL", name) if stored is None else await raw(service, "SET", name, stored)
            told, body = (await all_told(service))[-1]
            assert (told.name, body["type"], body["version"]) == ("interrupt.resolved", "interrupt.resolved", 2)
            data = body["data"]
            assert (data["id"], data["kind"], data["resolved_by"]) == (one.id, "confirmation", "bot")
            assert (data["request_id"], data["session_id"], data["user_id"]) == ("req-1", "chat", "ada")
            assert data["said"]["response"]["approved"] is True

    run(main())


def test_what_was_published_is_told_as_it_was_said(url: str, namespace: str) -> None:
    """With the ids that it was given, and no others: whose order it keeps is not a session that nobody has named."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            data = {"n": 1, "text": "Ü\n", "deep": [{"a": None}]}
            ids: tuple[dict[str, str], ...] = ({}, {"request_id": "req-1"}, {"session_id": "chat", "user_id": "ada"})
            positions = [await service.publish("session.chat.completed", data, **one) for one in ids]
            found = await all_told(service)
            assert [one.position for one, _ in found] == positions
            assert [one.name for one, _ in found] == ["session.chat.completed"] * 3
            for (told, body), given in zip(found, ids, strict=True):
                named = {name: own for name, own in given.items() if name != "user_id"}
                assert {name: value for name, value in body.items() if name != "timestamp"} == {
                    "type": "session.chat.completed",
                    "position": told.position,
                    "data": data,
                    **named,
                }
            assert found[2][0].scopes == (Scope("session", "chat"), Scope("user", "ada"))
            assert Scope("request", "req-1") in found[1][0].scopes

    run(main())


def test_a_test_goes_to_the_endpoint_that_it_names(url: str, namespace: str) -> None:
    """One that names none goes to nobody; other events go to all."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            for data in ({"webhook_id": "wh_a"}, {}, {"webhook_id": None}, {"webhook_id": 7}):
                await service.publish(TEST_EVENT, data)
            await service.publish("webhook.endpoint.other", {"webhook_id": "wh_a"})
            assert [one.only for one, _ in await all_told(service)] == ["wh_a", "", "None", "7", None]

    run(main())


CREATED = '["interrupt.created","%s",1,"clarification","s","r","u",%s,{},{}]'
RESOLVED = '["interrupt.resolved","%s",2,"clarification","s","r","u",%s,{}]'
PUBLISHED = '["published","%s","s","r","u",%s,{}]'
CONTENTS = ("7", "null", "[]", '"text"', '{"question":7}', '{"data":[]}', '{"response":7}', "{}")
DAMAGED = [
    form % (name, content)
    for form, name in ((CREATED, "0" * 32), (RESOLVED, "0" * 32), (PUBLISHED, "a.b.c"), (PUBLISHED, TEST_EVENT))
    for content in CONTENTS
]


@pytest.mark.parametrize("event", DAMAGED)
def test_damaged_contents_are_told_as_far_as_they_can_be_read_or_refused_as_damaged(event: str) -> None:
    """Never anything else: whoever sends passes by what is refused, and goes on."""

    async def main() -> None:
        async with connect("memory://", namespace="damaged", partitions=1) as service:
            try:
                told = told_of(0, "5-0", event.encode())
                found = [] if told is None else await bodies(service, [told])
            except CorruptLogError:
                return
            for body in found:
                assert json.loads(body)["position"] == "0:5-0"

    run(main())


def test_one_damaged_event_takes_no_other_with_it(url: str, namespace: str) -> None:
    """Bodies that are made together are made each by itself."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            good = await service.publish("a.b.c", {"n": 1})
            numbers = itertools.count(2)
            for event in (DAMAGED[4], DAMAGED[0], DAMAGED[14]):
                await raw(service, "XADD", service.store.keys.logs[0], "*", "s", next(numbers), "e", event)
            last = await service.publish("a.b.c", {"n": 2})
            positions = [body["position"] for _, body in await all_told(service)]
            assert (positions[0], positions[-1]) == (good, last)

    run(main())
