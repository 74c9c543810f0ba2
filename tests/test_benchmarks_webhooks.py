"""The webhooks' benchmark: its receiver reads requests in whatever pieces they come, and counts only what counts."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import aiohttp
import pytest

from benchmarks.webhooks_latency import appended_ms
from benchmarks.webhooks_receiver import ASIDE, COUNTED, HANGING, parsed, receiving

REQUEST = b"POST /counted/7 HTTP/1.1\r\nHost: 127.0.0.1\r\nWebhook-ID: 3-1700-0-wh_Ab\r\nContent-Length: 5\r\n\r\n{abc}"
BODY = b"x" * 200_000
"""More than comes in one piece."""
WITHIN_S = 30.0


def test_a_request_is_one_when_all_of_it_is_there() -> None:
    """No piece of it is one yet."""
    assert not any(parsed(REQUEST[:cut]) for cut in range(len(REQUEST)))
    assert parsed(REQUEST) is not None


def test_a_request_ends_where_the_next_one_begins() -> None:
    """Two that come together are two; the id is as it was written."""
    request = parsed(REQUEST + REQUEST)
    assert request == ("/counted/7", "3-1700-0-wh_Ab", 5, len(REQUEST))
    assert parsed(REQUEST.replace(b"Webhook-ID", b"Other")) == ("/counted/7", "", 5, len(REQUEST) - 5)


def test_the_time_of_an_event_is_in_the_delivery_id() -> None:
    """The partition is no part of it."""
    assert appended_ms("12-1763685600123-4-wh-with-dashes") == 1763685600123


def test_only_what_is_counted_is_told() -> None:
    """What is aside is answered, what hangs is not, and each question is about what has come since the one before."""

    async def main() -> None:
        async with receiving() as receiver, aiohttp.ClientSession() as client:

            async def post(path: str, message_id: str, timeout_s: float = 60) -> str:
                headers, timeout = {"webhook-id": message_id}, aiohttp.ClientTimeout(timeout_s)
                async with client.post(receiver.url(path), data=BODY, headers=headers, timeout=timeout) as response:
                    return await response.text()

            asked = asyncio.create_task(receiver.came(2))
            assert await post(ASIDE, "a") == await post(f"{COUNTED}/1", "b") == "ok"
            with pytest.raises(TimeoutError):
                await post(HANGING, "c", 0.3)
            assert not asked.done()
            await post(f"{COUNTED}/2", "d")
            came = await asked
            assert (sorted(came.at), came.requests, came.body_bytes) == (["b", "d"], 2, 2 * len(BODY))
            assert (came.aside, came.hanging) == (1, 1)
            assert (await receiver.came(0)).at == {}

    asyncio.run(main())


def test_requests_that_come_in_one_piece_are_all_answered() -> None:
    """A client may send the next one before it has its answer."""

    async def main() -> None:
        async with asyncio.timeout(WITHIN_S), receiving() as receiver:
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(receiver.url("")).port)
            writer.write(REQUEST + REQUEST[:20])
            await reader.readuntil(b"\r\n\r\nok")
            writer.write(REQUEST[20:] + REQUEST)
            for _ in range(2):
                await reader.readuntil(b"\r\n\r\nok")
            writer.close()
            await writer.wait_closed()
            assert (await receiver.came(3)).requests == 3

    asyncio.run(main())
