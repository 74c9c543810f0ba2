"""What is sent: every event of the contract to whoever wants it, whole, signed, once; and nothing else to anybody."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from interrupts import AuthenticationError, FlowInterrupt, InterruptConfig, InterruptKind, InterruptResponse
from interrupts.limits import PAYLOAD_BYTES_MAX
from tests.conftest import until_expired, whole_log
from tests.expiring_process import expiring, whole_worker
from tests.hooked import (
    NEXT_SECRET,
    QUICK,
    SECRET,
    Hooked,
    check_as_in_contract,
    check_signed,
    hooked,
    id_at,
    interrupt_in,
    names,
    numbers,
    said,
    sending,
)
from tests.producing import Producer
from tests.raw import raw
from tests.reacting import hastened, run, until_async
from tests.servers import RedisServer, until
from tests.test_ports import CREATED
from workers import Event, EventBus
from workers.commanding import CommandsRole
from workers.webhooks import verify

YES = InterruptResponse(approved=True)
BODY = {"type", "timestamp", "position", "version", "data"}
ENDS = ["interrupt.resolved", "interrupt.cancelled", "interrupt.expired"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at now and then is looked at often."""
    hastened(monkeypatch, QUICK)


def test_the_ten_events_of_the_contract(shared_server: RedisServer, namespace: str) -> None:
    """Seven kinds that are created, each under its name, and three ends. Each body has the interrupt as it was then."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there, expiring(there.service):
            service, was = there.service, dict[tuple[str, int], FlowInterrupt]()
            hook = await there.at("/hook", "interrupt.*", secret=SECRET)
            for kind in InterruptKind:
                created = await service.create_interrupt(
                    kind, "r", "ada", "s", message="Go?", data={"é": [1, "\u2028🎉"]}
                )
                was[created.id, 1] = created
            ends = [await service.create_confirmation("r", "ada", f"s{n}", "Go?") for n in range(2)]
            late = await service.create_confirmation("r", "ada", "s2", "Go?", ttl=timedelta(milliseconds=1))
            was |= {(one.id, 1): one for one in (*ends, late)}
            for ended in (await service.respond(ends[0].id, YES, "ada"), await service.cancel(ends[1].id, "no")):
                assert ended is not None
                was[ended.id, 2] = ended
            came = await there.receiver.got(len(was) + 1)
            was[late.id, 2] = await until_expired(service, late.id)
            await there.settled()
            assert len(came) == len(was) == 13
            assert sorted(names(came)) == sorted([*CREATED.values(), *["interrupt.confirmation_needed"] * 3, *ENDS])
            log = {event.position: event for event in await whole_log(service)}
            for request in came:
                body, interrupt = said(request), interrupt_in(request)
                event = log.pop(body["position"])
                assert set(body) == BODY
                assert (interrupt.id, body["version"]) == (event.interrupt_id, event.version)
                assert interrupt == was[interrupt.id, event.version]
                assert body["timestamp"] == event.at.isoformat().replace("+00:00", "Z")
                assert request.id == id_at(event.position, hook)
                assert request.headers["content-type"] == "application/json"
                check_signed(request, SECRET)
            assert log == {}

    run(main())


def test_what_is_decided_by_command_is_sent(shared_server: RedisServer, namespace: str) -> None:
    """A producer that has only a plain client creates and answers."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            await there.at("/hook", "interrupt.*")
            role = CommandsRole(there.service)
            work = asyncio.create_task(role.run())
            with shared_server.client() as client:
                producer = await asyncio.to_thread(Producer, client, namespace)
                producer.create("s")
                (created,) = await there.receiver.got(1)
                producer.respond(interrupt_in(created).id)
                _, resolved = await there.receiver.got(2)
            assert names([created, resolved]) == ["interrupt.confirmation_needed", "interrupt.resolved"]
            assert interrupt_in(resolved).response == YES
            role.stop()
            await work

    run(main())


