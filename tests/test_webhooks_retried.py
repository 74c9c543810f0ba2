"""What does not arrive is tried again, waits while an endpoint is off, is given up and kept: nothing is lost unsaid."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any

import pytest

from interrupts import ValidationError
from interrupts.positions import time_of
from tests.conftest import World
from tests.hooked import QUICK, SECRET, Hooked, check_signed, hooked, id_at, names, numbers, said
from tests.reacting import hastened, run, until_async
from tests.servers import RedisServer, until
from workers.webhooks import Rules

LIMITS = "interrupts.store.deliveries"
FAILURES: dict[str, tuple[str, int | None, str]] = {
    "500": ("/status/500?body=broken", 500, "it answered 500"),
    "404": ("/status/404", 404, "it answered 404"),
    "503 later": ("/status/503?Retry-After=0", 503, "it answered 503"),
    "301": ("/status/301?Location=/elsewhere", 301, "a redirect to /elsewhere, which is not followed"),
    "302 abroad": ("/status/302?Location=http://127.0.0.1:{port}/elsewhere", 302, "not followed"),
    "307": ("/status/307?Location=/elsewhere", 307, "not followed"),
    "308": ("/status/308?Location=/elsewhere", 308, "not followed"),
    "304": ("/status/304", 304, "it answered 304"),
    "hangs": ("/hang", None, "timed out"),
    "drops": ("/drop", None, "the connection was closed"),
    "does not read": ("/drop-unread", None, "the connection was closed"),
    "half a head": ("/half-head", None, "the connection was closed"),
    "garbage": ("/garbage", None, "is not HTTP"),
}
ARRIVES = ["/status/201", "/status/204", "/status/299?body=x", "/huge/3000000", "/drip/0.01", "/half"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at now and then is looked at often; who is gone is left alone for a moment only."""
    hastened(monkeypatch, QUICK | {"workers.webhooks.trying.GONE_REST_S": 0.1})


async def until_waiting(there: Hooked, hook: str, count: int) -> None:
    """Returns when so many wait."""

    async def waits() -> bool:
        return (await there.hooks.stats(hook)).waiting == count

    await until_async(waits, f"{count} wait for {hook}")


@pytest.mark.parametrize("how", FAILURES)
def test_what_fails_is_tried_again(shared_server: RedisServer, namespace: str, how: str) -> None:
    """The same bytes under the same id, signed anew; nothing is followed to anywhere."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            way, status, error = FAILURES[how]
            there.receiver.script("/hook", way.format(port=there.receiver.port), "/hang")
            hook = await there.at("/hook", secret=SECRET, timeout_seconds=3 if way == "/hang" else 30)
            (position,) = await there.emit(1)
            await there.receiver.got(2)
            tried = await there.one(hook, "retrying")
            assert (tried.attempt, tried.response_status) == (1, status)
            assert error in (tried.error or "")
            assert tried.next_attempt_at is None  # it is under way
            there.receiver.release()
            done = await there.one(hook, "delivered")
            assert (done.attempt, done.response_status, done.error) == (2, 200, None)
            first, second = there.receiver.requests
            assert first.id == second.id == done.delivery_id == id_at(position, hook)
            assert second.path == "/hook"
            if way != "/drop-unread":
                assert first.body == second.body
                check_signed(first, SECRET)
            check_signed(second, SECRET)
            stats = await there.hooks.stats(hook)
            assert (stats.delivered, stats.failed_tries, stats.given_up, stats.waiting) == (1, 1, 0, 0)

    run(main())


@pytest.mark.parametrize("way", ARRIVES)
def test_whatever_comes_back_with_it_any_2xx_is_a_success(shared_server: RedisServer, namespace: str, way: str) -> None:
    """Of bodies that are huge, broken off or have no end a beginning is kept, and the delivery is not sent again."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            hook = await there.at(way)
            await there.emit(1, 2)
            one, two = await there.results(hook, "delivered", 2)
            assert one.attempt == two.attempt == 1
            assert len(one.response_body or "") <= 1_000
            await there.settled()
            assert numbers(there.receiver.requests) == [1, 2]

    run(main())


