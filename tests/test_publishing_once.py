"""Publishing once: with a key, after a lost reply, beside others; and what views make of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from interrupts import ConflictError, connect
from interrupts.errors import CorruptLogError, UnavailableError
from interrupts.limits import ONCE_KEYED_S, ONCE_S
from interrupts.store.lanes import Command, Lanes, UnreachableError
from interrupts.store.log import APPEND
from projections import PROJECTIONS
from projections.pending import Pending
from projections.skip import skip
from projections.verify import verify
from tests.conftest import whole_log
from tests.folding import populate
from tests.raw import Refusing, folded, raw, standing
from tests.servers import Cluster, RedisServer, sessions
from tests.test_publishing import NAME, once_keys
from tests.test_skip import stopped
from tests.waiting import YES, ask

AT_ONCE = 30


def test_with_a_key_it_is_published_once(url: str, namespace: str) -> None:
    """However often, by whomever and all at once: one event, and its position for everybody."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            data = {"b": 1, "a": {"d": [None], "c": 2}}
            calls = [
                service.publish(NAME, data, session_id="s", idempotency_key="k")
                for service in (one, two)
                for _ in range(AT_ONCE)
            ]
            positions = await asyncio.gather(*calls)
            (event,) = await whole_log(one)
            assert set(positions) == {event.position}
            ((_, left_ms),) = (await once_keys(one)).items()
            assert ONCE_KEYED_S * 1000 - 60_000 < left_ms <= ONCE_KEYED_S * 1000
            other = {"a": {"c": 2, "d": [None]}, "b": 1}
            assert await two.publish(NAME, other, session_id="s", idempotency_key="k") == event.position

    asyncio.run(main())


def test_a_key_belongs_to_its_session(url: str, namespace: str) -> None:
    """The same key in another session, request or name is another one; in the same with another body it is refused."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:

            async def publish(name: str = NAME, data: Any = None, **ids: Any) -> str:
                return await service.publish(name, data or {"n": 1}, idempotency_key="k", **ids)

            places = [{"session_id": "s"}, {"session_id": "t"}, {"request_id": "r"}, {}]
            positions = [await publish(**ids) for ids in places]
            assert len(set(positions)) == 4
            assert [await publish(**ids) for ids in places] == positions
            others: list[Any] = [
                *(publish(session_id="s", data={"n": 2}), publish(session_id="s", data={"n": True})),
                *(publish(session_id="s", request_id="r"), publish(session_id="s", user_id="u")),
                *(publish(session_id="s", actor="bot"), publish("a.b.c", session_id="s")),
            ]
            for refused in await asyncio.gather(*others, return_exceptions=True):
                assert isinstance(refused, ConflictError)
                assert refused.code == "idempotency"
                assert positions[0] in str(refused)
                assert refused.interrupt is None
            assert len(await whole_log(service)) == 4

    asyncio.run(main())


def test_without_a_key_each_call_publishes(url: str, namespace: str) -> None:
    """As often as it is called, in the order of the calls; each is remembered for as long as a call goes on."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            calls = (service.publish(NAME, {"n": n}, session_id="s") for n in range(AT_ONCE))
            positions = await asyncio.gather(*calls)
            log = await whole_log(service)
            assert [event.position for event in log] == list(positions)
            assert [event.content["n"] for event in log] == list(range(AT_ONCE))
            kept = await once_keys(service)
            assert len(kept) == AT_ONCE
            assert all(0 < left_ms <= ONCE_S * 1000 for left_ms in kept.values())

    asyncio.run(main())


