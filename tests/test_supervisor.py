"""The supervisor: one role's fault is that role's alone, it is said and mended, and the end comes in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.servers import until
from workers import supervisor as supervising
from workers.roles import Health, Role, RoleHealth
from workers.supervisor import BACKOFF_FIRST_S, BACKOFF_MAX_S, RAN_WELL_S, Supervisor

END_TIMEOUT_S = 5.0
Body = Callable[["Sham"], Coroutine[Any, Any, None]]


class Sham:
    """A role that does what the test says; unless told, it waits until it is asked to end."""

    def __init__(self, body: Body | None = None) -> None:
        self.body = body
        self.asked = asyncio.Event()
        self.began = False
        self.stops = 0

    async def run(self) -> None:
        """What the test says."""
        self.began = True
        if self.body is not None:
            await self.body(self)
        else:
            await self.asked.wait()

    def stop(self) -> None:
        """Asked."""
        self.stops += 1
        self.asked.set()

    @property
    def ready(self) -> bool:
        """From its beginning to its end."""
        return self.began and not self.asked.is_set()

    def numbers(self) -> dict[str, int | float | str]:
        """A number."""
        return {"stops": self.stops}


class Said:
    """The log lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, level: str, event: str, **fields: Any) -> None:
        self.lines.append((level, event, fields))

    def of(self, event: str) -> list[dict[str, Any]]:
        """The fields of such lines."""
        return [fields for _, one, fields in self.lines if one == event]


class Clock:
    """A clock of the test's own: pauses take no time, and are noted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rests: list[float] = []
        self.after: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    async def rest(self, asked: asyncio.Event, seconds: float) -> None:
        """The time has passed."""
        self.rests.append(seconds)
        self.now += seconds
        self.after()
        await asyncio.sleep(0)


async def fail(_: Sham) -> None:
    """A role that can't go on."""
    raise RuntimeError("broken")


def faulty(*bodies: Body) -> tuple[Callable[[], Role], list[Sham]]:
    """A role that does these one after the other, from start to start, and then runs as it should."""
    made: list[Sham] = []

    def make() -> Role:
        made.append(Sham(bodies[len(made)] if len(made) < len(bodies) else None))
        return made[-1]

    return make, made


def test_roles_run_until_they_are_asked_to_end() -> None:
    """All are begun, and ready; asked, each is told once, and the end is in time."""

    async def main() -> None:
        said, roles = Said(), {"a": Sham(), "b": Sham()}
        supervisor = Supervisor({name: (lambda role=role: role) for name, role in roles.items()}, said, end_timeout_s=9)  # type: ignore[misc]
        before = supervisor.health()
        assert [role.state for role in before.roles] == ["starting", "starting"]
        assert not before.ready
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().ready, "all are ready")
        health = supervisor.health()
        assert [(role.role, role.state, role.ready, role.restarts, role.error) for role in health.roles] == [
            ("a", "running", True, 0, None),
            ("b", "running", True, 0, None),
        ]
        assert before.roles[0].since <= health.roles[0].since <= datetime.now(UTC)
        supervisor.stop()
        supervisor.stop()
        assert not supervisor.health().ready
        assert await running is True
        assert [role.stops for role in roles.values()] == [1, 1]
        ended = supervisor.health()
        assert [(role.state, role.numbers) for role in ended.roles] == [("ended", {"stops": 1})] * 2
        assert said.lines == []

    asyncio.run(main())


def test_asked_before_it_runs_it_begins_nothing() -> None:
    """A signal may come while the process is still connecting."""

    async def main() -> None:
        make, made = faulty()
        supervisor = Supervisor({"a": make}, Said(), end_timeout_s=END_TIMEOUT_S)
        supervisor.stop()
        assert await supervisor.run() is True
        assert made == []
        assert supervisor.health().roles[0].state == "ended"

    asyncio.run(main())


async def cancel_oneself(_: Sham) -> None:
    """A fault in cancelling: what is the role's own must not end its keeper."""
    raise asyncio.CancelledError


async def return_early(_: Sham) -> None:
    """Nobody has asked it to."""


@pytest.mark.parametrize(
    ("body", "error"),
    [(fail, "RuntimeError('broken')"), (cancel_oneself, "it was cancelled"), (return_early, "nobody has asked it")],
)
def test_one_that_fails_is_begun_anew_and_that_is_said(body: Body, error: str) -> None:
    """As a new object, after a pause, however it fails; the other one does not notice."""

    async def main() -> None:
        said, clock, other = Said(), Clock(), Sham()
        make, made = faulty(body)
        supervisor = Supervisor(
            {"bad": make, "good": lambda: other}, said, end_timeout_s=END_TIMEOUT_S, rest=clock.rest, clock=clock
        )
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().ready, "it runs again")
        bad, good = supervisor.health().roles
        assert (bad.state, bad.restarts, good.restarts, good.error) == ("running", 1, 0, None)
        assert error in str(bad.error)
        assert len(made) == 2
        (line,) = said.of("workers.restarting")
        assert line == {"role": "bad", "error": bad.error, "again_in_s": clock.rests[0]}
        assert ("error", "workers.restarting", line) in said.lines
        supervisor.stop()
        assert await running is True

    asyncio.run(main())


def test_one_that_can_not_be_made_is_tried_again() -> None:
    """What fails in the making is a fault of the role like any other."""

    async def main() -> None:
        tries: list[Sham | None] = []

        def make() -> Role:
            tries.append(Sham() if tries else None)
            if tries[-1] is None:
                raise OSError("no such thing")
            return tries[-1]

        said, clock = Said(), Clock()
        supervisor = Supervisor({"a": make}, said, end_timeout_s=END_TIMEOUT_S, rest=clock.rest, clock=clock)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().ready, "it runs")
        assert "no such thing" in said.of("workers.restarting")[0]["error"]
        supervisor.stop()
        assert await running is True

    asyncio.run(main())