def test_who_asks_to_be_left_alone_is(shared_server: RedisServer, namespace: str) -> None:
    """Nothing at all is sent to it before that time is over; others are sent theirs meanwhile."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            receiver = there.receiver
            receiver.script("/busy", "/status/429?Retry-After=2", "/ok")
            await there.at("/busy", "tests.*")
            await there.at("/well")
            await there.emit(1)
            (first,) = await receiver.got(1, "/busy")
            await there.emit(2, 3, 4, 5)
            well = await receiver.got(5, "/well")
            busy = await receiver.got(6, "/busy")
            await there.settled()
            assert numbers(busy) == [1, 1, 2, 3, 4, 5]
            assert min(request.at for request in busy[1:]) >= first.at + 1.99
            assert max(request.at for request in well) < busy[1].at

    run(main())


def test_who_is_gone_is_switched_off(shared_server: RedisServer, namespace: str) -> None:
    """At once, and that is said. What is there for it waits, also what it has refused, until it is on again."""
    world = World()

    async def main() -> None:
        async with hooked(shared_server, namespace, logger=world) as there:
            there.receiver.script("/hook", "/status/410", "/ok")
            hook = await there.at("/hook", max_retries=0)
            await there.emit(1)
            assert "410" in await there.until_off(hook)
            (line,) = [fields for _, event, fields in world.lines if event == "webhooks.switched_off"]
            assert line["webhook"] == hook
            await there.emit(2, 3)
            await until_waiting(there, hook, 3)
            with pytest.raises(ValidationError, match="410") as refused:
                await there.hooks.send_test(hook)
            assert refused.value.field == "webhook_id"
            assert not await there.hooks.switch_off(hook)
            assert await there.at("/hook", max_retries=0) == hook
            assert "410" in str((await there.hooks.endpoint(hook)).off)
            assert [fields["webhook"] for _, event, fields in world.lines if event == "webhooks.still_off"] == [hook]
            assert numbers(there.receiver.requests) == [1]
            assert await there.hooks.switch_on(hook)
            assert not await there.hooks.switch_on(hook)
            await there.settled()
            assert numbers(there.receiver.requests) == [1, 1, 2, 3]
            assert (await there.hooks.endpoint(hook)).off is None

    run(main())


def test_who_fails_for_long_is_switched_off_by_its_rule(shared_server: RedisServer, namespace: str) -> None:
    """Not before every try has failed for so long; one without the rule never is. On again, it begins anew."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            receiver = there.receiver
            receiver.script("/broken", "/status/500")
            more: dict[str, Any] = {"max_retries": 100, "max_retry_delay_seconds": 0.05}
            rule = await there.at("/broken", off_after_seconds=0.5, **more)
            none = await there.at("/broken", scope="user:u", off_after_seconds=None, **more)
            await there.service.publish("tests.event.happened", {"n": 1}, user_id="u")
            assert await there.until_off(rule) == "every try has failed for 0.5 seconds"
            stats = await there.hooks.stats(rule)
            assert stats.failed_at is not None
            assert stats.failing_since is not None
            assert stats.failed_at - stats.failing_since >= timedelta(seconds=0.5)
            tries = [request for request in receiver.requests if request.id.endswith(rule)]
            assert (await there.hooks.endpoint(none)).off is None
            await there.emit(2)
            await until_waiting(there, rule, 2)
            receiver.script("/broken", "/hang")
            assert await there.hooks.switch_on(rule)
            assert (await there.hooks.stats(rule)).failing_since != stats.failing_since
            receiver.release()
            await there.settled()
            assert (await there.hooks.stats(rule)).failing_since is None
            arrived = [request for request in receiver.requests if request.id.endswith(rule)][len(tries) :]
            assert set(numbers(arrived)) == {1, 2}

    run(main())


