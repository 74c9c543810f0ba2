"""`replay`: its targets, its bar, what it says when it is interrupted, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interrupts import Position
from projections import PROJECTIONS
from tests.asking import Ask, asker
from tests.parking import Notes, bus_of, placed, store
from tests.raw import folded, standing, write_entry
from tests.reacting import SHORT_LEASES, hastened, until_settled
from tests.replays import filled
from tests.servers import RedisServer, wait_until
from tests.test_cli_screens import on_a_terminal

TIMEOUT_S = 30.0
ROOT = str(Path(__file__).parent.parent)
HANDLERS = """
import os, pathlib, time

def note(event):
    with open("seen", "a") as file:
        file.write(event.position + "\\n")

async def fail(event):
    if event.session_id == "s1":
        raise ValueError("not \\x1b[31ms1")
    note(event)

def wait(event):
    note(event)
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
"""


@pytest.fixture
def ask(
    shared_server: RedisServer,
    namespace: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Ask:
    """Runs a command on the test's own namespace, in a folder of its own that has handlers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / f"handlers_{namespace}.py").write_text(HANDLERS)
    return asker(shared_server, namespace, capsys, monkeypatch)


def fill(server: RedisServer, namespace: str, *session_ids: str) -> list[str]:
    """Events of these sessions, or of several types everywhere; their positions."""

    async def main() -> list[str]:
        async with store(server, namespace) as service:
            return await placed(service, *session_ids) if session_ids else await filled(service)

    return asyncio.run(main())


def seen(folder: Path) -> list[str]:
    """What handlers have noted."""
    file = folder / "seen"
    return file.read_text().split() if file.exists() else []


