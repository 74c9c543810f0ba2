"""The commands for views, as an operator runs them: what they print, and with which exit code they end."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interrupts import InterruptService, connect
from projections import PROJECTIONS
from projections.lag import Lag
from projections.verify import Verified
from tests.folding import YES
from tests.raw import folded, live_key, raw, write_entry
from tests.servers import RedisServer
from tests.test_tour import run
from workers.__main__ import main

VIEWS = ["pending", "closed", "counts", "rates"]
HEADER = ["view", "events", "behind", "seconds", "state"]


def prepared(server: RedisServer, namespace: str, *steps: Callable[[InterruptService], Awaitable[Any]]) -> None:
    """A namespace of one partition in which these things have happened."""

    async def main() -> None:
        async with connect(server.url, namespace=namespace, partitions=1) as service:
            for step in steps:
                await step(service)

    asyncio.run(main())


async def some_work(service: InterruptService) -> None:
    """Five events, and nobody has folded them."""
    made = [await service.create_checkpoint("r", "u", "s") for _ in range(4)]
    await service.respond(made[0].id, YES)


async def fold(service: InterruptService) -> None:
    """A worker was there."""
    await folded(service, PROJECTIONS)


async def damage(service: InterruptService) -> None:
    """A member of a list is gone."""
    key = await live_key(service, "pending", "user:u")
    await raw(service, "ZREMRANGEBYRANK", key, 0, 0)


async def no_event(service: InterruptService) -> None:
    """What no version of this library has written, behind the five events."""
    await write_entry(service, 6, '["interrupt.moved"]')


def test_a_tired_operator_s_way(shared_server: RedisServer, namespace: str, tmp_path: Path) -> None:
    """Behind, built, compared, damaged, built again: each command says what it found and did, and nothing on stderr."""

    def ask(*arguments: str, code: int = 0) -> str:
        ran = run(tmp_path, *arguments, "--namespace", namespace, url=shared_server.url)
        assert (ran.returncode, ran.stderr) == (code, ""), ran.stdout
        return ran.stdout

    prepared(shared_server, namespace, some_work)
    behind = ask("lag").splitlines()
    assert behind[0].split() == HEADER
    assert [line.split()[:2] for line in behind[1::2]] == [[view, "5"] for view in VIEWS]
    assert behind[2].strip() == "partition 0: none: no worker has folded it yet: python -m workers run"
    assert ask("rebuild", "pending") == "pending: built again from 5 events, and live; 0 old keys removed\n"
    assert "counts" in ask("verify", code=1)
    for view in VIEWS[1:]:
        ask("rebuild", view)
    assert [line.split()[-1] for line in ask("lag").splitlines()[1:]] == ["live"] * len(VIEWS)
    equal = "5 events, 8 keys of views, 4 interrupts: all as the log says\n"
    assert ask("verify") == equal
    prepared(shared_server, namespace, damage)
    found = ask("verify", "pending", code=1).splitlines()
    assert found[0].startswith("view pending, partition 0, user:u ")
    assert "the log says 2, stored is nothing" in found[0]
    assert found[1:] == ["5 events, 4 keys of views, 4 interrupts: 1 difference"]
    assert ask("rebuild", "pending", "--from-start").endswith("live; 4 old keys removed\n")
    assert ask("verify", *VIEWS) == equal


def test_a_stop_is_shown_and_skipped(shared_server: RedisServer, namespace: str, tmp_path: Path) -> None:
    """`lag` names the event and why; `rebuild` is refused by it; `skip` takes the position as it was shown."""
    prepared(shared_server, namespace, some_work, fold, no_event, fold)
    here = ["--url", shared_server.url, "--namespace", namespace]
    shown = run(tmp_path, "lag", *here, url=None)
    assert shown.returncode == 0
    stop = shown.stdout.splitlines()[2]
    assert "stopped" in stop
    assert "'interrupt.moved' can't be read" in stop
    position = msgspec.json.decode(run(tmp_path, "lag", "--json", *here, url=None).stdout, type=list[Lag])[0].position
    assert position is not None
    refused = run(tmp_path, "rebuild", "pending", *here, url=None)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[-1].startswith("rebuild: The view 'pending' of partition 0 could not be built")
    assert position in refused.stderr
    assert "Traceback" not in refused.stderr
    wrong = run(tmp_path, "skip", "pending", "0:1-1", *here, url=None)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "skip: position: the view 'pending' does not stand still before 0:1-1" in wrong.stderr
    assert position in wrong.stderr
    skipped = run(tmp_path, "skip", "pending", position, *here, url=None)
    assert (skipped.returncode, skipped.stderr) == (0, "")
    assert skipped.stdout.startswith(f"pending: leaves out event {position}, and goes on")
    assert "interrupt.moved" in skipped.stdout


def test_lag_shows_where_a_view_stands_still(shared_server: RedisServer, namespace: str, tmp_path: Path) -> None:
    """The position that `skip` takes, "as `lag` and the error say it"."""
    prepared(shared_server, namespace, some_work, fold, no_event, fold)
    ran = run(tmp_path, "lag", "--namespace", namespace, url=shared_server.url)
    assert re.search(r"\b0:\d{13}-\d+\b", ran.stdout)


def test_json_has_what_the_python_calls_return(shared_server: RedisServer, namespace: str, tmp_path: Path) -> None:
    """One document on stdout, with every field, that reads back as the struct it was."""
    prepared(shared_server, namespace, some_work, fold, damage)
    ran = run(tmp_path, "lag", "--json", "--namespace", namespace, url=shared_server.url)
    found = msgspec.json.decode(ran.stdout)
    assert [set(one) for one in found] == [{*Lag.__struct_fields__}] * len(VIEWS)
    assert msgspec.convert(found, list[Lag])[0] == Lag("pending", 0, 0, 0.0, "live")
    ran = run(tmp_path, "verify", "--json", "--namespace", namespace, url=shared_server.url)
    assert ran.returncode == 1
    found = msgspec.json.decode(ran.stdout)
    assert set(found) == {*Verified.__struct_fields__}
    verified = msgspec.convert(found, Verified)
    assert (verified.events, verified.interrupts, verified.different) == (5, 4, 1)
    (one,) = verified.differences
    assert (one.what, one.partition, one.key, one.expected, one.found) == ("view pending", 0, "user:u", "2", None)


REFUSED = {
    ("rebuild", "pendign"): "rebuild: view: there is no 'pendign'. There are: pending, closed, counts, rates.",
    ("verify", "pending", "x"): "verify: view: there is no 'x'. There are: pending, closed, counts, rates.",
    ("skip", "x", "0:1-1"): "skip: view: there is no 'x'.",
    ("skip", "pending", "zero"): "skip: position: 'zero' is not of the form",
    ("lag", "--namespace", "a b"): "lag: namespace: 'a b' can't be one.",
    ("run", "--url", "memory://"): "run: url: memory:// is one process's memory",
    ("lag", "--url", "gopher://:secret@example"): "lag: url: ",
    ("run", "--url", "redis://u:secret@h:0x"): "run: url: ",
    ("verify", "--url", "redis://u:secret@h/x"): "verify: url: ",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_what_can_not_be_done_is_said_in_a_sentence(
    arguments: tuple[str, ...],
    shared_server: RedisServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exit code 1, no stack trace, no password, nothing on stdout."""
    monkeypatch.setenv("INTERRUPTS_REDIS_URL", shared_server.url)
    assert main(list(arguments)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(REFUSED[arguments])
    assert said.err.count("\n") == 1
    assert "secret" not in said.err


USAGE = [
    ["rebuild"],
    ["rebuild", "pending", "closed"],
    ["skip", "pending"],
    ["skip"],
    ["lag", "pending"],
    ["run", "now"],
    ["verify", "--jsn"],
    ["rebuild", "pending", "--json"],
    ["tour", "--url", "memory://"],
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_a_wrong_usage_is_told_how_it_is_used(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and the command's own usage."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"usage: python -m workers {arguments[0]}")


@pytest.mark.parametrize("command", ["run", "lag", "rebuild", "verify", "skip"])
def test_help_tells_what_a_command_takes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, with the options that all have."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--url" in shown
    assert "--namespace" in shown
    assert main([]) == 0
    assert f"python -m workers {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", [("rebuild", "pending"), ("verify",)], ids=" ".join)
def test_on_a_terminal_the_moving_line_leaves_nothing_behind(
    shared_server: RedisServer, namespace: str, command: tuple[str, ...]
) -> None:
    """What is left in the last line is empty; the result is alone on stdout."""
    prepared(shared_server, namespace, some_work, fold)
    terminal, its_other_end = pty.openpty()
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "workers", *command, "--url", shared_server.url, "--namespace", namespace],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=its_other_end,
            text=True,
            timeout=60,
            check=False,
        )
        shown = os.read(terminal, 65_536).decode()
    finally:
        os.close(its_other_end)
        os.close(terminal)
    assert ran.returncode == 0
    assert "\r" not in ran.stdout
    assert len(ran.stdout.splitlines()) == 1
    assert "events, 100%, " in shown
    parts = shown.split("\r")
    assert parts[-1] == ""
    assert parts[-2].strip() == ""
    assert "\n" not in shown