def test_given_up_and_sent_again(shared_server: RedisServer, namespace: str) -> None:
    """After the last try it is kept, with excerpts of both sides, and said. It can be sent again: one, some, or all."""
    world = World()

    async def main() -> None:
        async with hooked(shared_server, namespace, logger=world) as there:
            hooks, receiver = there.hooks, there.receiver
            receiver.script("/hook", "/status/500?body=why")
            hook = await there.at("/hook", max_retries=2, secret=SECRET)
            places = await there.emit(*range(6))
            ids = [id_at(place, hook) for place in places]
            failed = await there.results(hook, "failed", 6)
            assert {(one.attempt, one.response_status, one.response_body) for one in failed} == {(3, 500, "why")}
            assert len(receiver.requests) == 18
            assert [event for _, event, _ in world.lines].count("webhooks.given_up") == 6
            kept = await hooks.delivery(ids[0])
            assert kept.body == receiver.requests[0].body.decode()
            assert kept.url == receiver.url("/hook")
            assert (await hooks.stats(hook)).given_up == 6
            receiver.script("/hook", "/ok")
            receiver.requests.clear()

            async def came(*expected: int) -> None:
                await there.settled()
                assert numbers(receiver.requests) == sorted(expected)
                for request in receiver.requests:
                    assert request.id == ids[said(request)["data"]["n"]]
                    check_signed(request, SECRET)
                receiver.requests.clear()

            assert (await hooks.resend(hook, [ids[0]])).done == 1
            await came(0)
            assert (await there.one(hook, "delivered")).attempt == 1
            assert (await hooks.resend(hook, [ids[0], ids[0]])).done == 1  # it was delivered: it is made from the log
            await came(0)
            at = [time_of(int(place.partition(":")[2].partition("-")[0])) for place in places]
            assert (await hooks.resend(hook, since=at[-1] + timedelta(seconds=1))).done == 0
            inside = [n for n in range(1, 6) if at[2] <= at[n] < at[4]]
            assert (await hooks.resend(hook, since=at[2], until=at[4])).done == len(inside)
            await came(*inside)
            left = [n for n in range(1, 6) if n not in inside]
            dropped = await hooks.drop(hook, [ids[left[0]], "0-1-1-" + hook])
            assert (dropped.done, dropped.lost) == (1, ["0-1-1-" + hook])
            assert (await hooks.resend(hook, everything=True)).done == len(left) - 1
            await came(*left[1:])
            assert (await hooks.resend(hook, ["0-1-1-" + hook])).lost == ["0-1-1-" + hook]
            assert (await hooks.stats(hook)).failed == 0

    run(main())


def test_what_there_is_no_room_for_is_counted_and_said(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an endpoint is off its events wait, as far as there is room. The others can be sent again later."""
    monkeypatch.setattr("workers.webhooks.part.HOOK_WAITING_OFF_MAX", 3)
    world = World()

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1, logger=world) as there:
            hook = await there.at("/hook")
            await there.hooks.switch_off(hook, "for a while")
            for number in range(5):
                await there.hooks.emit("tests.happened", {"n": number, "text": "x" * 150})
            left_out = await there.results(hook, "failed", 2)
            assert [(one.event_type, one.attempt) for one in left_out] == [("tests.happened", 0)] * 2
            assert all("no room" in str(one.error) for one in left_out)
            assert len(await there.results(hook, "failed", 2, event_type="tests.happened")) == 2
            stats = await there.hooks.stats(hook)
            assert (stats.waiting, stats.left_out, stats.failed, stats.given_up) == (3, 2, 2, 0)
            assert {fields["webhook"] for _, event, fields in world.lines if event == "webhooks.left_out"} == {hook}
            assert there.receiver.requests == []
            await there.hooks.switch_on(hook)
            await there.settled()
            assert numbers(there.receiver.requests) == [0, 1, 2]
            assert (await there.hooks.resend(hook, everything=True)).done == 2
            await there.settled()
            assert numbers(there.receiver.requests) == [0, 1, 2, 3, 4]
            assert (await there.hooks.stats(hook)).failed == 0

    run(main())


def test_what_waits_without_its_body_is_sent_all_the_same(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a backlog only so many bytes are kept: the rest is made again from the log, and comes as it would have."""
    monkeypatch.setattr(f"{LIMITS}.HOOK_BYTES_MAX", 900)

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1) as there:
            hook = await there.at("/hook", secret=SECRET)
            await there.hooks.switch_off(hook, "for a while")
            for number in range(9):
                await there.hooks.emit("tests.happened", {"n": number, "text": "x" * 150})

            async def all_wait() -> bool:
                return (await there.hooks.stats(hook)).waiting == 9

            await until_async(all_wait, "all wait")
            await there.hooks.switch_on(hook)
            await there.settled()
            assert numbers(there.receiver.requests) == list(range(9))
            for request in there.receiver.requests:
                check_signed(request, SECRET)
            stats = await there.hooks.stats(hook)
            assert (stats.delivered, stats.left_out, stats.failed) == (9, 0, 0)

    run(main())


