"""What became of deliveries: results by scope, endpoint, event and status, counts, single deliveries, and refusals."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interrupts import NotFoundError, Position, ValidationError
from tests.hooked import NEXT_SECRET, QUICK, SECRET, Hooked, hooked, id_at
from tests.reacting import hastened, run
from tests.servers import RedisServer, sessions
from workers.webhooks import DeliveryStatus, WebhookConfig, WebhookDeliveryResult, Webhooks
from workers.webhooks.model import HIDDEN

LIMITS = "interrupts.store.deliveries"
NAMES = ("shop.order.paid", "shop.order.sent")
STATUSES = {"/ok": "delivered", "/status/500": "failed", "/status/503": "retrying", "/off": "pending"}
SCOPES = {"/ok": None, "/status/500": "user:u", "/status/503": "request:r", "/off": "user:u"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at now and then is looked at often."""
    hastened(monkeypatch, QUICK)


def order(results: list[WebhookDeliveryResult]) -> list[tuple[int, int]]:
    """The events' places in time."""
    places = [Position.parse(one.position) for one in results]
    return [(place.ms, place.number) for place in places]


async def one_of_each(there: Hooked, rounds: int = 3) -> dict[str, str]:
    """Endpoints with deliveries of every status: in each partition, of two names; ids by path."""
    ids = {
        "/ok": await there.at("/ok"),
        "/status/500": await there.at("/status/500", scope="user:u", max_retries=0),
        "/status/503": await there.at("/status/503", scope="r", retry_delay_seconds=1000, max_retry_delay_seconds=1000),
        "/off": await there.at("/off", scope="user:u"),
    }
    await there.hooks.switch_off(ids["/off"])
    for _ in range(rounds):
        for name in NAMES:
            for session in sessions(there.service):
                await there.service.publish(name, {"n": 1}, session_id=session, request_id="r", user_id="u")
    for path, status in STATUSES.items():
        await there.results(ids[path], status, rounds * len(NAMES) * there.service.log.partitions)
    return ids


