"""The webhook service of the contract: its calls as they are written there, from any thread. What it never tells."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import inspect
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from interrupts import (
    ConflictError,
    InterruptResponse,
    UnavailableError,
    ValidationError,
    WebhookServiceProtocol,
    connect,
)
from tests.conftest import World
from tests.hooked import LOCAL, NEXT_SECRET, QUICK, SECRET, check_signed, hooked, names, numbers, said
from tests.raw import raw
from tests.reacting import hastened, run
from tests.receiver import Receiver
from tests.servers import RedisServer, free_port, until
from workers import Event, EventBus
from workers.webhooks import DeliveryStatus, WebhookConfig, WebhookDeliveryResult, WebhookService, WebhookSubscriber

HEADER = "Bearer of a value that nobody sees"
QUERY = "token-in-the-query"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at now and then is looked at often."""
    hastened(monkeypatch, QUICK)


def test_the_example_of_the_contract(url: str, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """With a server and rules besides; with a logger of the standard library, on a server and in memory."""

    async def main() -> None:
        async with Receiver() as receiver:
            logger = logging.getLogger("shop")
            service = WebhookService(logger, url=url, namespace=namespace, rules=LOCAL)  # type: ignore[arg-type]
            await service.start_delivery_worker()
            config = WebhookConfig(
                url=receiver.url("/webhook"), events=["request.completed", "agent.*"], secret="my-hmac-secret"
            )
            webhook_id = service.register(config, scope="request-123")
            count = await service.emit_event(
                event_type="request.completed",
                data={"status": "success", "result": "..."},
                request_id="request-123",
            )
            assert count == 1
            (request,) = await receiver.got(1)
            check_signed(request, "my-hmac-secret")
            assert said(request)["data"] == {"status": "success", "result": "..."}
            assert (said(request)["type"], said(request)["request_id"]) == ("request.completed", "request-123")
            await service.stop_delivery_worker()
            (result,) = service.get_delivery_results("request-123")
            assert (result.webhook_id, result.status) == (webhook_id, DeliveryStatus.DELIVERED)
            (told,) = service.get_webhooks("request-123")
            assert (told.url, told.events, told.secret) == (config.url, config.events, None)
            assert service.get_webhooks() == []
            assert service.unregister("request-123") == 1
            assert service.get_webhooks("request-123") == []
            assert service.get_delivery_results() == []
            service.close()

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert {record.levelname for record in caplog.records} <= {"DEBUG", "INFO"}


REQUIRED = inspect.Parameter.empty
METHODS: dict[str, tuple[bool, dict[str, Any]]] = {
    "__init__": (False, {"logger": None, "delivery_queue_size": 1000}),
    "register": (False, {"config": REQUIRED, "scope": None}),
    "unregister": (False, {"scope": None, "url": None}),
    "get_webhooks": (False, {"scope": None}),
    "emit_event": (True, {"event_type": REQUIRED, "data": REQUIRED, "request_id": None, "event_id": None}),
    "start_delivery_worker": (True, {}),
    "stop_delivery_worker": (True, {}),
    "get_delivery_results": (False, {"scope": None, "limit": 100}),
    "create_subscriber": (False, {"scope": None}),
}
CONFIG = {"timeout_seconds": 30, "max_retries": 3, "retry_delay_seconds": 1.0}
RESULT: dict[str, Any] = {"response_status": None, "response_body": None, "error": None, "delivered_at": None}


def test_its_signatures_are_those_of_the_contract() -> None:
    """In this order, with these defaults; what is there besides is given by name, or can be left out."""
    for name, (is_async, expected) in METHODS.items():
        method = getattr(WebhookService, name)
        assert inspect.iscoroutinefunction(method) == is_async, name
        found = list(inspect.signature(method).parameters.values())[1:]
        assert {one.name: one.default for one in found[: len(expected)]} == expected
        assert {one.kind for one in found[: len(expected)]} <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        assert {one.kind for one in found[len(expected) :]} <= {inspect.Parameter.KEYWORD_ONLY}
    assert [(one.name, one.value) for one in DeliveryStatus] == [
        (name.upper(), name) for name in ("pending", "delivered", "failed", "retrying")
    ]
    assert issubclass(DeliveryStatus, str)
    assert list(inspect.signature(WebhookConfig).parameters)[:4] == ["url", "events", "secret", "headers"]
    defaults = {one.name: one.default for one in dataclasses.fields(WebhookConfig)}
    assert CONFIG.items() <= defaults.items()
    assert list(inspect.signature(WebhookConfig).parameters)[4:7] == list(CONFIG)
    assert WebhookConfig("u", ["*"]).headers == {}
    parameters = list(inspect.signature(WebhookDeliveryResult).parameters.values())
    assert [one.name for one in parameters[:4]] == ["webhook_id", "event_type", "status", "attempt"]
    assert {one.name: one.default for one in parameters[4:9]} == RESULT | {"duration_ms": 0.0}
    assert isinstance(WebhookService(), WebhookServiceProtocol)
    config = WebhookConfig("u", ["request.*", "agent.done"])
    assert [config.matches_event(name) for name in ("request.a", "request.a.b", "agent.done")] == [True] * 3
    assert [config.matches_event(name) for name in ("request", "requests.a", "agent.done.x", "")] == [False] * 4
    assert WebhookConfig("u", ["*"]).matches_event("anything")
    for wrong in (0, -1, 1.5, True, "9"):
        with pytest.raises(ValidationError, match=r"^delivery_queue_size: "):
            WebhookService(None, wrong)  # type: ignore[arg-type]


def test_from_many_threads_and_within_a_loop(shared_server: RedisServer, namespace: str) -> None:
    """A call blocks its caller for a moment, and nobody else: its worker goes on meanwhile."""

    async def main() -> None:
        async with Receiver() as receiver:
            with WebhookService(url=shared_server.url, namespace=namespace, rules=LOCAL) as service:

                def work(number: int) -> str:
                    hook = service.register(WebhookConfig(receiver.url(f"/{number}"), ["*"]), f"r{number}")
                    assert asyncio.run(service.emit_event("a.b", {"n": number}, f"r{number}")) == 1
                    assert [one.url for one in service.get_webhooks(f"r{number}")] == [receiver.url(f"/{number}")]
                    return hook

                with ThreadPoolExecutor(8) as pool:
                    loop = asyncio.get_running_loop()
                    started = asyncio.create_task(service.start_delivery_worker())
                    ids = await asyncio.gather(*(loop.run_in_executor(pool, work, number) for number in range(24)))
                    await started
                assert len(set(ids)) == 24
                assert service.register(WebhookConfig(receiver.url("/0"), ["*"]), "r0") == ids[0]  # within the loop
                await receiver.got(24)
                assert {request.path: said(request)["data"]["n"] for request in receiver.requests} == {
                    f"/{number}": number for number in range(24)
                }

    run(main())


def test_an_event_with_an_id_is_emitted_once(shared_server: RedisServer, namespace: str) -> None:
    """Whoever says it again, also at once. Other data under this id are refused. What is counted are endpoints."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            await there.at("/all")
            await there.at("/mine", "a.*", scope="r")
            await there.at("/other", "a.*", scope="q")
            await there.at("/off", "a.*")
            services = [WebhookService(url=shared_server.url, namespace=namespace, rules=LOCAL) for _ in range(2)]
            emitted = [one.emit_event("a.b", {"n": 1}, "r", "event-1") for one in services * 3]
            assert set(await asyncio.gather(*emitted)) == {3}
            with pytest.raises(ConflictError):
                await services[0].emit_event("a.b", {"n": 2}, "r", "event-1")
            assert await services[0].emit_event("a.b", {"n": 3}) == 2
            assert await services[0].emit_event("b.c", {"n": 3}) == 1
            await there.settled()
            assert numbers(there.receiver.of("/all")) == [1, 3, 3]
            assert numbers(there.receiver.of("/mine")) == [1]
            assert there.receiver.of("/other") == []
            for name, data in (("interrupt.resolved", {}), ("completed", {}), ("a.b", [1]), ("a.b", {"n": {1}})):
                with pytest.raises(ValidationError):
                    await services[0].emit_event(name, data)  # type: ignore[arg-type]
            for one in services:
                one.close()

    run(main())


def test_as_a_port_it_reads_the_log(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt service does not call it: each event is sent once."""
    called: list[str] = []

    async def main() -> None:
        async with Receiver() as receiver:
            with WebhookService(url=url, namespace=namespace, rules=LOCAL) as webhooks:
                monkeypatch.setattr(webhooks, "emit_event", lambda *_: called.append("emit_event"))
                webhooks.register(WebhookConfig(receiver.url("/hook"), ["*"]))
                await webhooks.start_delivery_worker()
                async with connect(url, namespace=namespace, webhook_service=webhooks) as service:
                    one = await service.create_confirmation("r", "u", "s", "Go?")
                    await service.respond(one.id, InterruptResponse(approved=True))
                    await receiver.got(2)
                    await service.publish("tests.last.happened", {})
                    await receiver.got(3)
                assert sorted(names(receiver.requests)) == [
                    "interrupt.confirmation_needed",
                    "interrupt.resolved",
                    "tests.last.happened",
                ]
                assert called == []

    run(main())


def test_a_subscriber(shared_server: RedisServer, namespace: str) -> None:
    """Takes a name and data, or an object; an event of the store's bus is on its way already, and only counted."""
    bus, counts = EventBus(), dict[str, int]()

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            with WebhookService(url=shared_server.url, namespace=namespace, rules=LOCAL) as webhooks:
                subscriber = webhooks.create_subscriber("r1")
                assert isinstance(subscriber, WebhookSubscriber)

                @bus.subscribe("*", group="hand-on")
                async def hand_on(event: Event) -> None:
                    counts[event.event_type] = await subscriber(event)

                for scope in (None, "r1", "r2", "session:s1"):
                    await there.at(f"/{scope}", scope=scope)
                assert await subscriber("a.b", {"n": 1}) == 2
                assert await subscriber("a.b", {"n": 2, "request_id": "r2"}) == 2
                thing = SimpleNamespace(event_type="a.c", data={"n": 3}, request_id="r2", event_id="e-3")
                assert [await subscriber.on_event(thing), await subscriber.handle_event(thing)] == [2, 2]
                assert await subscriber(SimpleNamespace(type="a.d", payload={"n": 4})) == 2
                assert await webhooks.create_subscriber("session:s1")("a.e", {"n": 5}) == 2
                assert await webhooks.create_subscriber()("a.f", {"n": 6}) == 1
                for wrong in (
                    5,
                    None,
                    SimpleNamespace(),
                    SimpleNamespace(event_type=5),
                    SimpleNamespace(type="a.b", data=5),
                ):
                    with pytest.raises(ValidationError):
                        await subscriber(wrong)
                await there.settled()
                found = {path: numbers(there.receiver.of(path)) for path in ("/None", "/r1", "/r2", "/session:s1")}
                assert found == {"/None": [1, 2, 3, 4, 5, 6], "/r1": [1, 4], "/r2": [2, 3], "/session:s1": [5]}
                there.receiver.requests.clear()
                await there.at("/asked", "interrupt.confirmation_needed")
                async with bus.running(there.service):
                    await there.service.publish("tests.bus.happened", {"n": 7}, session_id="s1")
                    one = await there.service.create_confirmation("r3", "u", "s2", "Go?")
                    await there.service.extend(one.id, ttl_seconds=100_000)
                    await until(lambda: len(counts) == 3, "the bus has handed them on")
                    await there.settled()
                came = [said(request)["type"] for request in there.receiver.requests]
                assert len(came) == 4
                sent = {name: came.count(name) for name in ("tests.bus.happened", "interrupt.extended")}
                assert counts == sent | {"interrupt.created": came.count("interrupt.confirmation_needed")}

    run(main())


def test_what_it_has_besides_the_contract(shared_server: RedisServer, namespace: str) -> None:
    """Looking at endpoints and deliveries, switching, rotating, tests and sending again: all without async."""

    async def main() -> None:
        async with Receiver() as receiver:
            with WebhookService(url=shared_server.url, namespace=namespace, rules=LOCAL) as service:
                receiver.script("/hook", "/status/500", "/ok")
                hook = service.register(WebhookConfig(receiver.url("/hook"), ["*"], SECRET, max_retries=0), "r")
                await service.start_delivery_worker()
                delivery = service.send_test(hook)
                await until(lambda: service.stats(hook).failed == 1, "it is given up")
                assert service.delivery(delivery).result.response_status == 500
                assert service.switch_off(hook, "for now")
                assert [(one.id, one.off) for one in service.endpoints("r")] == [(hook, "for now")]
                assert service.endpoints() == []
                assert len(service.endpoints(everywhere=True)) == 1
                assert service.resend(hook, [delivery]).done == 1
                service.rotate_secret(hook, NEXT_SECRET, overlap_s=0)
                assert service.switch_on(hook)
                _, request = await receiver.got(2)
                assert request.id == delivery
                check_signed(request, NEXT_SECRET)

    run(main())


def test_starting_stopping_and_what_is_closed(shared_server: RedisServer, namespace: str) -> None:
    """Any number of times, in any order. What is emitted while no worker runs is sent by the next one."""

    async def main() -> None:
        async with Receiver() as receiver:
            service = WebhookService(url=shared_server.url, namespace=namespace, rules=LOCAL)
            await service.stop_delivery_worker()
            service.close()
            service.register(WebhookConfig(receiver.url("/hook"), ["*"]))
            await service.emit_event("a.b", {"n": 1})
            await asyncio.gather(*(service.start_delivery_worker() for _ in range(3)))
            await service.start_delivery_worker()
            await receiver.got(1)
            await service.emit_event("a.b", {"n": 2})
            await receiver.got(2)
            receiver.script("/hook", "/hang")
            await service.emit_event("a.b", {"n": 3})
            await receiver.got(3)
            stopping = asyncio.create_task(service.stop_delivery_worker())
            await asyncio.sleep(0.05)
            receiver.release()
            await stopping
            assert {one.status for one in service.get_delivery_results()} == {DeliveryStatus.DELIVERED}
            service.close()
            await service.emit_event("a.b", {"n": 4})
            service.close()
            assert numbers(receiver.requests) == [1, 2, 3]
            await service.start_delivery_worker()
            await receiver.got(4)
            await service.stop_delivery_worker()
            await service.stop_delivery_worker()
            assert numbers(receiver.requests) == [1, 2, 3, 4]
        assert not [one for one in threading.enumerate() if one.name == "interrupts"]

    run(main())


def test_a_server_that_is_away(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call says so, and leaves nothing behind."""
    hasty = partial(connect, attempt_timeout_s=0.1, call_timeout_s=0.2)
    monkeypatch.setattr("workers.webhooks.threaded.connect", hasty)
    service = WebhookService(url=f"redis://127.0.0.1:{free_port()}", namespace=namespace, rules=LOCAL)
    config = WebhookConfig("http://127.0.0.1:8080/", ["*"])

    async def main() -> None:
        subscriber = service.create_subscriber()
        for call in (lambda: service.emit_event("a.b", {}), service.start_delivery_worker, lambda: subscriber("a.b")):
            with pytest.raises(UnavailableError):
                await call()
        await service.stop_delivery_worker()

    asyncio.run(main())
    blocking: list[Callable[[], object]] = [lambda: service.register(config), service.unregister, service.get_webhooks]
    for ask in (*blocking, service.get_delivery_results):
        with pytest.raises(UnavailableError):
            ask()
    service.close()
    assert not [one for one in threading.enumerate() if one.name == "interrupts"]


FORKS = """
import asyncio, os, sys
from workers.webhooks import Rules, WebhookConfig, WebhookService
url, namespace, hook = sys.argv[1:]
service = WebhookService(url=url, namespace=namespace, rules=Rules(networks=("127.0.0.0/8",)))
service.register(WebhookConfig(hook, ["*"]))
asyncio.run(service.start_delivery_worker())
closed, close = os.pipe()
child = os.fork()
if not child:
    try:
        service.get_webhooks()
    except RuntimeError as error:
        print(error)
    service.close()
    asyncio.run(service.start_delivery_worker())
    os.read(closed, 1)
    print(asyncio.run(service.emit_event("a.b", {"n": 1})), flush=True)
    sys.stdin.readline()
    service.close()
    os._exit(0)
service.close()
os.write(close, b".")
assert os.waitpid(child, 0)[1] == 0
asyncio.run(service.start_delivery_worker())
asyncio.run(service.emit_event("a.b", {"n": 2}))
sys.stdin.readline()
service.close()
print("done")
"""


def test_after_a_fork(shared_server: RedisServer, namespace: str) -> None:
    """The child is told that this is its parent's. Closed there it is as new, and does without the parent."""

    async def main() -> None:
        async with Receiver() as receiver:
            popen = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS),
                *(shared_server.url, namespace, receiver.url("/hook")),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
                start_new_session=True,
            )
            assert popen.stdin is not None
            try:
                for number in (1, 2):
                    await receiver.got(number)
                    popen.stdin.write(b"go on\n")
                out, err = await popen.communicate()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(popen.pid, signal.SIGKILL)  # also the child, whatever it waits for
                await popen.wait()
            assert err.decode() == ""
            told, count, done = out.decode().splitlines()
            assert "before the process was forked" in told
            assert (count, done) == ("1", "done")
            assert numbers(receiver.requests) == [1, 2]

    run(main())


