"""Creations that were let in and are refused by the log, or come too late: what they had reserved is given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.exceptions import ResponseError

from interrupts import (
    AsyncRateLimiter,
    CorruptLogError,
    InterruptService,
    UnavailableError,
    connect,
)
from tests.limited_process import Wire, an_hour, create, create_many, logged, only, settled, used
from tests.servers import RedisServer

LIMIT = 3


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """What is between services and servers."""
    return Wire(monkeypatch)


async def refused_once(service: InterruptService, sort: type[Exception], **options: Any) -> None:
    """A creation is refused in this way, and nothing of it is in the log."""
    before = len(await logged(service))
    with pytest.raises(sort) as refusal:
        await create(service, **options)
    assert not getattr(refusal.value, "may_have_happened", False)
    await settled(service)
    assert len(await logged(service)) == before


@pytest.mark.parametrize("there", [0, 1, 2])
def test_a_server_whose_memory_is_full_gets_the_reservation_back(
    own_server: RedisServer, wire: Wire, there: int
) -> None:
    """Memory is full from just before the append until the call is settled; however many others are reserved."""

    async def fill() -> None:
        own_server.command("CONFIG", "SET", "maxmemory", "1")

    async def main() -> None:
        async with (
            connect(own_server.url, limits=an_hour(LIMIT)) as service,
            AsyncRateLimiter.connect(own_server.url, limits=an_hour(LIMIT)) as limiter,
        ):
            await create_many([service], there)
            await settled(service)
            wire.before["append"] = fill
            await refused_once(service, UnavailableError, idempotency_key="k")
            wire.mend()
            own_server.command("CONFIG", "SET", "maxmemory", "0")
            assert await used(limiter) == (there,) * 3
            await create(service, idempotency_key="k")
            assert len((await create_many([service], 2 * LIMIT))[0]) == LIMIT - there - 1

    asyncio.run(main())


@pytest.mark.parametrize("broken", ["logs", "deadlines"])
def test_a_log_that_is_none_gets_the_reservation_back(url: str, namespace: str, broken: str) -> None:
    """A key of another type in its place: refused for good, and other sessions use all of the limit."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
        ):
            keys, partition = service.store.keys, service.log.partition_of("s0")
            key = getattr(keys, broken)[partition]
            await service.store.server.command(keys.slots[partition], "SET", key, "x")
            for _ in range(2 * LIMIT):
                with pytest.raises(CorruptLogError, match="Nothing was written"):
                    await create(service)
                await settled(service)
                assert await used(limiter) == (0, 0, 0)
            made = [await create(service, session=f"t{number}") for number in range(LIMIT)]
            await service.store.server.command(keys.slots[partition], "DEL", key)
            assert len(made) == len(await logged(service))

    asyncio.run(main())


def test_a_server_that_only_reads_gets_the_reservation_back(own_server: RedisServer, wire: Wire) -> None:
    """It became a replica between the two steps, for longer than the call waits."""

    async def becomes_a_replica() -> None:
        own_server.command("REPLICAOF", "127.0.0.1", "1")

    async def is_the_primary_again() -> None:
        own_server.command("REPLICAOF", "NO", "ONE")

    async def main() -> None:
        async with (
            connect(own_server.url, limits=an_hour(LIMIT), call_timeout_s=0.3) as service,
            AsyncRateLimiter.connect(own_server.url, limits=an_hour(LIMIT)) as limiter,
        ):
            await create(service)
            wire.before["append"], wire.before["settle"] = becomes_a_replica, is_the_primary_again
            await refused_once(service, UnavailableError)
            wire.mend()
            assert await used(limiter) == (1, 1, 1)
            assert len((await create_many([service], 2 * LIMIT))[0]) == LIMIT - 1

    asyncio.run(main())


def test_a_refusal_that_lasts_leaves_the_limit_to_others(url: str, namespace: str, wire: Wire) -> None:
    """Creations that the log refused have used nothing, at once neither."""

    async def main() -> None:
        async with connect(url, namespace=namespace, limits=only(LIMIT)) as service:
            for _ in range(2 * LIMIT):
                wire.refuse("append", ResponseError("OOM command not allowed when used memory > 'maxmemory'."))
                await refused_once(service, UnavailableError)
            wire.mend()
            assert len((await create_many([service], 2 * LIMIT))[0]) == LIMIT

    asyncio.run(main())


def test_a_place_that_holds_something_else_gets_the_reservation_back(
    url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Under the key's interrupt is something that nobody can read: the caller hears that, nobody else anything."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, limits=an_hour(LIMIT)) as service,
            AsyncRateLimiter.connect(url, namespace=namespace, limits=an_hour(LIMIT)) as limiter,
        ):
            made = await create(service, idempotency_key="k")
            await settled(service)
            keys, partition = service.store.keys, service.log.partition_of("s0")
            for broken in (b"1p\ngarbled\n", b""):
                await service.store.server.command(keys.slots[partition], "SET", keys.interrupt(made.id), broken)
                caplog.clear()
                with pytest.raises(CorruptLogError):
                    await create(service, "v", idempotency_key="k")
                await settled(service)
                assert [record.message for record in caplog.records if record.name == "asyncio"] == []
                assert await used(limiter, "v") == (0, 0, 0)

    asyncio.run(main())
