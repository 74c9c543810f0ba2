"""Endpoints that hang, ask to be left alone, or are switched off and on: they hold up no other, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from tests.reacting import run
from tests.servers import RedisServer
from tests.webhook_process import process, processes
from tests.webhook_watch import happen, load, more, publish, watched


@pytest.mark.parametrize("concurrency", [1, 2, 4, 8])
def test_what_is_fetched_for_one_that_asks_to_be_left_alone_is_sent_later(
    shared_server: RedisServer, namespace: str, concurrency: int
) -> None:
    """It says so while more is being fetched for it. When its time is over it is sent all, also what came too late."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/busy", concurrency=concurrency)
            endpoints.receiver.script("/busy", "/ok", "/drop", "/drop", "/status/429?Retry-After=1", "/ok")
            await publish(endpoints.service, 40)
            with processes(process(shared_server.url, namespace, slow={"fetch": 0.1})):
                await endpoints.until_done()

    run(main())


def test_what_is_switched_off_and_on_under_load_is_sent_once(shared_server: RedisServer, namespace: str) -> None:
    """What is at work is finished, what was fetched is given back, and what comes in between waits."""

    async def main() -> None:
        async with watched(shared_server.url, namespace) as endpoints:
            one = await endpoints.add("/sleep/0.05", concurrency=4)
            with processes(*(process(shared_server.url, namespace, slow={"fetch": 0.05}) for _ in range(2))):
                async with load(endpoints.service) as counted:
                    for number in range(12):
                        await more(counted, 6)
                        await endpoints.webhooks.switch_off(one)
                        if number % 2:
                            await more(counted, 12)
                        await endpoints.webhooks.switch_on(one)
                await endpoints.until_done(60)
            assert set(endpoints.came("/sleep/0.05").values()) == {1}

    run(main(), 110)


@pytest.mark.parametrize(("hanging", "in_hand_max"), [(1, 1_000), (1, 4), (5, 8)])
def test_endpoints_that_hang_hold_up_no_others(
    shared_server: RedisServer, namespace: str, hanging: int, in_hand_max: int
) -> None:
    """All of the others' deliveries arrive, while those that hang are open, however little one has in hand."""

    async def main() -> None:
        async with watched(shared_server.url, namespace) as endpoints:
            for number in range(hanging):
                await endpoints.add(f"/hang/{number}", timeout_seconds=60)
            others = [f"/ok/{number}" for number in range(9)]
            for path in others:
                await endpoints.add(path)
            with processes(process(shared_server.url, namespace, in_hand_max=in_hand_max)):
                await happen(endpoints.service, 0, 8)
                for path in others:
                    await endpoints.receiver.got(len(await endpoints.wanted(path)), path)
                for number in range(hanging):
                    path = f"/hang/{number}"
                    await endpoints.receiver.got(1, path)
                    assert all(endpoints.receiver.open[request.id] for request in endpoints.receiver.of(path))
                endpoints.receiver.release()
                await endpoints.until_done()

    run(main())


def test_what_has_waited_too_long_behind_a_slow_one_is_not_left_until_its_claim_ends(
    shared_server: RedisServer, namespace: str
) -> None:
    """It was taken for a minute, and can't be begun in time: so it is given back, and sent when there is room."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/hang", timeout_seconds=60, concurrency=1)
            with processes(process(shared_server.url, namespace)):
                await publish(endpoints.service, 6)
                await endpoints.receiver.got(1)
                await asyncio.sleep(1)  # longer than what was taken may wait here
                endpoints.receiver.release()
                await endpoints.until_done()
            assert set(endpoints.came("/hang").values()) == {1}

    run(main())


def test_one_that_is_slow_but_answers_is_sent_as_many_at_once_as_it_says(
    shared_server: RedisServer, namespace: str
) -> None:
    """That it takes its time is no reason to send it less at once, while nobody else wants anything."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/sleep/2.2", timeout_seconds=10, concurrency=4)
            with processes(process(shared_server.url, namespace)):
                await publish(endpoints.service, 16)
                await endpoints.receiver.got(8)
                endpoints.receiver.most_at_once.clear()
                await endpoints.until_done()
            assert endpoints.receiver.most_at_once["/sleep/2.2"] == 4

    run(main())