def test_lost_replies_publish_once(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second reply to an append is lost after it ran: one event a call, and its position is returned."""
    call, lost = Lanes.call, [0]

    async def losing(lanes: Lanes, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        replies = await call(lanes, commands, timeout_s)
        if commands[0][1:2] and commands[0][1] in (APPEND.sha, APPEND.text):
            lost[0] += 1
            if lost[0] % 2:
                raise UnreachableError("the reply was lost", sent=True)
        return replies

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            monkeypatch.setattr(Lanes, "call", losing)
            positions = [await service.publish(NAME, {"n": n}, session_id=f"s{n % 3}") for n in range(9)]
            keyed = [await service.publish(NAME, session_id="s", idempotency_key="k") for _ in range(3)]
            monkeypatch.undo()
            log = {event.position: event for event in await whole_log(service)}
            assert len(log) == 10
            assert [log[position].content.get("n") for position in positions] == list(range(9))
            assert len(set(keyed)) == 1
            assert keyed[0] in log

    asyncio.run(main())
    assert lost[0] >= 10


def test_what_was_given_up_can_be_published_again_with_its_key(own_server: RedisServer, namespace: str) -> None:
    """A frozen server: it may have happened. Thawed, the same key gives one event."""

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace, attempt_timeout_s=0.2, call_timeout_s=0.4) as service:
            await service.publish(NAME, session_id="s")
            own_server.freeze()
            with pytest.raises(UnavailableError) as away:
                await service.publish(NAME, {"n": 1}, session_id="s", idempotency_key="k")
            assert away.value.may_have_happened
            own_server.thaw()
            position = await service.publish(NAME, {"n": 1}, session_id="s", idempotency_key="k")
            assert [event.position for event in await whole_log(service)][1:] == [position]

    asyncio.run(main())


def test_a_key_that_was_forgotten_publishes_anew(url: str, namespace: str) -> None:
    """After a day; and one whose event is no longer in the log is not published again."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            first = await service.publish(NAME, session_id="s", idempotency_key="k")
            (name,) = await once_keys(service)
            await raw(service, "PERSIST", name)
            await raw(service, "PEXPIRE", name, 0)
            second = await service.publish(NAME, {"n": 2}, session_id="s", idempotency_key="k")
            assert second != first
            await raw(service, "XDEL", service.store.keys.logs[0], first.partition(":")[2])
            assert await service.publish(NAME, {"n": 2}, session_id="s", idempotency_key="k") == second

    asyncio.run(main())


def test_a_key_of_redis_that_is_something_else_is_no_memory(url: str, namespace: str) -> None:
    """What somebody has put where it is remembered: an error that says so, and no event."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await service.publish(NAME, session_id="s", idempotency_key="k")
            (name,) = await once_keys(service)
            await raw(service, "DEL", name)
            await raw(service, "RPUSH", name, "x")
            with pytest.raises(CorruptLogError):
                await service.publish(NAME, session_id="s", idempotency_key="k")
            assert len(await whole_log(service)) == 1

    asyncio.run(main())


def test_a_batch_carries_interrupts_and_what_is_published(url: str, namespace: str) -> None:
    """All at once in all partitions: each is where it says, the numbers have no gap, and nobody is refused."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=3) as service:
            asked = [await ask(service, session) for session in sessions(service) for _ in range(10)]
            calls: list[Any] = [service.publish(NAME, session_id=one.session_id) for one in asked]
            calls += [service.respond(one.id, YES) for one in asked]
            calls += [ask(service, one.session_id) for one in asked]
            ended = await asyncio.gather(*calls)
            log = await whole_log(service)
            assert len(log) == 4 * 30
            assert {event.position for event in log if event.type == NAME} == set(ended[:30])
            for partition in range(3):
                numbers = [event.sequence for event in await service.log.range(partition)]
                assert numbers == list(range(1, len(numbers) + 1))

    asyncio.run(main())


def test_views_pass_over_what_is_published(url: str, namespace: str) -> None:
    """Lists, counts and `verify` are as if it were not there."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            await populate(service, 20)
            for number in range(5):
                await service.publish(NAME, {"n": number}, session_id=f"s{number}")
                await ask(service, f"s{number}")
            await folded(service, PROJECTIONS)
            found = await verify(service)
            assert (found.differences, found.events) == ([], len(await whole_log(service)))

    asyncio.run(main())


def test_a_view_that_is_folded_event_by_event_passes_over_it_too(url: str, namespace: str) -> None:
    """Before and behind an event that it refuses, and that an operator leaves out."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            await service.publish(NAME, session_id="s")
            await ask(service)
            await service.publish(NAME, session_id="s")
            bad = await ask(service)
            projections = [Refusing(Pending(), bad.id)]
            await service.publish(NAME, session_id="s")
            await folded(service, projections)
            why = await stopped(service)
            assert (why.position, why.sequence, why.problem) == (bad.position, 4, "event")
            await skip(service, "pending", why.position, projections=projections)
            await folded(service, projections)
            live = (await standing(service, "pending")).card.live
            assert live is not None
            assert (live.stopped, live.at.sequence) == (None, 5)

    asyncio.run(main())


def test_in_a_cluster_it_is_published_on_its_node(cluster: Cluster, namespace: str) -> None:
    """With and without a key, in every partition."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace, partitions=6) as service:
            for session in sessions(service):
                first = await service.publish(NAME, {"n": 1}, session_id=session, idempotency_key="k")
                assert await service.publish(NAME, {"n": 1}, session_id=session, idempotency_key="k") == first
                assert await service.publish(NAME, {"n": 1}, session_id=session) != first
            assert len(await whole_log(service)) == 12

    asyncio.run(main())
