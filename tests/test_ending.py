"""Ends: of a block with calls still in it, of patience, of a tail that can't go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.asyncio.connection import Connection

from interrupts import InterruptService, UnavailableError, ValidationError, connect, connect_blocking
from interrupts.store.lanes import Lanes
from tests.servers import RedisServer, free_port, wait_until


def test_no_thread_waits_for_ever_when_the_block_ends(shared_server: RedisServer, namespace: str) -> None:
    """Calls in other threads, and a tail, end with a result or are told; none is left waiting."""
    started = threading.Barrier(9)

    def create(number: int) -> None:
        started.wait()
        with contextlib.suppress(RuntimeError, UnavailableError):
            for _ in range(10_000):
                service.create_checkpoint("r", "u", f"s{number}")

    def follow() -> None:
        started.wait()
        with contextlib.suppress(RuntimeError, UnavailableError):
            for _ in service.log.tail(0):
                pass

    with ThreadPoolExecutor(8) as pool:
        with connect_blocking(shared_server.url, namespace=namespace) as service:
            threads = [pool.submit(create, number) for number in range(7)] + [pool.submit(follow)]
            started.wait()
        wait_until(lambda: all(thread.done() for thread in threads), "all threads end")
        for thread in threads:
            thread.result()
    with pytest.raises(RuntimeError, match="closed"):
        service.create_checkpoint("r", "u", "s")


def test_calls_that_wait_for_their_turn_lose_patience_too(shared_server: RedisServer, namespace: str) -> None:
    """While Redis is away, what could not be sent in a call's time is refused, and said not to have been sent."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, call_timeout_s=0.3) as service:
            route = service._log.server.route
            away = Lanes(lambda: _nowhere(free_port()))

            async def lanes(slot: int) -> object:
                return away

            route.lanes = lanes  # type: ignore[method-assign, assignment]
            calls = [service.create_checkpoint("r", "u", f"s{n}") for n in range(3_000)]
            ends = await asyncio.gather(*calls, return_exceptions=True)
            assert all(isinstance(end, UnavailableError) and not end.may_have_happened for end in ends)
            assert any("was not sent" in str(end) for end in ends)

    asyncio.run(main())


def _nowhere(port: int) -> Connection:
    return Connection(port=port, socket_timeout=None, socket_connect_timeout=None)


def test_a_tail_says_why_it_can_not_go_on(shared_server: RedisServer, namespace: str) -> None:
    """A key that is no log, or a closed service, is told; waiting would not mend it."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace) as service:
            shared_server.command("SET", service._log.keys.logs[3], "no log")
            with pytest.raises(UnavailableError, match="WRONGTYPE"):
                await anext(service.log.tail(3, after="3:0-0"))
            tail = service.log.tail(4, after="4:0-0")
        with pytest.raises(UnavailableError, match="closed"):
            await anext(tail)

    asyncio.run(main())


@pytest.mark.parametrize("port", ["db", "webhook_service", "otel_adapter", "logger"])
def test_a_port_that_lacks_its_methods_is_refused_at_once(port: str) -> None:
    """Not after the first event is in the log."""
    with pytest.raises(ValidationError) as refused:
        InterruptService(**{port: object()})  # type: ignore[arg-type]
    assert refused.value.field == port


def test_a_plain_logger_gets_the_fields_in_its_line(caplog: pytest.LogCaptureFixture) -> None:
    """A logger of the standard library takes no fields, and must not take the place of the refusal it is told of."""
    plain: object = logging.getLogger("their.own")

    async def main() -> None:
        service = InterruptService(logger=plain)  # type: ignore[arg-type]
        with caplog.at_level(logging.INFO, "their.own"), pytest.raises(ValidationError):
            await service.create_checkpoint("", "u", "s")
        await service.aclose()

    asyncio.run(main())
    assert "request_id: is empty" in caplog.text