def test_by_scope_endpoint_event_and_status(shared_server: RedisServer, namespace: str) -> None:
    """All filters together narrow it down; the newest events come first, whatever partition they are in."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            ids = await one_of_each(there)
            hooks = there.hooks
            everything = await hooks.get_delivery_results()
            assert len(everything) == 96
            assert order(everything) == sorted(order(everything), reverse=True)
            for path, status in STATUSES.items():
                mine = [one for one in everything if one.webhook_id == ids[path]]
                assert await hooks.get_delivery_results(webhook_id=ids[path]) == mine
                assert {one.status for one in mine} == {DeliveryStatus(status)}
                assert {one.scope for one in mine} == {SCOPES[path] or ""}
                assert await hooks.get_delivery_results(status=status) == mine
                assert await hooks.get_delivery_results(status=DeliveryStatus(status)) == mine
                assert {one.delivery_id for one in mine} == {id_at(one.position, ids[path]) for one in mine}
                for scope in ("user:u", "r", "session:s"):
                    found = await hooks.get_delivery_results(scope, webhook_id=ids[path])
                    assert found == (
                        mine if scope in (SCOPES[path], str(SCOPES[path]).removeprefix("request:")) else []
                    )
            for name in NAMES:
                named = [one for one in everything if one.event_type == name]
                assert await hooks.get_delivery_results(event_type=name) == named
                assert len(named) == 48
                some = await hooks.get_delivery_results("user:u", 5, event_type=name, status="failed")
                assert some == [one for one in named if one.webhook_id == ids["/status/500"]][:5]
            assert await hooks.get_delivery_results(limit=7) == everything[:7]
            assert await hooks.get_delivery_results(event_type="shop.order") == []

    run(main())


def test_what_a_result_says(shared_server: RedisServer, namespace: str) -> None:
    """Of each status: how often it was tried, what came back, when it is tried next, when it arrived."""

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1) as there:
            before = datetime.now(UTC) - timedelta(seconds=1)
            there.receiver.script("/ok", "/status/200?body=fine\x1b[31m")
            ids = await one_of_each(there, 1)
            after = datetime.now(UTC) + timedelta(seconds=1)

            async def last(path: str) -> WebhookDeliveryResult:
                return (await there.hooks.get_delivery_results(webhook_id=ids[path]))[0]

            done, failed, again, waits = [await last(path) for path in STATUSES]
            assert (done.attempt, done.response_status, done.error) == (1, 200, None)
            assert str(done.response_body).startswith("fine")
            assert "\x1b" not in str(done.response_body)
            assert done.delivered_at is not None
            assert before < done.delivered_at < after
            assert 0 < done.duration_ms < 20_000
            assert (failed.attempt, failed.response_status, failed.error) == (1, 500, "it answered 500")
            assert (again.attempt, again.response_status) == (1, 503)
            assert again.next_attempt_at is not None
            assert again.next_attempt_at > after + timedelta(seconds=400)
            assert (waits.attempt, waits.response_status, waits.error, waits.duration_ms) == (0, None, None, 0)
            assert {one.delivered_at for one in (failed, again, waits)} == {None}
            assert {one.next_attempt_at for one in (done, failed, waits)} == {None}

    run(main())


def test_a_limit_leaves_the_newest_events(shared_server: RedisServer, namespace: str) -> None:
    """Not those that are due last, or were given up or have arrived last; and not before the other filters."""

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1) as there:
            receiver, hooks = there.receiver, there.hooks
            receiver.script("/again", "/status/500", "/ok")
            receiver.script("/failed", "/status/500")
            receiver.script("/slow", "/hang", "/ok")
            again = await there.at("/again", "again.*", retry_delay_seconds=1000, max_retry_delay_seconds=1000)
            failed = await there.at("/failed", "failed.*", max_retries=0)
            slow = await there.at("/slow", "slow.*", concurrency=2)

            async def newest(hook: str, **more: Any) -> list[str]:
                return [one.position for one in await hooks.get_delivery_results(limit=1, webhook_id=hook, **more)]

            first = await there.emit(1, name="again.happened")
            await there.one(again, "retrying")  # due long after what comes now
            await hooks.switch_off(again)
            second = await there.emit(2, name="again.happened")
            await there.one(again, "pending")
            assert await newest(again) == await newest(again, status="pending") == second
            assert await newest(again, status="retrying") == first

            first, second = await there.emit(1, name="failed.twice"), await there.emit(2, name="failed.once")
            await there.results(failed, "failed", 2)
            assert (await hooks.resend(failed, [id_at(first[0], failed)])).done == 1
            await receiver.got(3, "/failed")
            await there.results(failed, "failed", 2)  # the first one was given up last
            assert await newest(failed) == await newest(failed, event_type="failed.once") == second
            assert await newest(failed, event_type="failed.twice") == first

            first, second = await there.emit(1, name="slow.hangs"), await there.emit(2, name="slow.arrives")
            await there.one(slow, "delivered")
            receiver.release()
            await there.results(slow, "delivered", 2)  # the first one has arrived last
            assert await newest(slow) == second
            assert await newest(slow, event_type="slow.hangs") == first

    run(main())


def test_the_last_results_are_kept(shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of deliveries that arrived, in each partition; the counts go on. One that is resent is there once."""
    monkeypatch.setattr(f"{LIMITS}.HOOK_RESULTS_MAX", 3)

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1) as there:
            hook = await there.at("/ok", concurrency=1)
            places = await there.emit(*range(5))
            await there.settled()
            kept = await there.results(hook, "delivered", 3)
            assert [one.position for one in kept] == places[:1:-1]
            stats = await there.hooks.stats(hook)
            assert (stats.delivered, stats.failed_tries, stats.waiting, stats.failed) == (5, 0, 0, 0)
            assert stats.delivered_at is not None
            assert stats.failing_since is None
            with pytest.raises(NotFoundError, match="any more"):
                await there.hooks.delivery(id_at(places[0], hook))
            assert (await there.hooks.resend(hook, [kept[1].delivery_id])).done == 1
            await there.settled()
            again = await there.hooks.get_delivery_results(webhook_id=hook)
            assert len({one.delivery_id for one in again}) == len(again)
            assert again[:2] != kept[:2]
            assert [one.position for one in again[:2]] == [one.position for one in kept[:2]]

    run(main())


