"""All roles in worker processes while the server is killed and comes back: nothing is lost, and they carry on."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path

import redis

from interrupts import FlowInterrupt, InterruptResponse, InterruptService, connect
from projections.verify import verify
from tests.conftest import whole_log
from tests.expiring_process import until_closed, whole_worker
from tests.producing import Producer, producer
from tests.servers import RedisServer, until
from tests.test_roles_together import PARTITIONS, SOON, echoes, everything, until_echoed, until_resumed
from tests.waiting import ask, run

BACK_S = 10.0
"""Within so many seconds workers carry on after a restart, by themselves."""


class Load:
    """Creates, answers, publishes and sends commands until it is told to stop, and knows what was acknowledged."""

    def __init__(self, service: InterruptService, commands: Producer) -> None:
        self.service, self.commands = service, commands
        self.asked: list[FlowInterrupt] = []
        self.answered: list[str] = []
        self.published: list[int] = []
        self.sent: list[str] = []
        self.ended = False

    @property
    def count(self) -> int:
        """How much was acknowledged, of what there is the least."""
        return min(len(self.asked), len(self.answered), len(self.published), len(self.sent))

    async def run(self) -> None:
        """Several at once."""
        async with asyncio.TaskGroup() as group:
            for worker in range(4):
                group.create_task(self._call(worker))
            group.create_task(asyncio.to_thread(self._send))

    async def _call(self, worker: int) -> None:
        number = 0
        while not self.ended:
            number, session = number + 1, f"s{worker}-{number % 7}"
            name = worker * 1_000_000 + number
            self.asked.append(await ask(self.service, session, ttl=SOON, idempotency_key=f"k{name}"))
            answered = await ask(self.service, session, idempotency_key=f"a{name}")
            await self.service.respond(answered.id, InterruptResponse(approved=True), command_id="c")
            self.answered.append(answered.id)
            await self.service.publish("tests.event.happened", {"n": name, "session_id": session})
            self.published.append(name)

    def _send(self) -> None:
        number = 0
        while not self.ended:
            number += 1
            try:
                self.commands.create(f"s{number % 7}", command_id=f"own-{number}")
            except redis.RedisError:
                number -= 1  # it may have been sent: it is sent again by the same name
                time.sleep(0.01)  # short of a busy loop while the server is away
                continue
            self.sent.append(f"own-{number}")


async def until_all_followed(load: Load) -> None:
    """Returns when all that was to follow has followed."""
    for name in load.answered:
        await until_resumed(load.service, name)
    await until_echoed(load.service, *load.published)
    await asyncio.to_thread(load.commands.all_decided)
    await until_closed(load.service, load.asked)


async def assert_nothing_lost(load: Load) -> None:
    """All that was acknowledged is there, once, and what was to follow has followed."""
    service = load.service
    kinds = Counter[tuple[str, str]]()
    for event in await whole_log(service):
        kinds[event.interrupt_id, event.type] += 1
    assert {one.id for one in load.asked if kinds[one.id, "interrupt.expired"] != 1} == set()
    assert {one for one in load.answered if kinds[one, "interrupt.resolved"] != 1} == set()
    assert {one for one in load.answered if not kinds[one, "interrupt.acknowledged"]} == set()
    assert set(load.published) <= await echoes(service)
    made: dict[str, set[str]] = {}
    for name, outcome, body in load.commands.all_replies():
        assert outcome == "done", body
        if name not in load.sent:
            continue
        made.setdefault(name, set()).add(body["interrupt_id"])
    assert {name for name in load.sent if len(made.get(name, ())) != 1} == set()
    assert len({one for ids in made.values() for one in ids}) == len(made)


def test_a_server_that_restarts_under_load_loses_nothing_and_workers_carry_on(tmp_path: Path, namespace: str) -> None:
    """kill -9 of the server, with an append-only file that is written before each reply: nothing acknowledged is lost,
    and the same processes carry on within seconds."""
    server = RedisServer(tmp_path / "own", "--appendonly", "yes", "--appendfsync", "always").start()

    async def main() -> None:
        async with connect(server.url, namespace=namespace, partitions=PARTITIONS, view_wait_s=20) as service:
            with whole_worker(server.url, namespace) as one, whole_worker(server.url, namespace) as two:
                with producer(server.port, namespace) as commands, producer(server.port, namespace) as own:
                    load = Load(service, commands)
                    loading = asyncio.create_task(load.run())
                    try:
                        await until(lambda: load.count > 30, "there is load")
                        server.kill()
                        await asyncio.to_thread(server.start)
                        began = time.monotonic()
                        await everything(service, own, "after", -1)
                        back_s = time.monotonic() - began
                        await until(lambda: load.count > 60, "there is load again")
                    finally:
                        load.ended = True
                        await loading
                    await until_all_followed(load)
                    await assert_nothing_lost(load)
                assert [worker.process.poll() for worker in (one, two)] == [None, None]
                for worker in (one, two):
                    worker.process.send_signal(signal.SIGTERM)
                    assert await asyncio.to_thread(worker.ended) == 0
                    assert [line for line in worker.lines if line["event"] == "workers.restarting"] == []
            assert (await verify(service)).differences == []
            assert back_s < BACK_S

    try:
        run(main(), 100)
    finally:
        server.stop()


def test_a_process_that_is_killed_under_load_loses_nothing(shared_server: RedisServer, namespace: str) -> None:
    """kill -9 of one of two that do everything: the other one does all of it, once its leases have run out."""
    url = shared_server.url

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS, view_wait_s=20) as service:
            with whole_worker(url, namespace) as one, whole_worker(url, namespace) as two:
                with (
                    producer(shared_server.port, namespace) as commands,
                    producer(shared_server.port, namespace) as own,
                ):
                    load = Load(service, commands)
                    loading = asyncio.create_task(load.run())
                    try:
                        await until(lambda: load.count > 30, "there is load")
                        one.process.send_signal(signal.SIGKILL)
                        more = load.count + 30
                        await until(lambda: load.count > more, "there is more load")
                    finally:
                        load.ended = True
                        await loading
                    began = time.monotonic()
                    await until_all_followed(load)
                    print(f"\n{len(load.answered)} answered; all followed after {time.monotonic() - began:.1f} s")
                    await everything(service, own, "after", -1)
                    await assert_nothing_lost(load)
                assert two.process.poll() is None
            assert (await verify(service)).differences == []

    run(main(), 100)
