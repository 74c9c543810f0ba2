"""Commands of producers that have a plain client: what becomes of each, and what is no command at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interrupts import InterruptService, RateLimitConfig, connect
from interrupts.limits import COMMAND_BODY_BYTES_MAX
from tests.conftest import World, whole_log
from tests.producing import Producer
from tests.servers import RedisServer, until
from workers.commanding import CommandsRole
from workers.commands_parked import drop_commands, parked_commands


@asynccontextmanager
async def deciding(url: str, namespace: str, **more: Any) -> AsyncIterator[tuple[InterruptService, CommandsRole]]:
    """A service, and the role at work on it."""
    async with connect(url, namespace=namespace, partitions=4, **more) as service:
        role = CommandsRole(service)
        running = asyncio.create_task(role.run())
        await until(lambda: role.ready, "the role is ready")
        try:
            yield service, role
        finally:
            role.stop()
            await running


def trying(
    server: RedisServer, namespace: str, act: Callable[[InterruptService, Producer], Awaitable[None]], **more: Any
) -> None:
    """Runs this with a role at work. The producer waits in a thread of its own."""

    async def main() -> None:
        async with deciding(server.url, namespace, **more) as (service, _):
            with server.client() as client:
                await act(service, await asyncio.to_thread(Producer, client, namespace))

    asyncio.run(main())


def told(producer: Producer, command_id: str) -> Awaitable[tuple[str, dict[str, Any]]]:
    """The reply to a command, when it is there."""
    return asyncio.to_thread(producer.reply, command_id)


def test_each_command_has_its_outcome(shared_server: RedisServer, namespace: str) -> None:
    """Done: what it is about, as it then was, with its place in the log, where it is found with the producer's id."""

    async def act(service: InterruptService, producer: Producer) -> None:
        first, second = producer.create("s"), producer.create("t", ttl_seconds=60, data={"n": 1})
        outcome, body = await told(producer, first)
        assert (outcome, body["status"], body["version"]) == ("done", "pending", 1)
        one, two = body["interrupt_id"], (await told(producer, second))[1]["interrupt_id"]
        outcome, body = await told(producer, producer.about(two, "extend", ttl_seconds=3600))
        assert (outcome, body["status"], body["version"]) == ("done", "pending", 2)
        answer = producer.respond(one, user_id="u", actor="ada", expected_version=1)
        outcome, body = await told(producer, answer)
        assert (outcome, body["status"], body["version"]) == ("done", "resolved", 2)
        outcome, body = await told(producer, producer.about(two, "cancel", reason="no need"))
        assert (outcome, body["status"], body["version"]) == ("done", "cancelled", 3)
        now = await service.get_interrupt(two)
        assert now is not None
        assert (now.reason, now.position, now.data) == ("no need", body["position"], {"n": 1})
        history = await service.history(one)
        assert [(event.command_id, event.actor) for event in history] == [(first, None), (answer, "ada")]

    trying(shared_server, namespace, act)


