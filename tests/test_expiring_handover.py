"""The role that expires, at the moments at which its share changes: what is under way then loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from interrupts import UnavailableError, connect
from tests.conftest import World
from tests.expiring_process import assert_expired_in_time, expiring, until_closed
from tests.servers import sessions, until
from tests.test_expiring_shares import shares
from tests.waiting import ask, run
from workers import running
from workers.attending import Attendance
from workers.expiring import ExpiryRole

SOON = timedelta(seconds=0.3)


class Gate:
    """Holds up one call of a method until it is opened, before it is made or after it; then it may fail."""

    def __init__(
        self, owner: Any, name: str, monkeypatch: pytest.MonkeyPatch, *, before: bool, fails: bool = False
    ) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()
        call = getattr(owner, name)

        async def held(*args: Any) -> Any:
            result = None if before else await call(*args)
            if not self.reached.is_set():
                self.reached.set()
                await self.opened.wait()
                if fails:
                    raise UnavailableError("as it is told")
            return await call(*args) if before else result

        monkeypatch.setattr(owner, name, held)


def give(role: ExpiryRole, partitions: Sequence[int]) -> None:
    """The others have come or gone: now these are its own."""
    role._take(partitions)


@pytest.fixture
def left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No beat comes in between."""
    monkeypatch.setattr("workers.attending.WORKER_BEAT_S", 60.0)


@pytest.mark.usefixtures("left_alone")
@pytest.mark.parametrize("fails", [False, True], ids=["answered", "failed"])
def test_a_partition_that_is_shared_out_anew_while_it_is_looked_at_keeps_its_deadline(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """The look ends after another of the role's tasks has the partition: that one must hear what was found."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=4) as service,
            connect(url, namespace=namespace) as other,
        ):
            async with expiring(service) as role:
                looked = Gate(service.expiry, "round", monkeypatch, before=False, fails=fails)
                asked = await ask(other, sessions(other)[2], ttl=SOON)
                near = await ask(other, sessions(other)[2], ttl=SOON / 10)
                await looked.reached.wait()  # `near` is expired, and the next deadline is known, but not yet here
                give(role, [2])
                for _ in range(10):  # the task that has it now has looked, and sleeps
                    await asyncio.sleep(0)
                looked.opened.set()
                await until_closed(other, [asked, near])
            await assert_expired_in_time(other, [asked, near])

    run(main())


@pytest.mark.usefixtures("left_alone")
def test_a_partition_that_is_given_up_while_it_is_taken_on_spoils_nothing(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its position in the log comes when it is another's already: the role goes on with the others."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=4) as service,
            connect(url, namespace=namespace) as other,
        ):
            role = ExpiryRole(service)
            taking = Gate(role._tails, "follow", monkeypatch, before=True)
            work = asyncio.create_task(role.run())
            await taking.reached.wait()
            give(role, [1])
            taking.opened.set()
            asked = await ask(other, sessions(other)[1], ttl=SOON)
            await until_closed(other, [asked])
            assert not work.done()
            assert shares(role) == [1]
            role.stop()
            await work

    run(main())


@pytest.mark.usefixtures("left_alone")
def test_a_share_that_was_given_up_as_a_whole_is_followed_again(url: str, namespace: str) -> None:
    """While it had none it followed nothing; what it then gets, it hears of at once, and without a fault."""
    world = World()

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=4, logger=world) as service,
            connect(url, namespace=namespace) as other,
        ):
            async with expiring(service) as role:
                give(role, [])
                await other.create_checkpoint("r", "u", "s")  # the read that goes on ends with it
                await until(lambda: not role._tails._feeds[0]._follow._woken.is_set(), "it waits for nothing")
                for _ in range(3):
                    give(role, [2])
                    await until_closed(other, [await ask(other, sessions(other)[2], ttl=SOON / 10)])
                    give(role, [])
                    await other.create_checkpoint("r", "u", sessions(other)[2])
            assert [line for line in world.lines if line[0] in ("warning", "error")] == []

    run(main())


def test_within_running_a_role_that_fails_is_begun_anew(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`workers.running`: Redis is away as the role joins, longer than a call is patient. That is said, and later
    deadlines are kept."""
    world, join = World(), Attendance.join
    failed = list[str]()

    async def failing(attendance: Attendance) -> None:
        if not failed:
            failed.append(attendance.worker)
            raise UnavailableError("Redis is away.")
        await join(attendance)

    monkeypatch.setattr("workers.attending.Attendance.join", failing)

    async def main() -> None:
        async with connect(url, namespace=namespace, logger=world) as service, running(service):
            await until(lambda: bool(failed), "it joins")
            await until_closed(service, [await ask(service, ttl=SOON)])
        assert "error" in [line[0] for line in world.lines]

    run(main())