def test_what_is_no_event_of_the_contract_is_not_sent(shared_server: RedisServer, namespace: str) -> None:
    """A deadline that is moved, and the marks of whoever goes on with an interrupt. What is sent is as it was then."""
    bus, resumed = EventBus(), list[str]()

    @bus.subscribe("interrupt.resolved", group="resume", resumes=True)
    async def resume(event: Event) -> None:
        resumed.append(event.interrupt_id)

    async def main() -> None:
        async with hooked(shared_server, namespace, at_work=False) as there, bus.running(there.service):
            service = there.service
            await there.at("/hook")
            one = await service.create_confirmation("r", "u", "s", "Go?", ttl_seconds=60)
            await service.extend(one.id, ttl_seconds=600)
            then = await service.respond(one.id, YES)

            async def marked() -> bool:
                return len(await service.history(one.id)) == 5

            await until_async(marked, "both marks are there")
            async with sending(service):
                await there.settled()
            came = {said(request)["type"]: interrupt_in(request) for request in there.receiver.requests}
            assert came == {"interrupt.confirmation_needed": one, "interrupt.resolved": then}
            assert len(there.receiver.requests) == 2
            assert resumed == [one.id]

    run(main())


def test_a_creation_has_the_name_that_is_configured(shared_server: RedisServer, namespace: str) -> None:
    """Left as the contract has it, the kind's own name stands."""
    configs = {
        InterruptKind.CONFIRMATION: InterruptConfig(webhook_event="approval.wanted"),
        InterruptKind.AGENT_REVIEW: InterruptConfig(default_ttl=timedelta(hours=1)),
    }

    async def main() -> None:
        async with hooked(shared_server, namespace, configs=configs) as there:
            await there.at("/own", "approval.*")
            await there.at("/usual", "interrupt.*")
            await there.service.create_confirmation("r", "u", "s", "Go?")
            await there.service.create_agent_review("r", "u", "s", "Look")
            await there.settled()
            assert names(there.receiver.of("/own")) == ["approval.wanted"]
            assert names(there.receiver.of("/usual")) == ["interrupt.agent_review"]

    run(main())


def test_scopes(shared_server: RedisServer, namespace: str) -> None:
    """An endpoint has the events of its request, session or user, or all; one url in several scopes is several."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            mine = [None, "r1", "session:s1", "user:u1"]
            ids = [await there.at(f"/{scope}", scope=scope) for scope in mine]
            others = ["r2", "request:s1", "request:u1", "session:r1", "session:u1", "user:r1", "user:s1", "s1"]
            for scope in others:
                await there.at(f"/not/{scope}", scope=scope)
            same = [await there.at("/same", scope=scope) for scope in (*mine, "request:r1")]
            assert len({*ids, *same}) == 8
            assert same[1] == same[4]
            one = await there.service.create_confirmation("r1", "u1", "s1", "Go?")
            own = await there.service.publish("tests.own.happened", {}, request_id="r1", session_id="s1", user_id="u1")
            await there.settled()
            came = there.receiver.requests
            expected = {id_at(at, hook) for at in (str(one.position), own) for hook in (*ids, *same)}
            assert {request.id for request in came} == expected
            assert len(came) == len(expected) == 16
            assert not [request.path for request in came if request.path.startswith("/not/")]

    run(main())


def test_what_is_emitted_names_the_ids_that_were_given(shared_server: RedisServer, namespace: str) -> None:
    """And no others, whatever its order comes from. It is counted to as many endpoints as it is sent to."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            hooks = there.hooks
            for scope in ("r1", "session:s1", "session:r1", "session:tests.happened", "user:u1", "user:r1", "r2"):
                await there.at(f"/{scope}", scope=scope)
            given = [{"request_id": "r1"}, {"session_id": "s1", "user_id": "u1"}, {"user_id": "u1"}, {}]
            counts = [await hooks.count_for("tests.happened", ids) for ids in given]
            for number, ids in enumerate(given):
                await hooks.emit("tests.happened", {"n": number}, ids=ids)
            await there.settled()
            came = there.receiver.requests
            assert counts == [numbers(came).count(number) for number in range(4)]
            told = [
                (one.path, said(one)["data"]["n"], said(one).get("request_id"), said(one).get("session_id"))
                for one in came
            ]
            assert {one for one in told if one[0] != "/session:r1" and one[0] != "/session:tests.happened"} == {
                ("/r1", 0, "r1", None),
                ("/session:s1", 1, None, "s1"),
                ("/user:u1", 1, None, "s1"),
                ("/user:u1", 2, None, None),
            }
            assert {one[3] for one in told if one[1] != 1} == {None}

    run(main())


