"""Webhooks while Redis breaks: lost replies, a server that goes away, moves, or has no room, and keys of others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from interrupts.store.deliveries import Deliveries
from tests.raw import raw
from tests.reacting import run
from tests.servers import Cluster, RedisServer, sessions
from tests.webhook_process import asked_to_end, hastened, process, processes, quick, sending
from tests.webhook_watch import AWAY, LONG_S, ending, happen, load, more, publish, watched


@pytest.mark.parametrize("name", ["deliver", "place", "sent", "fetch", "hooks", "read", "waiting", "enlist"])
@pytest.mark.parametrize(
    ("what", "lost_s"),
    [("lose", [0, 0, 0]), ("lose", [0.4, 0.4, 0.4]), ("cut", [0.4])],
    ids=["repeated", "given up", "not made"],
)
def test_calls_that_are_lost_send_nothing_twice(
    shared_server: RedisServer, namespace: str, name: str, what: str, lost_s: list[float]
) -> None:
    """Calls were made, and their replies not heard; whoever made them repeats them, or is told that the server is away
    since it took too long; or they were not made."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 2) as endpoints:
            await endpoints.add("/one", timeout_seconds=1)
            await endpoints.add("/slow", "interrupt.*", timeout_seconds=1, concurrency=1)
            endpoints.receiver.script("/slow", "/sleep/0.05", "/sleep/0.02")
            options = {what: {name: lost_s}, "connecting": {"call_timeout_s": 0.3} if any(lost_s) else {}}
            with ending(process(shared_server.url, namespace, **options)) as (one,):
                await asyncio.to_thread(one.ready)
                await happen(endpoints.service, 0, 5)
                await endpoints.until_done()
                begun = await asked_to_end(one)
                assert begun == 1 or name in ("hooks", "enlist")  # without these it can't begin
            assert set((endpoints.came("/one") | endpoints.came("/slow")).values()) == {1}

    run(main())


