"""Progress: what is reported and when, and how a terminal, or a pipe, shows it."""

from __future__ import annotations

import asyncio
import io
import itertools
import sys

import pytest

from interrupts import connect
from projections.progress import REPORT_EVERY_S, Meter, Progress
from projections.rebuild import rebuild
from projections.verify import verify
from tests.raw import checkpoints
from workers.progress_line import LINE_EVERY_S, ProgressLine


class Clock:
    """A clock that is moved by hand; what it shows can be told exactly in binary."""

    def __init__(self) -> None:
        self.now = 1024.0

    def __call__(self) -> float:
        return self.now


def test_a_meter_reports_now_and_then_and_counts_always() -> None:
    """However often something is done: a report at most every so often, with all that is done by then."""
    clock, reports = Clock(), list[Progress]()
    meter = Meter("folding", 100, reports.append, clock)
    for _ in range(80):
        clock.now += 1 / 16
        meter.add(1)
    assert meter.done == 80
    assert [one.done for one in reports] == list(range(4, 81, 4))  # the first sixteenth at or after each fifth
    assert all(after.seconds - before.seconds >= REPORT_EVERY_S for before, after in itertools.pairwise(reports))
    assert reports[-1] == Progress("folding", 80, 100, 5.0)


def test_rate_and_estimate_are_those_of_what_was_done() -> None:
    """So much a second since it began, and the seconds that the rest takes at this rate."""
    clock, reports = Clock(), list[Progress]()
    meter = Meter("folding", 100, reports.append, clock)
    clock.now += 4
    meter.add(20)
    assert (reports[-1].rate, reports[-1].left_s) == (5.0, 16.0)
    clock.now += 4
    meter.add(100)
    assert (reports[-1].rate, reports[-1].left_s) == (15.0, 0.0)  # more came meanwhile


def test_before_anything_is_done_nobody_can_tell() -> None:
    """No rate, no estimate, and no fault."""
    clock, reports = Clock(), list[Progress]()
    meter = Meter("folding", 0, reports.append, clock)
    meter.tell()
    clock.now += 1
    meter.tell()
    assert [(one.rate, one.left_s) for one in reports] == [(0.0, None), (0.0, None)]


def test_a_clock_that_has_not_moved_yet_is_no_fault() -> None:
    """Some are coarse: there is work done in no time."""
    clock, reports = Clock(), list[Progress]()
    meter = Meter("folding", 8, reports.append, clock)
    meter.add(3)
    meter.tell()
    assert (reports[-1].rate, reports[-1].left_s) == (0.0, None)


def test_without_anybody_who_listens_a_meter_counts() -> None:
    """Nothing has to be passed."""
    meter = Meter("folding", 8, None)
    meter.add(3)
    meter.tell()
    assert meter.done == 3


class Terminal(io.StringIO):
    """A text that says it is a terminal, and what one sees in its last line."""

    def isatty(self) -> bool:
        return True

    def seen(self) -> str:
        """The line as it is after all that was written over it."""
        line = ""
        for text in self.getvalue().rpartition("\n")[2].split("\r"):
            line = text + line[len(text) :]
        return line.rstrip()


def test_in_a_terminal_one_line_moves_and_is_gone_at_the_end() -> None:
    """Each report takes the place of the one before, also where it is shorter; nothing is left when all is done."""
    terminal = Terminal()
    with ProgressLine(terminal) as line:
        line.show(Progress("building pending", 1_234_567, 5_000_000, 10.0))
        text = "building pending: 1,234,567 events, 25%, 123,457 a second, 31 s left"
        assert terminal.seen() == text
        line.show(Progress("b", 5, 5, 1.0))
        assert terminal.seen() == "b: 5 events, 100%, 5 a second, 0 s left"
        line.show(Progress("b", 0, 0, 0.0))
        assert terminal.seen() == "b: 0 events, 100%, 0 a second"
        line.show(Progress("b", 9, 5, 1.0))
        assert "100%" in terminal.seen()
    assert terminal.seen() == ""
    assert "\n" not in terminal.getvalue()


def test_the_moving_line_is_gone_after_a_fault_too() -> None:
    """What is said about the fault begins in an empty line."""
    terminal = Terminal()

    def interrupted() -> None:
        with ProgressLine(terminal) as line:
            line.show(Progress("b", 5, 9, 1.0))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert terminal.seen() == ""


def test_what_is_said_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """On stdout, in the place of the moving line, which is shown again below it."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with ProgressLine(terminal) as line:
        line.show(Progress("b", 5, 9, 1.0))
        line.say("a difference")
        assert (terminal.getvalue().split("\r")[-1], terminal.seen()) == ("a difference\n", "")
        line.show(Progress("b", 6, 9, 1.0))
        assert terminal.seen().startswith("b: 6 events, 67%")


def test_where_nobody_watches_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe or a file: whole lines, no control characters, none for work that is done at once."""
    clock, pipe = Clock(), io.StringIO()
    monkeypatch.setattr("workers.progress_line.time.monotonic", clock)
    with ProgressLine(pipe) as line:
        for done in range(11):
            line.show(Progress("comparing", done, 10, 1.0))
            clock.now += LINE_EVERY_S / 5
    lines = pipe.getvalue().splitlines()
    assert [one.split()[1] for one in lines] == ["5", "10"]
    assert "\r" not in pipe.getvalue()
    assert "\x1b" not in pipe.getvalue()


def test_in_a_narrow_terminal_the_line_stays_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is wrapped can't be taken back: it would fill the screen."""
    monkeypatch.setenv("COLUMNS", "40")
    terminal = Terminal()
    with ProgressLine(terminal) as line:
        line.show(Progress("building pending", 1_234_567, 5_000_000, 10.0))
        assert 0 < len(terminal.seen()) < 40


def test_progress_has_a_rate_and_an_estimate(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never goes back, ends with all that there was to do, and nothing is left then; rebuilding as well."""
    monkeypatch.setattr("projections.progress.REPORT_EVERY_S", 0.0)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service:
            await checkpoints(service, 20)
            for what, total in (("building pending", 20), ("comparing", 40)):
                reports: list[Progress] = []
                if total == 20:
                    await rebuild(service, "pending", report=reports.append)
                else:
                    await verify(service, ["pending"], report=reports.append)
                assert len(reports) > 1
                assert {(report.what, report.total) for report in reports} == {(what, total)}
                assert [one.done for one in reports] == sorted(one.done for one in reports)
                assert [one.seconds for one in reports] == sorted(one.seconds for one in reports)
                assert (reports[-1].done, reports[-1].left_s) == (total, 0.0)
                assert reports[-1].rate == pytest.approx(total / reports[-1].seconds)
                assert all(one.left_s is not None for one in reports if one.done)

    asyncio.run(main())
