"""kill -9 of whoever sends, at each step: every event reaches every endpoint under one id, and nothing waits then.

What was claimed by the one that is dead is sent by nobody else before its claim ends.
"""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from interrupts import connect
from tests.reacting import run, until_async
from tests.receiver import Request
from tests.servers import RedisServer
from tests.webhook_process import SENT_BY, hastened, process, quick, sending
from tests.webhook_watch import TIMEOUT_S, Endpoints, Watching, happen
from tests.worker_process import Process

PARTITIONS = 2
MOMENTS = ("before", "sent", "answered")
STEPS = {
    "reading": [
        *((f"log:{moment}", time) for moment in MOMENTS for time in (1, 2)),
        *((f"hooks:{moment}", 2) for moment in MOMENTS),
        *((f"read:{moment}", 1) for moment in MOMENTS),
        ("enlist:answered", 1),
        ("attend:answered", 2),
    ],
    "writing down": [
        *((f"deliver:{moment}", time) for moment in MOMENTS for time in (1, 3)),
        *((f"place:{moment}", 1) for moment in MOMENTS),
    ],
    "posting": [*((f"post:{moment}", time) for moment in MOMENTS for time in (1, 4, 11)), ("post:failed", 2)],
    "noting": [(f"sent:{moment}", time) for moment in MOMENTS for time in (1, 2, 5)],
    "fetching": [*((f"fetch:{moment}", time) for moment in MOMENTS for time in (1, 4)), ("waiting:answered", 1)],
    "switching off": [("post:gone", 1), *((f"hook:{moment}", 1) for moment in MOMENTS)],
    "leaving": [(f"leave:{moment}", 1) for moment in MOMENTS],
}
AT_ONCE = 4
WAVES = 8
"""So often something happens, until the one that is to die has come to its step."""


def wall_ms(request: Request) -> float:
    """When it came, on the clock that servers on this machine have, too."""
    return (time.time() - time.monotonic() + request.at) * 1000


def twice_too_soon(endpoints: Endpoints, claims: dict[str, int], pid: int) -> list[str]:
    """What was sent by others although the claim of that process was good still, or its request had time left."""
    found, begun_ms = list[str](), dict[str, int]()
    for request in endpoints.receiver.requests:
        sent_by, _, at_ms = request.headers.get(SENT_BY, "").partition(" ")
        if sent_by == str(pid):
            begun_ms[request.id] = int(at_ms)
            continue
        left_ms = claims.get(request.id, 0) - wall_ms(request)
        if left_ms > 2:  # both clocks are cut to milliseconds
            found.append(f"{request.path}: {request.id}, its claim was good for {left_ms:g} ms more")
        if request.id in begun_ms and "flaky" not in request.path and "gone" not in request.path:
            left_ms = begun_ms[request.id] + TIMEOUT_S * 1000 - wall_ms(request)
            if left_ms > 2:
                found.append(f"{request.path}: {request.id}, the first one had {left_ms:g} ms left")
    return found


async def died(victim: Process, endpoints: Endpoints, waves: int) -> bool:
    """Lets things happen until it has killed itself, or after so many times ends it in peace; whether it was killed."""
    gone = asyncio.create_task(asyncio.to_thread(victim.popen.wait))
    for wave in range(waves):
        await happen(endpoints.service, 10 + wave, 2)
        done = asyncio.create_task(endpoints.until_done())
        await asyncio.wait([done, gone], return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        await asyncio.gather(done, return_exceptions=True)
        if gone.done():
            break
    else:
        victim.signal(signal.SIGTERM)
    return await gone == -signal.SIGKILL


async def killed_at(server: RedisServer, receiver: Watching, namespace: str, step: str, time: int) -> tuple[str, bool]:
    """A process is killed there, and another one goes on: what is wrong then, and whether it was killed."""
    async with connect(server.url, namespace=namespace, partitions=PARTITIONS) as service:
        endpoints = Endpoints(service, receiver)
        await endpoints.add(f"/{namespace}/all")
        await endpoints.add(f"/{namespace}/flaky", "interrupt.*")
        receiver.script(f"/{namespace}/flaky", *["/status/500", "/drop", "/ok"] * 3)
        gone = f"/{namespace}/gone"
        if step in ("post:gone", "hook:before", "hook:sent", "hook:answered"):
            await endpoints.add(gone)
            receiver.script(gone, "/status/410")
        await happen(service, 0, 4)
        victim = await asyncio.to_thread(process, server.url, namespace, step=step, time=time)
        try:
            await asyncio.to_thread(victim.ready)
            was_killed = await died(victim, endpoints, 1 if step.startswith("leave") else WAVES)
            claims = await endpoints.claims()
        finally:
            await asyncio.to_thread(victim.end)
        try:
            async with sending(service):
                await happen(service, 50, 1)
                if gone in endpoints.ids:

                    async def is_off() -> bool:
                        return (await endpoints.webhooks.endpoint(endpoints.ids[gone])).off is not None

                    await until_async(is_off, "it is switched off")
                    receiver.script(gone, "/ok")
                    await endpoints.webhooks.switch_on(endpoints.ids[gone])
                await endpoints.until_done()
        except AssertionError as error:
            return f"{error} {await endpoints.claims()}", was_killed
        return await endpoints.faults() or "; ".join(twice_too_soon(endpoints, claims, victim.popen.pid)), was_killed


@pytest.mark.parametrize("steps", STEPS)
def test_a_process_killed_at_any_step_loses_nothing(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch, steps: str
) -> None:
    """Around reading, writing down, posting, noting, fetching, switching off and leaving."""
    hastened(monkeypatch, quick())
    room = asyncio.Semaphore(AT_ONCE)

    async def main() -> None:
        async with Watching() as receiver:

            async def one(step: str, time: int) -> tuple[str, bool]:
                async with room:
                    name = f"{namespace}-{step.replace(':', '-')}-{time}"
                    return await killed_at(shared_server, receiver, name, step, time)

            outcomes = await asyncio.gather(*(one(*at) for at in STEPS[steps]))
        found = dict(zip(STEPS[steps], outcomes, strict=True))
        assert {at: fault for at, (fault, _) in found.items() if fault} == {}
        assert [at for at, (_, was_killed) in found.items() if not was_killed] == [], "they were never there"

    run(main(), 100)