@pytest.mark.parametrize("lost_s", [1.2, 2.5], ids=["for almost as long as the claim", "for longer"])
def test_a_reply_that_is_lost_for_long_brings_nothing_twice_at_once(
    shared_server: RedisServer, namespace: str, lost_s: float
) -> None:
    """What was claimed by the call is not heard of until the claim is about to end, or has ended."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            await endpoints.add("/sleep/0.8", timeout_seconds=1.0)
            options = {"lose": {"deliver": [lost_s]}, "connecting": AWAY, "bounds": {"HOOK_LOOK_AT_ALL_S": 0.2}}
            with ending(process(shared_server.url, namespace, **options)) as (one,):
                await asyncio.to_thread(one.ready)
                await publish(endpoints.service, 3)
                await endpoints.until_done()

    run(main())


@pytest.mark.parametrize("away_s", [0.0, 3.0], ids=["at once", "after the claims"])
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_a_server_that_is_away_under_load_loses_nothing(
    tmp_path: Path, namespace: str, away_s: float, how: str
) -> None:
    """With its append-only file: two processes go on by themselves."""
    server = RedisServer(tmp_path / "own", "--appendonly", "yes", "--appendfsync", "always").start()

    async def main() -> None:
        async with watched(server.url, namespace) as endpoints:
            await endpoints.add("/sleep/0.01")
            await endpoints.add("/flaky", "interrupt.*")
            endpoints.receiver.script("/flaky", *["/ok", "/status/500", "/ok", "/drop"] * 200, "/ok")
            with processes(*(process(server.url, namespace, connecting=AWAY) for _ in range(2))) as both:
                async with load(endpoints.service) as counted:
                    for _ in range(2):
                        await more(counted)
                        if how == "kill":
                            server.kill()
                        else:
                            server.freeze()
                        await asyncio.sleep(away_s)  # it is away for so long
                        if how == "kill":
                            await asyncio.to_thread(server.start)
                        else:
                            server.thaw()
                        await more(counted)
                await endpoints.until_done()
                assert [one.popen.poll() for one in both] == [None, None]

    try:
        run(main(), 100)
    finally:
        server.stop()


@pytest.mark.parametrize("what", ["scripts", "connections"])
def test_lost_scripts_and_cut_connections_send_nothing_twice(
    own_server: RedisServer, namespace: str, what: str
) -> None:
    """SCRIPT FLUSH and CLIENT KILL under load are not noticed."""

    def harm() -> None:
        with own_server.client() as client:
            if what == "scripts":
                client.script_flush("SYNC")
                return
            mine = client.client_id()
            for one in client.client_list():
                if int(one["id"]) != mine:
                    client.client_kill_filter(_id=one["id"])

    async def main() -> None:
        async with watched(own_server.url, namespace) as endpoints:
            await endpoints.add("/one")
            await endpoints.add("/slow", "interrupt.*", concurrency=1)
            with processes(*(process(own_server.url, namespace) for _ in range(2))):
                async with load(endpoints.service) as counted:
                    for _ in range(25):
                        await more(counted, 3)
                        await asyncio.to_thread(harm)
                await endpoints.until_done()
            assert set(endpoints.came("/one").values()) == set(endpoints.came("/slow").values()) == {1}

    run(main())


def test_a_slot_that_moves_under_load_loses_nothing(cluster: Cluster, namespace: str) -> None:
    """Deliveries are written down, fetched and noted while the keys of a partition go to another node, and back."""

    async def main() -> None:
        async with watched(cluster.url, namespace, 6) as endpoints:
            await endpoints.add("/sleep/0.05", concurrency=1)
            await endpoints.add("/flaky", "interrupt.*")
            endpoints.receiver.script("/flaky", *["/ok", "/status/500"] * 400, "/ok")
            slot = endpoints.service.store.keys.slots[1]
            home = cluster.owner(slot)
            away = next(node for node in cluster.nodes if node is not home)
            with processes(*(process(cluster.url, namespace) for _ in range(2))):
                async with load(endpoints.service) as counted:
                    for to in (away, home, away, home):
                        await more(counted)
                        await asyncio.to_thread(cluster.move, slot, to)
                    await more(counted)
                await endpoints.until_done(60)

    run(main(), 110)


def test_a_server_without_memory_loses_nothing(own_server: RedisServer, namespace: str) -> None:
    """It refuses whatever may need more: once there is room again, everything is sent."""

    async def main() -> None:
        async with watched(own_server.url, namespace) as endpoints:
            await endpoints.add("/hang", timeout_seconds=LONG_S)
            await endpoints.add("/flaky")
            endpoints.receiver.script("/flaky", *["/status/500"] * 5, "/sleep/0.1")
            with processes(process(own_server.url, namespace, connecting=AWAY)):
                await happen(endpoints.service, 0, 5)
                await endpoints.receiver.got(4)
                own_server.command("CONFIG", "SET", "maxmemory", "1")
                endpoints.receiver.release()
                await asyncio.sleep(1)  # it has none for so long
                own_server.command("CONFIG", "SET", "maxmemory", "0")
                await endpoints.until_done()

    run(main())


def test_a_lane_that_others_have_written_into_holds_up_no_other(shared_server: RedisServer, namespace: str) -> None:
    """One endpoint's key in a partition is not what it was: the other endpoint is sent everything, once."""

    async def main() -> None:
        async with watched(shared_server.url, namespace, 1) as endpoints:
            broken = await endpoints.add("/a")
            await endpoints.add("/b")
            lane = f"{endpoints.service.store.keys.lanes(0)}{broken}"
            with processes(process(shared_server.url, namespace)):
                await publish(endpoints.service, 3)
                await endpoints.until_done()
                await raw(endpoints.service, "SET", f"{lane}:waiting", "alien")
                await publish(endpoints.service, 3)
                await endpoints.receiver.got(6, "/b")
                await raw(endpoints.service, "DEL", f"{lane}:waiting")
                del endpoints.ids["/a"]
                await endpoints.until_done()
            assert set(endpoints.came("/b").values()) == {1}

    run(main())


@pytest.mark.parametrize("bound", [{"HOOK_ADDS_MAX": 7}, {"HOOK_READ_BYTES_MAX": 10_000}], ids=["count", "bytes"])
def test_a_call_is_bounded_however_many_endpoints_want_what_is_read(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch, bound: dict[str, float]
) -> None:
    """What is read goes to ten endpoints: it is written down in many calls, none of which holds up the server."""
    hastened(monkeypatch, quick() | bound)
    deliver, calls = Deliveries.deliver, list[list[bytes]]()

    async def noted(deliveries: Deliveries, *args: Any, **options: Any) -> Any:
        calls.append([add.body for portion in args[-1] for add in portion.adds])
        return await deliver(deliveries, *args, **options)

    monkeypatch.setattr(Deliveries, "deliver", noted)

    async def main() -> None:
        async with watched(shared_server.url, namespace, 2) as endpoints:
            for number in range(10):
                await endpoints.add(f"/ok/{number}", timeout_seconds=5)
            for session in sessions(endpoints.service):
                await publish(endpoints.service, 8, session_id=session, text="x" * 3_000)
            async with sending(endpoints.service):
                await endpoints.until_done()

    run(main())
    assert sum(map(len, calls)) == 160
    assert max(map(len, calls)) <= (7 if "HOOK_ADDS_MAX" in bound else 4)