def test_of_what_was_given_up_the_newest_are_kept(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are counted, and that they are gone is said."""
    monkeypatch.setattr(f"{LIMITS}.HOOK_FAILED_MAX", 2)
    world = World()

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1, logger=world) as there:
            there.receiver.script("/hook", "/status/500")
            hook = await there.at("/hook", max_retries=0, concurrency=1)
            places = await there.emit(*range(5))
            await there.settled()
            stats = await there.hooks.stats(hook)
            assert (stats.given_up, stats.failed, stats.dropped) == (5, 2, 3)
            kept = await there.results(hook, "failed", 2)
            assert [one.position for one in kept] == places[:2:-1]
            told = [fields["forgotten"] for _, event, fields in world.lines if event == "webhooks.dropped"]
            assert sum(told) == 3

    run(main())


def test_a_test_takes_the_same_path(shared_server: RedisServer, namespace: str) -> None:
    """Signed, with the own headers of the endpoint, tried again, listed. It goes there alone, wanted or not."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            there.receiver.script("/hook", "/status/500", "/ok")
            hook = await there.at("/hook", "nothing.*", scope="user:u", secret=SECRET, headers={"X-Own": "1"})
            await there.at("/other", "*")
            await there.at("/hook", "*", scope="user:v")
            delivery = await there.hooks.send_test(hook)
            await there.settled()
            came = there.receiver.requests
            assert [(request.id, request.headers["x-own"]) for request in came] == [(delivery, "1")] * 2
            assert names(came) == ["webhook.endpoint.test"] * 2
            for request in came:
                check_signed(request, SECRET)
            done = await there.one(hook, "delivered")
            assert (done.delivery_id, done.event_type, done.attempt) == (delivery, "webhook.endpoint.test", 2)

    run(main())


def test_a_slow_endpoint_has_so_many_at_once_and_holds_up_nobody(shared_server: RedisServer, namespace: str) -> None:
    """It hangs; others get all of theirs meanwhile. Then it gets all, each once."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            receiver = there.receiver
            slow = await there.at("/hang", concurrency=3, timeout_seconds=60)
            await there.at("/well", concurrency=1)
            await there.emit(*range(40))
            await receiver.got(40, "/well")
            assert len(receiver.of("/hang")) == 3
            await until_waiting(there, slow, 40)
            receiver.release()
            await there.settled()
            assert receiver.most_at_once["/hang"] <= 3
            assert receiver.most_at_once["/well"] == 1
            assert numbers(receiver.of("/hang")) == numbers(receiver.of("/well")) == list(range(40))

    run(main())


class Names:
    """Names that are resolved as a test says; `asked` counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.are: dict[str, str] = {}
        self.asked = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr("socket.getaddrinfo", self._resolve)

    def _resolve(self, host: Any, port: Any, *more: Any, **named: Any) -> Any:
        if not str(host).endswith(".test"):
            return self._real(host, port, *more, **named)
        self.asked += 1
        if host not in self.are:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.are[host], port))]


def test_a_name_that_does_not_resolve_is_tried_again(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be registered, and is sent all once it resolves."""
    resolver = Names(monkeypatch)

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            config = there.config("/hook", max_retries=100, max_retry_delay_seconds=0.1)
            config.url = there.receiver.url("/hook", "shop.test")
            hook = await there.hooks.register(config)
            await there.emit(1)
            tried = await there.one(hook, "retrying")
            assert "shop.test does not resolve" in str(tried.error)
            await until(lambda: resolver.asked > 3, "it is tried again")
            resolver.are["shop.test"] = "127.0.0.1"
            await there.settled()
            (came,) = there.receiver.requests
            assert came.headers["host"] == f"shop.test:{there.receiver.port}"

    run(main())


def test_an_address_that_is_refused_is_refused_when_it_connects(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name had a good address when it was registered, and has another one now: nothing is sent there."""
    resolver = Names(monkeypatch)

    async def main() -> None:
        rules = Rules(networks=("127.0.0.2/32",))
        async with hooked(shared_server, namespace, rules=rules) as there:
            config = there.config("/hook", max_retries=1)
            config.url = there.receiver.url("/hook", "shop.test")
            resolver.are["shop.test"] = "127.0.0.1"
            with pytest.raises(ValidationError, match=r"127\.0\.0\.1.*loopback") as refused:
                await there.hooks.register(config)
            assert refused.value.field == "url"
            resolver.are["shop.test"] = "127.0.0.2"
            hook = await there.hooks.register(config)
            resolver.are["shop.test"] = "127.0.0.1"
            await there.emit(1)
            failed = await there.one(hook, "failed")
            assert (failed.attempt, failed.response_status) == (2, None)
            assert "127.0.0.1 is a loopback address" in str(failed.error)
            assert (there.receiver.connections, there.receiver.requests) == (0, [])

    run(main())