def whole(error: BaseException | None) -> str:
    """All that can be read off an error, and off those behind it."""
    return f"{error} {error!r} {whole(error.__cause__)} {whole(error.__context__)}" if error else ""


def test_what_is_secret_is_in_no_line_and_in_no_answer(
    shared_server: RedisServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With every detail that is logged, whatever goes wrong: refusals, failures, damage, endpoints that are gone."""
    world, seen = World(), list[Any]()
    secret: dict[str, Any] = {"secret": SECRET, "headers": {"Authorization": HEADER}}

    async def main() -> None:
        async with hooked(shared_server, namespace, logger=world) as there:
            hooks, receiver = there.hooks, there.receiver
            answers = {"/ok": "delivered", "/status/500": "failed", "/drop": "failed", "/garbage": "failed"}
            ids = {path: await there.at(f"{path}?{QUERY}", max_retries=0, **secret) for path in answers}
            gone = await there.at(f"/status/410?{QUERY}", **secret)
            nowhere = there.config("/x", max_retries=0, **secret)
            nowhere.url = f"http://nowhere.invalid:{receiver.port}/x?{QUERY}"
            ids["/x"] = await hooks.register(nowhere)
            for wrong in (
                {"secret": f"{SECRET}\n"},
                {"headers": {"Authorization": f"{HEADER}\n"}},
                {"headers": {"Host": HEADER}},
            ):
                with pytest.raises(ValidationError) as refused:
                    await there.at("/wrong", **wrong)
                seen.append(whole(refused.value))
            await hooks.rotate_secret(ids["/ok"], NEXT_SECRET)
            await there.emit(1)
            for path, hook in ids.items():
                result = await there.one(hook, answers.get(path, "failed"))
                seen.extend([result, await hooks.delivery(result.delivery_id)])
            await there.until_off(gone)
            key = there.service.store.keys.hooks
            (stored,) = await raw(there.service, "HMGET", key, ids["/ok"])
            await raw(there.service, "HSET", key, ids["/ok"], stored[:-1])
            await raw(
                there.service, "HSET", key, ids["/drop"], stored.replace(HEADER.encode(), HEADER.encode() + b"\\n")
            )
            await hooks.switch_off(gone, "again")
            await there.emit(2)
            await there.results(ids["/garbage"], "failed", 2)
            await until(lambda: "webhooks.unreadable" in str(world.lines), "it is said that one can't be read")
            for one in (*await hooks.get_webhooks(), *await hooks.endpoints(everywhere=True)):
                seen.append(one)
            seen.extend(one.to_dict() for one in await hooks.endpoints(everywhere=True))
            with pytest.raises(Exception, match="can't be read") as damaged:
                await hooks.endpoint(ids["/ok"])
            seen.append(whole(damaged.value))
            with WebhookService(world, url=shared_server.url, namespace=namespace, rules=LOCAL) as service:
                seen.extend(service.get_webhooks())
                seen.extend(service.get_delivery_results())

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert {"webhooks.given_up", "webhooks.switched_off", "webhooks.unreadable"} <= {
        event for _, event, _ in world.lines
    }
    said_so = [*map(repr, world.lines), *(record.getMessage() for record in caplog.records), *map(repr, seen)]
    secrets = (SECRET, NEXT_SECRET, HEADER, json.dumps(HEADER))
    assert [line for line in said_so if any(one in line for one in secrets)] == []
    assert [line for line in map(repr, world.lines) if QUERY in line] == []


def test_in_a_memory_without_a_name(namespace: str) -> None:
    """No interrupt service shares it, so no interrupt would ever be sent: that is refused, or said aloud."""
    world, refused = World(), ""
    try:
        with WebhookService(world, url="memory://", namespace=namespace, rules=LOCAL) as service:
            service.get_webhooks()
    except ValidationError as error:
        refused = str(error.field)
    aloud = [line for line in world.lines if line[0] in ("warning", "error") and "memory" in str(line)]
    assert refused == "url" or aloud