REFUSED: dict[str, tuple[dict[str, Any], str, int, dict[str, Any]]] = {
    "wrong user": ({"user_id": "v"}, "AuthorizationError", 403, {}),
    "stale version": ({"expected_version": 9}, "ConflictError", 409, {"code": "version"}),
    "not allowed": ({"response": {"text": "yes"}}, "ValidationError", 400, {"field": "response.text"}),
    "empty actor": ({"actor": ""}, "ValidationError", 400, {"field": "actor"}),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_a_call_would_be_refused_is_refused(shared_server: RedisServer, namespace: str, why: str) -> None:
    """With the same error and its facts; the interrupt still waits."""
    body, error, status, facts = REFUSED[why]

    async def act(service: InterruptService, producer: Producer) -> None:
        made = (await told(producer, producer.create()))[1]["interrupt_id"]
        outcome, reply = await told(producer, producer.respond(made, **body))
        assert (outcome, reply["error"], reply["http_status"]) == ("refused", error, status)
        assert {name: reply[name] for name in facts} == facts
        assert reply["interrupt_id"] == made
        assert len(await service.history(made)) == 1

    trying(shared_server, namespace, act)


def test_what_there_is_not_is_refused(shared_server: RedisServer, namespace: str) -> None:
    """An unknown interrupt, one that can't be one, and a kind that there is not."""

    async def act(service: InterruptService, producer: Producer) -> None:
        unknown, no_id = producer.respond("0" * 32), producer.send(0, "cancel", {"interrupt_id": "x"})
        for command_id in (unknown, no_id):
            assert (await told(producer, command_id))[1]["error"] == "NotFoundError"
        reply = (await told(producer, producer.create(kind="nonsense")))[1]
        assert (reply["error"], reply["field"], "interrupt_id" in reply) == ("ValidationError", "kind", False)
        assert await whole_log(service) == []

    trying(shared_server, namespace, act)


def test_an_answer_after_the_deadline_is_refused_and_the_expiry_written(
    shared_server: RedisServer, namespace: str
) -> None:
    """As a call that is too late: both in one step, and the same again when it is sent again."""

    async def act(service: InterruptService, producer: Producer) -> None:
        made = (await told(producer, producer.create(ttl_seconds=0.001)))[1]["interrupt_id"]
        outcome, reply = await told(producer, producer.respond(made, "late"))
        assert (outcome, reply["code"], reply["interrupt_id"]) == ("refused", "expired", made)
        producer.respond(made, "late")
        assert len({str(one) for one in await asyncio.to_thread(producer.replies, "late", 2)}) == 1
        assert [event.type for event in await service.history(made)] == ["interrupt.created", "interrupt.expired"]

    trying(shared_server, namespace, act)


GOOD = b'{"kind":"confirmation","request_id":"r","user_id":"u","session_id":"s"}'
MALFORMED: dict[str, tuple[dict[bytes, bytes], str]] = {
    "no id": ({b"command": b"create", b"body": GOOD}, "id"),
    "an empty id": ({b"id": b"", b"command": b"create", b"body": GOOD}, "id"),
    "an id that is too long": ({b"id": b"x" * 513, b"command": b"create", b"body": GOOD}, "id"),
    "an id that is no text": ({b"id": b"\xff", b"command": b"create", b"body": GOOD}, "id"),
    "no body": ({b"id": b"a", b"command": b"create"}, "body"),
    "one field more": ({b"id": b"a", b"command": b"create", b"body": GOOD, b"when": b"now"}, "fields"),
    "an unknown command": ({b"id": b"a", b"command": b"creat", b"body": GOOD}, "creat"),
    "no JSON": ({b"id": b"a", b"command": b"create", b"body": b"{"}, "body"),
    "no object": ({b"id": b"a", b"command": b"create", b"body": b"[]"}, "body"),
    "an unknown field": ({b"id": b"a", b"command": b"create", b"body": GOOD[:-1] + b',"ttl":1}'}, "ttl"),
    "a field of a wrong type": ({b"id": b"a", b"command": b"create", b"body": GOOD[:-1] + b',"data":[]}'}, "data"),
    "no session": ({b"id": b"a", b"command": b"create", b"body": b'{"kind":"checkpoint"}'}, "missing"),
    "nested without end": ({b"id": b"a", b"command": b"create", b"body": b'{"data":' + b"[" * 9_999}, "body"),
    "too large": ({b"id": b"a", b"command": b"create", b"body": b" " * (COMMAND_BODY_BYTES_MAX + 1)}, "bytes"),
    "an answer without a response": ({b"id": b"a", b"command": b"respond", b"body": b'{"interrupt_id":"a"}'}, "resp"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_no_command_is_parked_with_the_reason(shared_server: RedisServer, namespace: str, what: str) -> None:
    """It can be looked at and forgotten, is told aloud, holds up nobody; and if its id can be read, there is a reply,
    after which a right command with that id is decided as any."""
    fields, why = MALFORMED[what]
    world = World()

    async def act(service: InterruptService, producer: Producer) -> None:
        at = producer.partition("s")
        producer.raw(at, fields)
        await told(producer, producer.create("s"))
        (parked,) = await parked_commands(service)
        assert why in parked.why
        assert parked.fields[: 2 * len(fields)][0] == next(iter(fields)).decode()
        assert [(level, name) for level, name, _ in world.lines if name == "commands.parked"] == [
            ("warning", "commands.parked")
        ]
        if fields.get(b"id") == b"a":
            ((outcome, body),) = await asyncio.to_thread(producer.replies, "a")
            assert (outcome, body["code"], body["http_status"]) == ("refused", "malformed", 400)
            producer.create("s", "a")
            assert [one for one, _ in await asyncio.to_thread(producer.replies, "a", 2)] == ["refused", "done"]
        assert await drop_commands(service, [parked.name]) == 1
        assert await parked_commands(service) == []

    trying(shared_server, namespace, act, logger=world)


def test_a_command_in_another_partitions_stream_is_none(shared_server: RedisServer, namespace: str) -> None:
    """Its session's order could not be kept there: it is parked, and says where it belongs."""

    async def act(service: InterruptService, producer: Producer) -> None:
        at = producer.partition("s")
        wrong = (at + 1) % producer.partitions
        body = {"kind": "checkpoint", "request_id": "r", "user_id": "u", "session_id": "s"}
        reply = (await told(producer, producer.send(wrong, "create", body)))[1]
        assert (reply["code"], f"partition {at}" in reply["message"]) == ("malformed", True)
        assert len(await parked_commands(service)) == 1
        assert await whole_log(service) == []

    trying(shared_server, namespace, act)


def test_what_is_parked_and_the_replies_are_bounded(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest are kept."""
    monkeypatch.setattr("interrupts.store.inbox._KEPT", (200, 50, 3600, 50))

    async def act(service: InterruptService, producer: Producer) -> None:
        for number in range(1_000):
            producer.send(0, "cancel" if number % 2 else "nonsense", {"interrupt_id": "0" * 32}, f"c{number}")
        await told(producer, "c999")
        assert producer.client.xlen(producer.where["replies:0"]) <= 300  # whole nodes of a stream are dropped
        assert len(await parked_commands(service)) == 50
        refused = producer.where["0"] + ":refused"
        assert producer.client.hlen(refused) == producer.client.zcard(refused + ":at") == 50
        assert producer.client.hexists(refused, "0" * 32 + " c999")
        assert 0 < producer.client.ttl(refused) <= 3600

    trying(shared_server, namespace, act)


def test_creations_count_against_the_limits(shared_server: RedisServer, namespace: str) -> None:
    """So many pass, the others are refused with when to come again, and again so; another user is not held up."""
    limits = RateLimitConfig(3, 100, 100, 3)

    async def act(service: InterruptService, producer: Producer) -> None:
        sent = [producer.create(f"s{number}") for number in range(10)]
        replies = [await told(producer, command_id) for command_id in sent]
        assert [outcome for outcome, _ in replies].count("done") == 3
        late = next(number for number, (outcome, _) in enumerate(replies) if outcome == "refused")
        assert replies[late][1]["error"] == "RateLimitedError"
        assert replies[late][1]["retry_after_seconds"] > 0
        producer.create(f"s{late}", sent[late])
        assert len({str(one) for one in await asyncio.to_thread(producer.replies, sent[late], 2)}) == 1
        done = next(number for number, (outcome, _) in enumerate(replies) if outcome == "done")
        producer.create(f"s{done}", sent[done])
        assert {one for one, _ in await asyncio.to_thread(producer.replies, sent[done], 2)} == {"done"}
        assert (await told(producer, producer.create(user_id="v")))[0] == "done"
        assert len(await whole_log(service)) == 4

    trying(shared_server, namespace, act, limits=limits)


def test_ports_hear_of_what_commands_have_done(shared_server: RedisServer, namespace: str) -> None:
    """As of what calls have done: once each."""
    world = World()

    async def act(service: InterruptService, producer: Producer) -> None:
        made = (await told(producer, producer.create(command_id="a")))[1]["interrupt_id"]
        producer.create(command_id="a")
        await asyncio.to_thread(producer.replies, "a", 2)
        await told(producer, producer.respond(made))
        await until(lambda: len(world.announced()) == 2, "both are announced")
        assert len({told[2]["id"] for told in world.told if told[0] == "webhook"}) == 1

    trying(shared_server, namespace, act, **world.ports())