def test_pauses_grow_to_a_bound_and_shrink_after_a_good_run() -> None:
    """Each is between a half and the whole of twice the one before; who ran well begins with the first one again."""

    async def main() -> None:
        clock = Clock()

        async def run_well(_: Sham) -> None:
            clock.now += RAN_WELL_S
            raise RuntimeError("broken after a while")

        make, _ = faulty(*[fail] * 12, run_well, fail)
        supervisor = Supervisor({"a": make}, Said(), end_timeout_s=END_TIMEOUT_S, rest=clock.rest, clock=clock)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().ready, "it runs")
        wholes = [min(BACKOFF_FIRST_S * 2**number, BACKOFF_MAX_S) for number in range(12)]
        wholes += [BACKOFF_FIRST_S, 2 * BACKOFF_FIRST_S]
        assert len(clock.rests) == len(wholes)
        assert all(whole / 2 <= rest <= whole for rest, whole in zip(clock.rests, wholes, strict=True))
        assert len(set(clock.rests[:8])) == 8  # jitter
        supervisor.stop()
        assert await running is True

    asyncio.run(main())


def test_asked_in_a_pause_it_ends_without_waiting_for_the_rest() -> None:
    """With the real clock, and a pause that is longer than the test may take."""

    async def main() -> None:
        said = Said()
        supervisor = Supervisor(
            {"a": lambda: Sham(fail)},
            said,
            end_timeout_s=END_TIMEOUT_S,
            rest=lambda asked, _: supervising._rest(asked, 1_000.0),
        )
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().roles[0].state == "restarting", "it has failed")
        supervisor.stop()
        assert await asyncio.wait_for(running, END_TIMEOUT_S) is True
        assert supervisor.health().roles[0].state == "ended"

    asyncio.run(main())


def test_who_takes_too_long_is_cut_off_and_named() -> None:
    """The one that ends in time is let finish; the late one is cancelled and may clear up."""

    async def main() -> None:
        cleared: list[str] = []

        async def late(_: Sham) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cleared.append("late")

        said, good = Said(), Sham()
        supervisor = Supervisor({"late": lambda: Sham(late), "good": lambda: good}, said, end_timeout_s=0.05)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().ready, "both run")
        supervisor.stop()
        assert await running is False
        assert cleared == ["late"]
        assert said.lines == [("error", "workers.cut_off", {"role": "late", "after_s": 0.05})]
        bad, fine = supervisor.health().roles
        assert (bad.state, fine.state, fine.error) == ("ended", "ended", None)
        assert "cut off" in str(bad.error)

    asyncio.run(main())


def test_who_does_not_even_go_when_cancelled_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is bounded all the same, and says who it was."""
    monkeypatch.setattr(supervising, "CANCEL_TIMEOUT_S", 0.05)

    async def main() -> None:
        let_go = asyncio.Event()

        async def stubborn(_: Sham) -> None:
            while not let_go.is_set():
                with suppress(asyncio.CancelledError):
                    await let_go.wait()

        said = Said()
        supervisor = Supervisor({"a": lambda: Sham(stubborn)}, said, end_timeout_s=0.05)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().ready, "it runs")
        supervisor.stop()
        assert await asyncio.wait_for(running, END_TIMEOUT_S) is False
        assert [event for _, event, _ in said.lines] == ["workers.cut_off", "workers.does_not_end"]
        let_go.set()

    asyncio.run(main())


def test_a_failure_at_the_end_is_said_and_nothing_is_begun_anew() -> None:
    """It has ended in time, though not well."""

    async def main() -> None:
        async def fail_when_asked(role: Sham) -> None:
            await role.asked.wait()
            raise RuntimeError("broken at the end")

        said = Said()
        make, made = faulty(fail_when_asked)
        supervisor = Supervisor({"a": make}, said, end_timeout_s=END_TIMEOUT_S)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: supervisor.health().ready, "it runs")
        supervisor.stop()
        assert await running is True
        assert len(made) == 1
        assert said.of("workers.failed_at_the_end")[0]["role"] == "a"

    asyncio.run(main())


def test_one_that_can_not_be_asked_does_not_keep_the_others_from_being_asked() -> None:
    """It is cut off; so is one whose health can't be had counted as not ready."""

    class Rude(Sham):
        def stop(self) -> None:
            raise RuntimeError("no")

        def numbers(self) -> dict[str, int | float | str]:
            raise RuntimeError("no")

    async def main() -> None:
        said, good = Said(), Sham()
        supervisor = Supervisor({"rude": Rude, "good": lambda: good}, said, end_timeout_s=0.05)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: good.began, "both run")
        assert supervisor.health().roles[0].numbers == {}
        supervisor.stop()
        assert await running is False
        assert good.stops == 1
        assert [event for _, event, _ in said.lines] == ["workers.stop_failed", "workers.cut_off"]

    asyncio.run(main())


def test_cancelled_it_takes_the_roles_along() -> None:
    """Nothing of it goes on behind its caller's back."""

    async def main() -> None:
        make, made = faulty(fail)
        supervisor = Supervisor({"a": make, "b": Sham}, Said(), end_timeout_s=END_TIMEOUT_S)
        running = asyncio.create_task(supervisor.run())
        await until(lambda: bool(made) and made[-1].began, "it runs")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_health_is_data() -> None:
    """Frozen, and with nothing in it that can't be sent."""
    health = Health(True, [RoleHealth("a", "running", True, datetime(2026, 1, 1, tzinfo=UTC), 0, None, {"folded": 1})])
    with pytest.raises(AttributeError):
        health.ready = False  # type: ignore[misc]
