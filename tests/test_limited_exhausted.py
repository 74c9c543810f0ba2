"""`on_limit="interrupt"`: what one gets who may not create, is one interrupt that ends when one may again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interrupts import (
    AsyncRateLimiter,
    FlowInterrupt,
    InterruptKind,
    InterruptStatus,
    RateLimitConfig,
    RateLimitedError,
    UnavailableError,
    ValidationError,
    connect,
)
from interrupts.rate_rules import CREATE
from tests.conftest import whole_log
from tests.folding import by_hand
from tests.limited_process import (
    RETRY_MAX_S,
    Wire,
    begin,
    create,
    create_many,
    logged,
    only,
    process,
    settled,
    told,
    used,
)
from tests.servers import RedisServer

EXHAUSTED = InterruptKind.RESOURCE_EXHAUSTED
AT_ONCE = 20
WHO = ("r", "u", "s0")


def check(said: FlowInterrupt, limit: int, limit_types: tuple[str, ...] = ("minute", "burst")) -> None:
    """It says what is used up, and ends when one more may be created."""
    assert (said.kind, said.status, said.user_id) == (EXHAUSTED, InterruptStatus.PENDING, "u")
    assert said.data is not None
    assert said.data.keys() == {"resource_type", "retry_after_seconds", "limit_type", "limit"}
    assert (said.data["resource_type"], said.data["limit"]) == (CREATE, limit)
    assert said.data["limit_type"] in limit_types
    assert 0 < said.data["retry_after_seconds"] <= RETRY_MAX_S
    assert said.expires_at == said.created_at + timedelta(seconds=said.data["retry_after_seconds"])
    assert said.message


def test_over_the_limit_one_gets_an_interrupt_that_says_so(url: str, namespace: str) -> None:
    """With its facts, its session and its deadline; below the limit `on_limit` changes nothing."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(2)) as service:
            made, _ = await create_many([service], 2, on_limit="interrupt")
            assert {one.kind for one in made} == {InterruptKind.CONFIRMATION}
            said = await create(service, session="s7", envelope_id="e", on_limit="interrupt")
            check(said, 2)
            assert (said.session_id, said.request_id, said.envelope_id) == ("s7", "r", "e")
            assert await service.get_interrupt(said.id) == said
            (event,) = await service.history(said.id)
            assert event.type == "interrupt.created"

    asyncio.run(main())