PATTERNS: dict[str, tuple[list[str], list[int]]] = {
    "/all": (["*"], [1, 2, 3, 4, 5]),
    "/one": (["agent.step.done"], [1]),
    "/some": (["agent.*"], [1, 2, 4]),
    "/deeper": (["agent.step.*"], [1, 4]),
    "/several": (["agent.*", "agent.step.done", "request.completed"], [1, 2, 3, 4]),
    "/none": (["age.*", "agent", "completed", "step.*"], []),
}


def test_patterns(shared_server: RedisServer, namespace: str) -> None:
    """A name, the beginning of names up to a dot, or all; what several patterns fit is sent once."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            for path, (patterns, _) in PATTERNS.items():
                await there.at(path, *patterns)
            events = ("agent.step.done", "agent.started", "request.completed", "agent.step.sub.done", "agents.started")
            for number, name in enumerate(events, 1):
                await there.emit(number, name=name)
            await there.settled()
            found = {path: numbers(there.receiver.of(path)) for path in PATTERNS}
            assert found == {path: expected for path, (_, expected) in PATTERNS.items()}

    run(main())


def test_headers_and_large_bodies(shared_server: RedisServer, namespace: str) -> None:
    """The endpoint's own headers come along. Without a secret there is no signature, only the id and the time."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            own = {"Authorization": "Bearer abc", "X-Shop": "a b\t~"}
            await there.at("/signed", secret=SECRET, headers=own)
            await there.at("/plain")
            data: dict[str, Any] = {"n": 1, "text": "é🎉\u2028\x00" * (PAYLOAD_BYTES_MAX // 40)}
            await there.hooks.emit("tests.happened", data)
            await there.settled()
            (signed,), (plain,) = there.receiver.of("/signed"), there.receiver.of("/plain")
            assert {name: signed.headers[name.lower()] for name in own} == own
            check_signed(signed, SECRET)
            assert said(signed)["data"] == said(plain)["data"] == data
            assert not {"webhook-signature", "x-webhook-signature", "x-shop"} & set(plain.headers)
            assert {"webhook-id", "webhook-timestamp"} <= set(plain.headers)
            with pytest.raises(AuthenticationError):
                verify(plain.body, plain.headers, SECRET)

    run(main())


def test_only_what_happens_from_the_registration_on(shared_server: RedisServer, namespace: str) -> None:
    """Nothing from before, be it that somebody was there to send it, or that it is replayed."""

    async def main() -> None:
        async with hooked(shared_server, namespace, at_work=False) as there:
            await there.at("/early")
            await there.emit(1)
            await asyncio.sleep(0.01)  # the next millisecond of the server
            await there.at("/late")
            await there.emit(2)
            async with sending(there.service):
                await there.settled()
                await asyncio.to_thread(replay, shared_server, namespace, "webhooks")
                await until(lambda: len(there.receiver.of("/late")) == 2, "it is sent again")
                await there.settled()
            assert [numbers(there.receiver.of(path)) for path in ("/early", "/late")] == [[1, 1, 2, 2], [2, 2]]

    run(main())


def test_registered_right_before_an_event(shared_server: RedisServer, namespace: str) -> None:
    """Whoever sends is another process, which has looked at what is registered some time ago."""
    allowed = {"INTERRUPTS_WEBHOOK_NETWORKS": "127.0.0.0/8", "INTERRUPTS_HANDLERS": ""}

    async def main(there: Hooked) -> None:
        for number in range(30):
            await there.at(f"/{number}", f"tests.n{number}.*")
            await there.emit(number, name=f"tests.n{number}.happened")
        await there.receiver.got(30)
        await there.settled()
        assert sorted(request.path for request in there.receiver.requests) == sorted(f"/{n}" for n in range(30))

    async def start() -> None:
        async with hooked(shared_server, namespace, at_work=False) as there:
            with whole_worker(shared_server.url, namespace, "webhooks", **allowed):
                await main(there)

    run(start())


def test_unregistered(shared_server: RedisServer, namespace: str) -> None:
    """Nothing more is sent to it, and nothing of it is left: what waits, what is being sent, what was given up."""

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1) as there:
            receiver, hooks = there.receiver, there.hooks
            receiver.script("/mixed", "/status/500", "/ok", "/hang", "/status/500")
            gone = await there.at("/mixed", concurrency=1, max_retries=0, secret=SECRET)
            stays = await there.at("/stays")
            assert await hooks.unregister("session:other") == await hooks.unregister(url=receiver.url("/other")) == 0
            await there.emit(*range(5))
            await receiver.got(3, "/mixed")
            await there.one(gone, "failed")
            assert await there.keys_with(gone)
            assert await hooks.unregister(url=receiver.url("/mixed")) == 1
            await there.emit(5)
            await receiver.got(6, "/stays")
            receiver.release()
            await there.settled()
            await until_async(lambda: _none(there, gone), "its keys are gone")
            assert numbers(receiver.of("/mixed")) == [0, 1, 2]
            assert numbers(receiver.of("/stays")) == list(range(6))
            assert await hooks.unregister(webhook_id=stays) == 1
            await until_async(lambda: _none(there, stays), "its keys are gone")
            left = f"{{{namespace}}}:webhooks"  # numbers of changes, with nothing of what was registered
            kept = [key for key in await there.keys_with(left) if await raw(there.service, "TTL", key) < 0]
            assert kept == [f"{left}:meta", f"{left}:news"]

    run(main())


async def _none(there: Hooked, webhook_id: str) -> bool:
    return not await there.keys_with(webhook_id)


def test_rotation(shared_server: RedisServer, namespace: str) -> None:
    """Both secrets hold until the old one's time is over, also if it is registered again meanwhile."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            hooks, receiver = there.hooks, there.receiver
            hook = await hooks.register(there.config("/hook", secret=SECRET))
            await hooks.rotate_secret(hook, NEXT_SECRET, overlap_s=1000)
            for number, secret in enumerate((NEXT_SECRET, SECRET, None), 1):
                assert await hooks.register(there.config("/hook", secret=secret)) == hook
                await there.emit(number)
                both = (await receiver.got(number))[-1]
                verify(both.body, both.headers, SECRET)
                verify(both.body, both.headers, NEXT_SECRET)
                check_as_in_contract(both, SECRET)
            await hooks.rotate_secret(hook, SECRET, overlap_s=0)
            await there.emit(4)
            last = (await receiver.got(4))[-1]
            check_signed(last, SECRET)
            assert " " not in last.headers["webhook-signature"]
            with pytest.raises(AuthenticationError):
                verify(last.body, last.headers, NEXT_SECRET)
            await hooks.register(there.config("/hook", secret=NEXT_SECRET))  # another one than it has: a new rotation
            await there.emit(5)
            both = (await receiver.got(5))[-1]
            verify(both.body, both.headers, NEXT_SECRET)
            check_as_in_contract(both, SECRET)

    run(main())


def replay(server: RedisServer, namespace: str, group: str) -> str:
    """Hands all events to a group once more, as operators do; what that says."""
    where = {"INTERRUPTS_REDIS_URL": server.url, "INTERRUPTS_NAMESPACE": namespace}
    command = [sys.executable, "-m", "workers", "replay", "--to-group", group]
    done = subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_replays(shared_server: RedisServer, namespace: str) -> None:
    """One to the group of webhooks sends all again, under the same ids; one to another group sends nothing."""
    bus, handled = EventBus(), list[str]()

    @bus.subscribe("*", group="other")
    async def handle(event: Event) -> None:
        handled.append(event.position)

    async def main() -> None:
        async with hooked(shared_server, namespace) as there, bus.running(there.service):
            await there.at("/hook", secret=SECRET)
            one = await there.service.create_confirmation("r", "u", "s", "Go?")
            await there.service.respond(one.id, YES)
            await there.emit(1)
            first = list(await there.receiver.got(3))
            await there.settled()
            await asyncio.to_thread(replay, shared_server, namespace, "other")
            await until(lambda: len(handled) == 6, "they are handled again")
            await there.settled()
            assert len(there.receiver.requests) == 3
            said_so = await asyncio.to_thread(replay, shared_server, namespace, "webhooks")
            assert said_so.startswith("3 events handed to webhooks")
            again = (await there.receiver.got(6))[3:]
            await there.settled()
            assert sorted(request[2] for request in again) == sorted(request[2] for request in first)
            assert sorted(request.id for request in again) == sorted(request.id for request in first)
            for request in again:
                check_signed(request, SECRET)

    run(main())
