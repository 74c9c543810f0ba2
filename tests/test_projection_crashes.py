"""kill -9 of a worker at each step of its work: whoever goes on brings the views where a clean rebuild has them."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter

import pytest

from interrupts import InterruptService, connect
from projections.rebuild import rebuild
from projections.verify import verify
from tests.folding_victim import PARTITIONS, YOUNGER
from tests.following import assert_right, dump, fold_all, some_more
from tests.servers import RedisServer
from tests.worker_process import Process

STEPS = [
    *("views:before", "views:answered", "begin:sent", "begin:answered"),
    *("read:before", "read:sent", "read:answered", "fold:before", "fold:after"),
    *("apply:before", "apply:sent", "apply:answered"),
    *("count:before", "count:sent", "count:answered", "move:before", "move:sent", "move:answered"),
    *("unlink:before", "unlink:answered", "unmark:before", "unmark:answered"),
    *("attend:before", "attend:answered", "leave:before", "leave:answered"),
]
LATER = ["read:answered", "fold:after", "apply:before", "apply:sent", "apply:answered"]
OF_RATES = ["count:before", "count:sent", "count:answered", "move:before", "move:sent", "move:answered"]
ROUNDS = 30


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be thrown away is thrown away soon."""
    monkeypatch.setattr("projections.apart.LOOK_AGAIN_S", 0.01)


async def killed(server: RedisServer, namespace: str, step: str, time: int) -> bool:
    """Runs a victim to its end; whether it was killed where it should be."""
    victim = await asyncio.to_thread(Process, "tests.folding_victim", server.url, namespace, step, str(time))
    try:
        line = await asyncio.to_thread(victim.ready)
        code = await asyncio.to_thread(victim.popen.wait, 60)
        assert (code, line) in [(-signal.SIGKILL, ""), (0, "survived")]
        return code != 0
    finally:
        victim.end()


async def assert_goes_on(service: InterruptService) -> None:
    """A fresh worker finishes what was begun, and the views are what the log says and a clean rebuild makes."""
    await fold_all(service, YOUNGER)
    for view in ("pending", "rates"):  # those that the victim builds again
        await rebuild(service, view)
    await assert_right(service, YOUNGER)
    verified = await verify(service, projections=YOUNGER)
    assert verified.equal, verified.differences
    held = await dump(service, YOUNGER)
    for projection in YOUNGER:
        await rebuild(service, projection.view.name, projections=YOUNGER, from_start=True)
    assert await dump(service, YOUNGER) == held


ONCE, AGAIN, LATE = ([(step, time) for step in steps] for steps, time in ((STEPS, 1), (OF_RATES, 3), (LATER, 9)))


@pytest.mark.parametrize(("step", "time"), [*ONCE, *AGAIN, *LATE])
def test_a_worker_killed_at_any_step_spoils_nothing(
    shared_server: RedisServer, namespace: str, step: str, time: int
) -> None:
    """Folding, building a younger version, taking over, throwing away, leaving: each step is done or not."""

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=PARTITIONS) as service:
            await some_more(service, 16)
            await fold_all(service)
            await some_more(service, 16)
            assert await killed(shared_server, namespace, step, time), "it was never there"
            await assert_goes_on(service)

    asyncio.run(main())


@pytest.mark.drill
def test_workers_killed_again_and_again_spoil_nothing(own_server: RedisServer) -> None:
    """Workers that die at random steps, one after the other and beside each other, while events come."""

    async def main() -> None:
        chance, seen = random.Random(11), Counter[str]()
        async with connect(own_server.url, partitions=PARTITIONS) as service:
            await some_more(service, 50)
            await fold_all(service)
            for number in range(ROUNDS):
                steps = chance.choices(STEPS, k=2)
                dying = (killed(own_server, "interrupts", step, chance.randrange(1, 30)) for step in steps)
                *died, _ = await asyncio.gather(*dying, some_more(service, 20))
                seen.update(step if was_killed else "survived" for step, was_killed in zip(steps, died, strict=True))
                if number % 10 == 0:
                    await assert_goes_on(service)
            await assert_goes_on(service)
        print(f"\nkilled workers, by step: {dict(seen)}")
        assert seen.total() == 2 * ROUNDS

    asyncio.run(main())