def test_counts_and_latency(shared_server: RedisServer, namespace: str) -> None:
    """What fails is counted by tries and by deliveries; how quickly it answers in bounds that are powers of two."""

    async def main() -> None:
        async with hooked(shared_server, namespace) as there:
            there.receiver.script("/hook", *["/status/500"] * 3, "/sleep/0.05")
            hook = await there.at("/hook", max_retries=1, concurrency=1)
            await there.emit(1)
            await there.one(hook, "failed")
            first = await there.hooks.stats(hook)
            assert (first.delivered, first.failed_tries, first.given_up, first.failed) == (0, 2, 1, 1)
            assert (first.mean_ms, first.p50_ms, first.p99_ms, first.delivered_at) == (0, 0, 0, None)
            assert first.failing_since is not None
            assert first.failed_at is not None
            assert first.failing_since <= first.failed_at
            await there.emit(2, 3, 4)
            await there.results(hook, "delivered", 3)
            then = await there.hooks.stats(hook)
            assert (then.delivered, then.failed_tries, then.given_up, then.failed, then.waiting) == (3, 3, 1, 1, 0)
            assert then.mean_ms >= 50
            assert 64 <= then.p50_ms <= then.p99_ms
            assert {bound.bit_count() for bound in (int(then.p50_ms), int(then.p99_ms))} == {1}
            assert then.failing_since is None
            assert (await there.hooks.resend(hook, everything=True)).done == 1
            await there.settled()
            assert (await there.hooks.stats(hook)).failed == 0
            other = await there.hooks.stats(await there.at("/other"))
            assert (other.delivered, other.failed_tries, other.delivered_at, other.failed_at) == (0, 0, None, None)

    run(main())


def test_one_delivery(shared_server: RedisServer, namespace: str) -> None:
    """With the beginning of what is, or was, to be sent, as long as that is kept."""

    async def main() -> None:
        async with hooked(shared_server, namespace, partitions=1) as there:
            ids = await one_of_each(there, 1)
            hooks = there.hooks
            for path, status in STATUSES.items():
                for result in await hooks.get_delivery_results(webhook_id=ids[path]):
                    one = await hooks.delivery(result.delivery_id)
                    assert one.result == result
                    assert one.url == there.receiver.url(path)
                    assert (one.body is None) == (status == "delivered")
                    if one.body is not None:
                        assert json.loads(one.body)["position"] == result.position
            await hooks.emit("shop.long", {"text": "é" * 5_000}, ids={"user_id": "u"})
            (long,) = await there.results(ids["/off"], "pending", 1, event_type="shop.long")
            body = (await hooks.delivery(long.delivery_id)).body
            assert body is not None
            assert len(body) == 1_000
            assert body.startswith('{"type":"shop.long",')

    run(main())


async def unknown(hooks: Webhooks, hook: str) -> list[Any]:
    """Calls about endpoints and deliveries that there are not."""
    return [
        hooks.endpoint("wh_none"),
        hooks.endpoint(None),  # type: ignore[arg-type]
        hooks.stats("wh_none"),
        hooks.switch_off("wh_none"),
        hooks.switch_on("wh_none"),
        hooks.send_test("wh_none"),
        hooks.rotate_secret("wh_none", NEXT_SECRET),
        hooks.resend("wh_none", everything=True),
        hooks.drop("wh_none", everything=True),
        hooks.get_delivery_results(webhook_id="wh_none"),
        hooks.delivery("0-1-0-wh_none"),
        hooks.delivery(f"0-1-0-{hook}"),
        hooks.delivery(f"99-1-0-{hook}"),
        hooks.delivery("x"),
        hooks.delivery(""),
        hooks.delivery(f"-1-1-0-{hook}"),
        hooks.delivery(f"0-1-0-{hook}\n"),
        hooks.resend(hook, ["x"]),
    ]