def test_every_creator_can_be_told(url: str, namespace: str) -> None:
    """All get the same one."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(1)) as service:
            await create(service)
            said = [
                await service.create_clarification(*WHO, "q", on_limit="interrupt"),
                await service.create_confirmation(*WHO, "m", on_limit="interrupt"),
                await service.create_agent_review(*WHO, "m", on_limit="interrupt"),
                await service.create_checkpoint(*WHO, on_limit="interrupt"),
                await service.create_resource_exhausted(*WHO, "llm", 9.0, on_limit="interrupt"),
                await service.create_timeout(*WHO, "o", 1.0, on_limit="interrupt"),
                await service.create_system_error(*WHO, "m", on_limit="interrupt"),
                await service.create_interrupt(EXHAUSTED, *WHO, on_limit="interrupt"),
            ]
            assert all(one == said[0] for one in said)
            check(said[0], 1)

    asyncio.run(main())


@pytest.mark.parametrize("on_limit", ["raise", None])
def test_otherwise_it_is_an_error(url: str, namespace: str, on_limit: Any) -> None:
    """As if nothing had been said."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(1)) as service:
            await create(service, on_limit=on_limit)
            with pytest.raises(RateLimitedError):
                await create(service, on_limit=on_limit)
            with pytest.raises(RateLimitedError):
                await service.create_confirmation(*WHO, "m", on_limit=on_limit)
            assert len(await whole_log(service)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("wrong", ["wait", "", 0, True, InterruptKind.TIMEOUT, ["raise"]], ids=repr)
@pytest.mark.parametrize("limits", [None, only(1)], ids=["without limits", "with limits"])
def test_a_wrong_value_is_refused_by_name(url: str, namespace: str, wrong: Any, limits: RateLimitConfig | None) -> None:
    """Also where there are no limits."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=limits) as service:
            for call in (create(service, on_limit=wrong), service.create_confirmation(*WHO, "m", on_limit=wrong)):
                with pytest.raises(ValidationError) as refused:
                    await call
                assert refused.value.field == "on_limit"
            assert await whole_log(service) == []

    asyncio.run(main())


def test_without_limits_it_changes_nothing(url: str, namespace: str) -> None:
    """Not what is made, and not what a key stands for."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            made, _ = await create_many([service], 30, on_limit="interrupt")
            assert {one.kind for one in made} == {InterruptKind.CONFIRMATION}
            first = await create(service, idempotency_key="k", on_limit="interrupt")
            for on_limit in ("raise", None, "interrupt"):
                assert await create(service, idempotency_key="k", on_limit=on_limit) == first

    asyncio.run(main())


@pytest.mark.parametrize("workers", [False, True], ids=["no worker", "a worker"])
def test_there_is_one_for_each_user(url: str, namespace: str, workers: bool) -> None:
    """Whoever asks, in whatever session, from whatever service; and it is used of no limit, as it is exempt."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(2)) as one,
            connect(url, namespace=namespace, limits=only(2)) as two,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=only(2)) as limiter,
            by_hand(one) as worker,
        ):
            for user in ("u", "v"):
                said, _ = await create_many([one, two], 2 + AT_ONCE, user, on_limit="interrupt")
                said += (await create_many([one, two], AT_ONCE, user, on_limit="interrupt"))[0]
                exhausted = [interrupt for interrupt in said if interrupt.kind is EXHAUSTED]
                assert len(exhausted) == 2 * AT_ONCE
                assert len({interrupt.id for interrupt in exhausted}) == 1
                assert exhausted[0].user_id == user
                await settled(one, two)
                if workers:
                    await worker.fold()
                assert await used(limiter, user) == (2, 2, 2)
                assert len(await logged(one, user)) == 2
            assert len(await whole_log(one)) == 6

    asyncio.run(main())


def test_there_is_one_over_all_processes(shared_server: RedisServer, namespace: str) -> None:
    """As above, in three processes at once."""
    creators = [process(shared_server.url, namespace, only(5), AT_ONCE, on_limit="interrupt") for _ in range(3)]
    try:
        for creator in creators:
            assert creator.ready() == "ready"
        for creator in creators:
            begin(creator)
        outcomes = [told(creator) for creator in creators]
    finally:
        for creator in creators:
            creator.end()
    assert sum(len(outcome["made"]) for outcome in outcomes) == 5
    assert sum(outcome["refused"] for outcome in outcomes) == 0
    (only_one,) = {said for outcome in outcomes for said in outcome["exhausted"]}

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace) as service:
            events = [event for event in await whole_log(service) if event.kind is EXHAUSTED]
            assert [event.interrupt_id for event in events] == [only_one]

    asyncio.run(main())


def test_whose_append_did_not_come_through_is_completed_by_the_next(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was claimed is appended, not another."""
    wire = Wire(monkeypatch)

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=only(1), call_timeout_s=0.05) as service,
            connect(url, namespace=namespace, limits=only(1)) as another,
        ):
            await create(service)
            for session in ("s1", "s2"):
                wire.cut("append", 100)
                with pytest.raises(UnavailableError):
                    await create(service, session=session, on_limit="interrupt")
                wire.mend()
            said = await create(another, session="s3", on_limit="interrupt")
            assert said.session_id == "s1"
            check(said, 1)
            assert await create(service, session="s4", on_limit="interrupt") == said
            assert len(await whole_log(service)) == 2

    asyncio.run(main())
