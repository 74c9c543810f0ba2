"""Several who send, of whom some freeze, end, or die in the middle: what is anothers' by now is left to them."""

from __future__ import annotations

import asyncio
import random
import signal

import pytest

from tests.conftest import whole_log
from tests.reacting import groups, held, run, until_async
from tests.servers import RedisServer, sessions, until
from tests.webhook_process import asked_to_end, is_frozen, process
from tests.webhook_watch import AWAY, LONG_S, ending, happen, load, publish, watched
from tests.worker_process import Process
from workers.webhooks.place import GROUP


def test_processes_that_come_go_freeze_and_die_under_load(shared_server: RedisServer, namespace: str) -> None:
    """Partitions change hands all the time."""
    dice = random.Random(6)

    async def harm(one: Process, started: list[Process]) -> None:
        await asyncio.to_thread(one.ready)
        match dice.choice(["kill", "end", "freeze", "freeze"]):
            case "kill":
                one.signal(signal.SIGKILL)
                await asyncio.to_thread(one.popen.wait)
            case "end":
                await asked_to_end(one)
            case _:
                one.signal(signal.SIGSTOP)
                await asyncio.sleep(dice.uniform(0.2, 3))  # short of a claim, or longer
                one.signal(signal.SIGCONT)
                return
        started.append(await asyncio.to_thread(process, shared_server.url, namespace))

    async def main() -> None:
        async with watched(shared_server.url, namespace, 8) as endpoints:
            # What has timed out may be sent again while it is being answered: that must not happen here.
            await endpoints.add("/sleep/0.02", timeout_seconds=1.5, concurrency=8)
            await endpoints.add("/flaky", "interrupt.*", timeout_seconds=1.5, concurrency=8)
            endpoints.receiver.script("/flaky", *["/ok", "/status/500", "/ok", "/drop"] * 400, "/ok")
            with ending(*(process(shared_server.url, namespace) for _ in range(2))) as started:
                async with load(endpoints.service):
                    for _ in range(10):
                        alive = [one for one in started if one.popen.poll() is None]
                        await harm(dice.choice(alive), started)
                await endpoints.until_done(60)

    run(main(), 110)


@pytest.mark.parametrize("step", ["deliver:answered", "deliver:sent", "fetch:answered", "sent:before"])
def test_one_that_was_frozen_does_nothing_to_what_is_anothers_by_now(
    shared_server: RedisServer, namespace: str, step: str
) -> None:
    """It has claimed something, and freezes. When it goes on, another one is about to send it: it does not send it as
    well, and what it has to say of it counts for nothing."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/one", timeout_seconds=LONG_S)
            failing = ["/status/500"] if step in ("fetch:answered", "sent:before") else []
            endpoints.receiver.script("/one", *failing, "/hang")
            frozen = process(shared_server.url, namespace, step=step, time=1, freezes=True, connecting=AWAY)
            with ending(frozen) as started:
                await asyncio.to_thread(frozen.ready)
                await publish(endpoints.service)
                await until(lambda: is_frozen(frozen), "it is frozen")
                started.append(process(shared_server.url, namespace))
                await endpoints.receiver.got(len(failing) + 1)
                claims = await endpoints.claimed()
                frozen.signal(signal.SIGCONT)
                await asyncio.sleep(0.3)  # it would have begun by then
                assert await asked_to_end(frozen) == 1
                assert len(claims) == 1
                assert await endpoints.claimed() == claims
                endpoints.receiver.release()
                await endpoints.until_done()
            assert len(endpoints.receiver.requests) == len(failing) + 1

    run(main())


@pytest.mark.parametrize("freezes", [False, True], ids=["killed", "frozen"])
def test_one_that_stops_in_the_middle_of_writing_down_has_nothing_delivered_again(
    shared_server: RedisServer, namespace: str, freezes: bool
) -> None:
    """What it reads goes in several calls, and between two of them another one has all of it: nothing that was
    delivered comes back, whoever writes it."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/one")
            await publish(endpoints.service, 6)
            options = {"slow": {"deliver": 0.2}, "bounds": {"HOOK_ADDS_MAX": 1}}
            first = process(shared_server.url, namespace, step="deliver:before", time=4, freezes=freezes, **options)
            with ending(first) as started:
                await until(lambda: is_frozen(first) if freezes else first.popen.poll() is not None, "it has stopped")
                started.append(process(shared_server.url, namespace))
                await endpoints.until_done()
                if freezes:
                    first.signal(signal.SIGCONT)
                    await asyncio.to_thread(first.ready)
                    await asked_to_end(first)
                await endpoints.until_done()

    run(main())