def test_a_dry_run_counts_by_type(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """With filters; for people and for programs; alone, or of a target, of which nothing is done."""
    everything = fill(shared_server, namespace)
    shown = ask("replay", "--dry-run")
    assert shown.startswith(f"a replay would hand on: {len(everything)} events, of {len(everything)} events of the log")
    assert ["shop.order.placed", "6"] in [line.split() for line in shown.splitlines()]
    document = json.loads(
        ask("replay", "--dry-run", "--json", "--type", "interrupt.*", "--from", "1h", "--user", "ada")
    )
    assert document["types"] == {"interrupt.created": 6, "interrupt.resolved": 6}
    ask("replay", "--dry-run", "--to-file", "out", "--to-handler", "x:y", code=2)
    ask("replay", "--dry-run", "--to-file", "out")
    assert not Path("out").exists()
    assert "from the whole log: 24 events" in ask("replay", "--dry-run", "--to-view", "pending")


def test_a_file_gets_lines_and_is_not_overwritten(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """By time; `-` is stdout, with nothing else on it."""
    everything = fill(shared_server, namespace)
    assert ask("replay", "--to-file", "out").startswith(f"{len(everything)} events written to 'out'")
    told = [json.loads(line)["position"] for line in Path("out").read_text().splitlines()]
    assert sorted(told) == sorted(everything)
    times = [Position.parse(position).ms for position in told]
    assert times == sorted(times)
    assert "already" in ask("replay", "--to-file", "out", code=1, err=True)
    ask("replay", "--to-file", "out", "--force", "--type", "shop.*", "--json")
    assert len(Path("out").read_text().splitlines()) == 6
    assert sorted(path.name for path in Path().iterdir()) == [f"handlers_{namespace}.py", "out"]
    ran = subprocess.run(
        [sys.executable, "-m", "workers", "replay", "--to-file", "-", "--type", "shop.*"],
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert not set(b"\x1b\x9b") & set(ran.stdout)
    assert [json.loads(line)["content"]["\x1b"] for line in ran.stdout.splitlines()] == ["é"] * 6
    assert b"6 events written to stdout" in ran.stderr


def test_a_handler_is_called_and_its_failures_are_the_exit_code(
    shared_server: RedisServer, namespace: str, ask: Ask, tmp_path: Path
) -> None:
    """Each is told on a line; with --stop-on-error it says from where to go on."""
    there, handlers = fill(shared_server, namespace, "s1", "s2", "s1"), f"handlers_{namespace}"
    said = ask("replay", "--to-handler", f"{handlers}:note")
    assert said == f"3 events handled by {handlers}:note, of 3 events of the log\n"
    assert sorted(seen(tmp_path)) == sorted(there)
    said = ask("replay", "--to-handler", f"{handlers}:fail", code=1, err=True)
    assert "\x1b" not in said
    assert [line.split()[1] for line in said.splitlines()] == [there[0], there[2]]
    document = json.loads(ask("replay", "--to-handler", f"{handlers}:fail", "--json", code=1))
    assert (document["events"], document["failures"], document["finished"]) == (1, 2, True)
    said = ask("replay", "--to-handler", f"{handlers}:fail", "--stop-on-error", "--concurrency", "1", code=1, err=True)
    (places,) = re.findall(r"^--from (.*)$", said, re.MULTILINE)
    assert there[0] in places.split(",")
    assert "can't be used" in ask("replay", "--to-handler", "no:such", code=1, err=True)


def test_interrupted_it_says_from_where_to_go_on_and_does(
    shared_server: RedisServer, namespace: str, ask: Ask, tmp_path: Path
) -> None:
    """Ctrl-C ends it with 130; nothing is left out by whoever goes on as it says."""
    there = fill(shared_server, namespace, *(f"s{number % 7}" for number in range(40)))
    command = ["replay", "--to-handler", f"handlers_{namespace}:wait", "--concurrency", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", *command],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    try:
        wait_until(lambda: len(seen(tmp_path)) == 2, "two are being handled")
        process.send_signal(signal.SIGINT)
        (tmp_path / "go").touch()
        _, said = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in said
    (places,) = re.findall(r"^--from (.*)$", said, re.MULTILINE)
    ask(*command, "--from", places)
    assert set(seen(tmp_path)) == set(there)
    assert len(seen(tmp_path)) <= len(there) + 2


def test_a_group_must_be_run_and_handles_them_again(
    shared_server: RedisServer, namespace: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whichever process runs it; else that is said. One that there is not has an exit code of its own."""
    hastened(monkeypatch, SHORT_LEASES)

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            notes = Notes()
            async with bus_of(notes).running(service):
                there = await placed(service, "s1", "s2")
                await until_settled(service, "resume")
                said = await asyncio.to_thread(ask, "replay", "--to-group", "resume")
                assert said.startswith("2 events handed to resume, of 2 events of the log")
                await until_settled(service, "resume")
                assert sorted(notes.seen) == sorted(there * 2)

    asyncio.run(main())
    assert "No worker runs the group 'resume'" in ask("replay", "--to-group", "resume", code=1, err=True)
    assert json.loads(ask("replay", "--to-group", "resume", "--dry-run", "--json"))["events"] == 2
    ask("replay", "--to-group", "nobody", code=3)


def test_a_view_is_built_again(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """As `rebuild` does it; filters are refused."""

    async def generation(*, fold: bool) -> int:
        async with store(shared_server, namespace) as service:
            if fold:
                await folded(service, PROJECTIONS)
            live = (await standing(service, "pending")).card.live
            assert live is not None
            return live.number

    fill(shared_server, namespace)
    before = asyncio.run(generation(fold=True))
    assert ask("replay", "--to-view", "pending").startswith("pending: built again from ")
    assert asyncio.run(generation(fold=False)) == before + 1
    assert json.loads(ask("replay", "--to-view", "pending", "--json"))["view"] == "pending"
    for wrong in (("--type", "*"), ("--from", "1h"), ("--session", "s")):
        assert "no filter" in ask("replay", "--to-view", "pending", *wrong, code=2, err=True)
    ask("replay", "--to-view", "nothing", code=1)


def test_what_can_not_be_read_makes_the_exit_code_1(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """It is told, and the others are replayed."""

    async def main() -> str:
        async with store(shared_server, namespace) as service:
            await placed(service, "s1")
            return await write_entry(service, 9, "nonsense\x1b")

    wrong, said = asyncio.run(main()), ask("replay", "--to-file", "out", code=1, err=True)
    assert f"left out: {wrong} can't be read" in said
    assert "\x1b" not in said
    assert len(Path("out").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "Give one of --to-group"),
        (("--to-file", "a", "--to-group", "b"), 2, "Give one of --to-group"),
        (("--to-file", "-", "--json"), 2, "leave --json out"),
        (("--dry-run", "--from", "soon"), 1, "--from: 'soon' is no place in the log"),
        (("--dry-run", "--from", "1h,0:1-1"), 1, "--from: give one time, or several positions"),
        (("--dry-run", "--until", "0:1-1", "--until", "0:2-1"), 1, "until: give one position for a partition"),
        (("--dry-run", "--from", "900:1-1"), 1, "start: 900:1-1 is in no partition"),
        (("--dry-run", "--type", "x"), 1, "pattern: 'x' is none"),
        (("--to-file", "no/such/folder"), 1, "to_file: there is no folder"),
        (("--to-handler", "x:y", "--concurrency", "0"), 2, "--concurrency"),
    ],
    ids=str,
)
def test_what_can_not_be_meant_is_refused(arguments: tuple[str, ...], code: int, said: str, ask: Ask) -> None:
    """2 where its usage is wrong, else 1; nothing on stdout."""
    assert said in ask("replay", *arguments, code=code, err=True)


def test_a_terminal_sees_a_bar(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    """With how many of how many, rate and remaining time; at its end the bar is gone and the line stands there."""
    fill(shared_server, namespace)
    shown = on_a_terminal(200, "replay", "--to-file", "out", PYTHONPATH=ROOT)
    assert re.search(r"24 of 24 events, [\d,]+ a second, 0 ms left", shown)
    assert "24 events written to 'out', of 24 events of the log" in shown