Call = Callable[[Webhooks, str], Awaitable[Any]]
WRONG: dict[str, tuple[str, Call]] = {
    "limit 0": ("limit", lambda hooks, _: hooks.get_delivery_results(limit=0)),
    "limit 1001": ("limit", lambda hooks, _: hooks.get_delivery_results(limit=1_001)),
    "limit True": ("limit", lambda hooks, _: hooks.get_delivery_results(limit=True)),
    "limit text": ("limit", lambda hooks, _: hooks.get_delivery_results(limit="5")),  # type: ignore[arg-type]
    "status": ("status", lambda hooks, _: hooks.get_delivery_results(status="gone")),
    "status 5": ("status", lambda hooks, _: hooks.get_delivery_results(status=5)),  # type: ignore[arg-type]
    "scope": ("scope", lambda hooks, _: hooks.get_delivery_results("")),
    "scope of nobody": ("scope", lambda hooks, _: hooks.get_webhooks("user:")),
    "scope 5": ("scope", lambda hooks, _: hooks.endpoints(5)),  # type: ignore[arg-type]
    "nothing to resend": ("delivery_ids", lambda hooks, hook: hooks.resend(hook)),
    "too much to resend": ("delivery_ids", lambda hooks, hook: hooks.resend(hook, [f"0-1-0-{hook}"], everything=True)),
    "one id": ("delivery_ids", lambda hooks, hook: hooks.resend(hook, f"0-1-0-{hook}")),
    "number of ids": ("delivery_ids", lambda hooks, hook: hooks.drop(hook, 5)),  # type: ignore[arg-type]
    "another's id": ("delivery_ids", lambda hooks, hook: hooks.resend(hook, ["0-1-0-wh_other"])),
    "since": ("since", lambda hooks, hook: hooks.resend(hook, since="today")),  # type: ignore[arg-type]
    "until": ("until", lambda hooks, hook: hooks.drop(hook, until=5)),  # type: ignore[arg-type]
    "id and scope": ("webhook_id", lambda hooks, hook: hooks.unregister("r", webhook_id=hook)),
    "id and url": ("webhook_id", lambda hooks, hook: hooks.unregister(url="http://a.b", webhook_id=hook)),
    "secret": ("secret", lambda hooks, hook: hooks.rotate_secret(hook, "short")),
    "overlap": ("overlap_s", lambda hooks, hook: hooks.rotate_secret(hook, NEXT_SECRET, overlap_s=-1)),
    "why": ("why", lambda hooks, hook: hooks.switch_off(hook, 5)),  # type: ignore[arg-type]
    "our event": ("event_type", lambda hooks, _: hooks.emit("interrupt.resolved", {})),
    "no event": ("event_type", lambda hooks, _: hooks.emit("Resolved", {})),
    "no data": ("data", lambda hooks, _: hooks.emit("a.b", [1])),  # type: ignore[arg-type]
    "no config": ("config", lambda hooks, _: hooks.register({"url": "http://a.b"})),  # type: ignore[arg-type]
}


def test_what_is_wrong_is_refused_by_its_name(shared_server: RedisServer, namespace: str) -> None:
    """Each argument by its field; what there is not as not found. Nothing is changed by any of it."""

    async def main() -> None:
        async with hooked(shared_server, namespace, at_work=False) as there:
            hook = await there.at("/hook", secret=SECRET)
            before = await there.hooks.endpoint(hook)
            for what, (field, call) in WRONG.items():
                with pytest.raises(ValidationError, match=rf"^{field}: ") as refused:
                    await call(there.hooks, hook)
                assert refused.value.field == field, what
                assert "short" not in str(refused.value)
            for awaited in await unknown(there.hooks, hook):
                with pytest.raises(NotFoundError, match="There is no "):
                    await awaited
            assert (await there.hooks.resend(hook, [f"0-1-0-{hook}"])).lost == [f"0-1-0-{hook}"]
            assert await there.hooks.unregister(webhook_id="wh_none") == 0
            assert await there.hooks.endpoint(hook) == before

    run(main())


FIELDS: dict[str, list[Any]] = {
    "timeout_seconds": [0, "5", True, None, 121, float("nan")],
    "max_retries": [-1, 1.5, 101, None],
    "retry_delay_seconds": [-1, float("inf"), "1"],
    "max_retry_delay_seconds": [-1, None],
    "concurrency": [0, 257, 1.0],
    "off_after_seconds": [-1, "5", float("nan")],
    "headers": [[], {"X": "a\nb"}, {"X": "é"}, {"X": 5}, {"a b": "x"}, {5: "x"}, {"X": HIDDEN}, {"X": "x" * 4_001}]
    + [{name: "x"} for name in ("Host", "webhook-id", "WEBHOOK-Signature", "x-webhook-signature", "Content-Length")]
    + [{f"X-{n}": "x" for n in range(21)}],
    "secret": ["", "short", 5, b"x" * 20, "whsec_AAAA"],
    "events": [[], "*", ["*", 5], ["*.a"], ["a..b"], ["A.b"], ["a.*.b"], ["a."], ["x.y"] * 51, {"*": 1}],
    "url": [None, 5, "", "x", "http://", "ftp://127.0.0.1/", "http://10.0.0.1/", "http://a:b@127.0.0.1/"],
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_configuration_is_refused_by_its_field(shared_server: RedisServer, namespace: str, field: str) -> None:
    """Nothing is registered, and no value that may be secret is shown."""

    async def main() -> None:
        async with hooked(shared_server, namespace, at_work=False) as there:
            for wrong in FIELDS[field]:
                config: dict[str, Any] = {"url": there.receiver.url("/"), "events": ["*"], field: wrong}
                with pytest.raises(ValidationError, match=rf"^{field}: ") as refused:
                    await there.hooks.register(WebhookConfig(**config))
                assert refused.value.field == field
                if field == "secret" and wrong:
                    assert str(wrong) not in str(refused.value)
            assert await there.hooks.endpoints(everywhere=True) == []

    run(main())
