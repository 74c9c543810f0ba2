"""kill -9 of whoever reacts, at each step: whoever goes on hands every event over, in order, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal

import pytest

from interrupts import connect
from tests.folding_victim import Death
from tests.reacting import BRIEF_S, hastened, leases, parked, places, publish, reacting, run, until_settled
from tests.reacting_process import Noting, noted, process
from tests.servers import RedisServer
from tests.worker_process import Process

GOOD = ("a", "b", "c")
EACH = 3
HELD = {"workers.consuming.WORKER_BEAT_S": 0.03, "workers.handling.REACT_HOLD_AFTER_S": 0.05}
STEPS = {
    "progress": [
        (f"progress:{moment}", time)
        for moment, times in (("before", (1, 3, 5)), ("sent", (1, 2, 3, 4, 5, 6)), ("answered", (2, 4)))
        for time in times
    ],
    "handler": [(f"handler:{moment}", time) for moment in ("begun", "done") for time in (1, 5, 9, 13)],
    "others": [
        *((f"{name}:answered", 1) for name in ("lease", "enlist", "attend", "read", "look")),
        *((f"{name}:sent", 2) for name in ("lease", "read", "look")),
        *((f"{name}:{moment}", 1) for name in ("give_back", "leave") for moment in ("before", "answered")),
    ],
}
AT_ONCE = 6


async def killed_at(server: RedisServer, namespace: str, step: str, time: int) -> tuple[str, bool]:
    """A process is killed there, and another goes on: what is wrong then, and whether it was killed."""
    async with connect(server.url, namespace=namespace, partitions=2) as service:
        for name in GOOD:
            await publish(service, name, *range(1, EACH + 1))
        await publish(service, "flaky", 1)
        await publish(service, "flaky", 2, do="fail", times=1)
        await publish(service, "flaky", 3)
        (bad,) = await publish(service, "bad", 1, do="fail")
        await publish(service, "bad", 2)
        await publish(service, "slow", 1, do="wait", s=0.15)
        await publish(service, "slow", 2)
        options = {"lease_s": BRIEF_S, "attempts_max": 2, "start": "beginning", "bounds": HELD}
        victim = await asyncio.to_thread(process, server.url, namespace, step=step, time=time, **options)
        try:
            await asyncio.to_thread(victim.ready)
            was_killed = await ended(victim, asyncio.create_task(until_settled(service, "g", parked_count=1)))
        finally:
            await asyncio.to_thread(victim.end)
        before = await places(service, "g")
        noting = Noting(service, Death("", 0))
        async with reacting(service, noting.react, attempts_max=2, start="beginning"):
            await until_settled(service, "g", parked_count=1)
        after = await places(service, "g")
        assert all(was <= now for was, now in zip(before, after, strict=True))
        assert list(await parked(service, "g")) == [bad]
    with server.client() as client:
        return faults_in(client, namespace), was_killed


async def ended(victim: Process, settled: asyncio.Task[None]) -> bool:
    """Waits until the process is killed, or has done all and ends in peace; whether it was killed."""
    died = asyncio.create_task(asyncio.to_thread(victim.popen.wait))
    await asyncio.wait([settled, died], return_when=asyncio.FIRST_COMPLETED)
    if not died.done():
        victim.signal(signal.SIGTERM)
    settled.cancel()
    await asyncio.gather(settled, return_exceptions=True)
    code = await died
    assert code in (0, -signal.SIGKILL)
    return code != 0


def faults_in(client: object, namespace: str) -> str:
    """What is wrong with what was noted: an event never handled, or before the one in front of it was."""
    lines = noted(client, namespace)  # type: ignore[arg-type]
    reached = {**dict.fromkeys((*GOOD, "flaky", "slow"), 0), "bad": 1}
    for line in lines:
        if line.session == "bad" and line.number == 1:
            continue
        if line.number > reached[line.session] + 1:
            return f"{line}, after {reached[line.session]}"
        if line.what == "done":
            reached[line.session] = max(reached[line.session], line.number)
    wanted = {**dict.fromkeys(GOOD, EACH), "flaky": 3, "slow": 2, "bad": 2}
    return "" if reached == wanted else f"{reached}: {lines}"


@pytest.mark.parametrize("steps", STEPS)
def test_a_process_killed_at_any_step_loses_nothing(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch, steps: str
) -> None:
    """Before and after it is written down what may be begun, in handlers, around acknowledging, holding, parking,
    taking partitions, and giving them back."""
    hastened(monkeypatch, leases(BRIEF_S))
    room = asyncio.Semaphore(AT_ONCE)

    async def one(step: str, time: int) -> tuple[str, bool]:
        async with room:
            return await killed_at(shared_server, f"{namespace}-{step.replace(':', '-')}-{time}", step, time)

    async def main() -> None:
        outcomes = await asyncio.gather(*(one(*at) for at in STEPS[steps]))
        found = dict(zip(STEPS[steps], outcomes, strict=True))
        assert {at: fault for at, (fault, _) in found.items() if fault} == {}
        survived = [at for at, (_, was_killed) in found.items() if not was_killed]
        assert survived == [], "they were never there"

    run(main())
