"""The guided tour: it runs by itself, shows what it should, and can be run again."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from interrupts import ConflictError
from workers.page import Page

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 60
MILESTONES = [
    r"1\. An agent pauses",
    r"ok +clarification .* answer: text +within 24 h",
    r"ok +checkpoint .* no deadline",
    r"2\. What is there\?",
    r"(\d+:\d+-\d+ +interrupt\.created +\w+ +\.\.[0-9a-f]{8} ){5}",
    r"3\. Who waits for what\?",
    r"clarification +\.\.[0-9a-f]{8} +Which region goes first\?",
    r"checkpoint +\.\.[0-9a-f]{8} +All hosts are drained",
    r"4\. Somebody answers",
    r"ok +resolved by ada: 'eu, at night', version 2",
    r"5\. Answers that don't count",
    r"no +mallory: AuthorizationError \(403\): .* waits for another user",
    r"no +ada, in words: ValidationError \(400\): response\.text: ",
    r"6\. A retry is free",
    r"ok +ada's click again: resolved by ada, still version 2",
    r"ok +a creation again, with its key: the same interrupt",
    r"no +its key with another body: ConflictError \(409\)",
    r"7\. A deadline is a deadline",
    r"ok +it reads as expired: deadline passed",
    r"no +ada's late answer: ConflictError \(409\): .* expired: its deadline passed at ",
    r"8\. Two answers at once",
    r"(ok +ada won: approved=True no +grace|no +ada): ConflictError \(409\): .* already answered by (ada|grace) at ",
    r"9\. What happened\?",
    r"\+ +0 ms +interrupt\.created +\{'message': 'Release",
    r"\+ +[1-9]\d* ms +interrupt\.resolved by (ada|grace)",
    r"10\. The rest is called off",
    r"checkpoint +cancelled the tour is over",
    r"confirmation +expired +deadline passed",
    r"11\. What next\?",
    r"async with connect\(\) as service:",
]
"""In this order."""


def run(folder: Path, *arguments: str, url: str | None) -> subprocess.CompletedProcess[str]:
    """`python -m workers` in a folder, as a newcomer runs it there."""
    environment = {name: value for name, value in os.environ.items() if name != "INTERRUPTS_REDIS_URL"}
    if url is not None:
        environment["INTERRUPTS_REDIS_URL"] = url
    return subprocess.run(
        [sys.executable, "-m", "workers", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def check_milestones(shown: str) -> None:
    """All are there, one after the other, wherever lines were wrapped."""
    rest = " ".join(shown.split())
    for milestone in MILESTONES:
        found = re.search(milestone, rest)
        assert found, f"{milestone!r} is not in what is left: {rest}"
        rest = rest[found.end() :]


def test_the_tour_shows_everything_in_memory(tmp_path: Path) -> None:
    """Without any server: no input, no colour in a pipe, nothing left in the folder."""
    ran = run(tmp_path, "tour", url="memory://")
    assert ran.returncode == 0, ran.stderr
    check_milestones(ran.stdout)
    assert "\x1b" not in ran.stdout
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_the_tour_can_be_taken_twice_in_the_same_folder(tmp_path: Path) -> None:
    """As a newcomer takes it: with a private server in the folder, which remembers the first visit."""
    for _ in range(2):
        ran = run(tmp_path, "tour", url=None)
        assert ran.returncode == 0, ran.stderr
        check_milestones(ran.stdout)
        assert str(tmp_path / ".interrupts") in ran.stdout


def test_a_url_that_is_none_is_said_in_a_sentence(tmp_path: Path) -> None:
    """No stack trace for a newcomer, and no password."""
    ran = run(tmp_path, "tour", url="gopher://:secret@example")
    assert ran.returncode == 1
    assert ran.stderr.startswith("tour: url: ")
    assert "Traceback" not in ran.stderr
    assert "secret" not in ran.stdout + ran.stderr


def test_without_a_command_it_says_what_there_is(tmp_path: Path) -> None:
    """The overview names each command."""
    ran = run(tmp_path, url="memory://")
    assert ran.returncode == 0
    assert "python -m workers tour" in ran.stdout


def test_an_unknown_command_is_refused_with_what_there_is(tmp_path: Path) -> None:
    """A slip of the finger is told what there is."""
    ran = run(tmp_path, "tuor", url="memory://")
    assert ran.returncode == 2
    assert "There is no command 'tuor'." in ran.stderr
    assert "python -m workers tour" in ran.stderr


class Terminal(io.StringIO):
    """A text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_and_can_be_refused(
    no_colour: str, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NO_COLOR is heard."""
    monkeypatch.setenv("NO_COLOR", no_colour)
    terminal = Terminal()
    Page(terminal).refused("somebody", ConflictError("came late"))
    assert ("\x1b[33mConflictError\x1b[0m" in terminal.getvalue()) is coloured
    assert "came late" in terminal.getvalue()