def test_one_that_was_frozen_moves_no_place_past_what_another_one_is_about_to_write(
    shared_server: RedisServer, namespace: str
) -> None:
    """Both write what they have read in many small calls. The one that was frozen is refused, and learns where the
    other one stands: that is not where its own next call leads on from."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 2) as endpoints:
            await endpoints.add("/one", concurrency=20)
            for session in sessions(endpoints.service):
                await publish(endpoints.service, 6, session_id=session)
            options = {"bounds": {"HOOK_ADDS_MAX": 1}, "connecting": AWAY}
            steps = {"step": "deliver:before", "time": 1, "freezes": True, "more": 4}  # there it has done it, and dies
            first = process(shared_server.url, namespace, **steps, **options)
            with ending(first) as started:
                await until(lambda: is_frozen(first), "it is frozen")
                started.append(process(shared_server.url, namespace, slow={"deliver": 0.4}, **options))
                await endpoints.receiver.got(1)
                first.signal(signal.SIGCONT)
                await endpoints.until_done()

    run(main())


def test_sigterm_finishes_what_is_begun_and_gives_back_the_rest(shared_server: RedisServer, namespace: str) -> None:
    """Two are at work, two wait for them to be done, six wait in Redis: each is sent once, by this one or the next."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/hang", timeout_seconds=20)
            with ending(process(shared_server.url, namespace)) as started:
                await asyncio.to_thread(started[0].ready)
                await publish(endpoints.service, 10)
                await endpoints.receiver.got(2)
                at_work = {request.id for request in endpoints.receiver.requests}
                assert len(await endpoints.claimed()) == 4
                ended = asyncio.create_task(asked_to_end(started[0]))

                async def given_back() -> bool:
                    return (await endpoints.claimed()).keys() == at_work

                await until_async(given_back, "the rest is given back")
                endpoints.receiver.release()
                assert await ended == 1
                assert await endpoints.claimed() == {}
                started.append(process(shared_server.url, namespace))
                await endpoints.until_done()
            assert set(endpoints.came("/hang").values()) == {1}

    run(main())


def test_what_is_cut_off_at_the_end_of_a_process_stays_claimed(shared_server: RedisServer, namespace: str) -> None:
    """The endpoint may still be at work with it: nobody else sends it before the claim ends."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/hang", timeout_seconds=LONG_S)
            with ending(process(shared_server.url, namespace, end_timeout_s=0.2)) as started:
                await asyncio.to_thread(started[0].ready)
                await publish(endpoints.service)
                await endpoints.receiver.got(1)
                claims = await endpoints.claimed()
                assert len(claims) == 1
                await asked_to_end(started[0])
                assert await endpoints.claimed() == claims
                endpoints.receiver.release()
                started.append(process(shared_server.url, namespace))
                await endpoints.until_done()

    run(main())


@pytest.mark.parametrize("step", ["held:answered", "entry:answered", "deliver:before", "deliver:sent"])
def test_events_that_are_handed_over_once_more_are_sent_again_whoever_dies(
    shared_server: RedisServer, namespace: str, step: str
) -> None:
    """It dies with them: whoever goes on sends them, once more under the same id."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 2) as endpoints:
            await endpoints.add("/one")
            await happen(endpoints.service, 0, 4)
            with ending(process(shared_server.url, namespace)) as started:
                await endpoints.until_done()
                await asked_to_end(started[0])
                log = [event.position for event in await whole_log(endpoints.service)]
                for position in log:
                    partition, _, stream_id = position.partition(":")
                    await groups(endpoints.service).release(GROUP, int(partition), "feed", [stream_id])
                started.append(process(shared_server.url, namespace, step=step, time=1))
                assert await asyncio.to_thread(started[1].popen.wait, 20) == -signal.SIGKILL
                started.append(process(shared_server.url, namespace))

                async def all_done() -> bool:
                    return not await held(endpoints.service, GROUP) and not await endpoints.claims()

                await until_async(all_done, "all is sent again")
                assert set(endpoints.came("/one").values()) <= {2, 3}
                assert endpoints.came("/one").keys() == await endpoints.wanted("/one")
            endpoints.again = len(log)

    run(main())
