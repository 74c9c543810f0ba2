"""docs/commands.md is true: its programs run as they stand, and its tables say what the code says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from interrupts import command_form
from interrupts.limits import ID_CHARS_MAX, REFUSALS_KEPT_S, REPLIES_MAX
from tests.producing import deciders
from tests.servers import RedisServer

PAGE = (Path(__file__).parent.parent / "docs" / "commands.md").read_text(encoding="utf-8")
TIMEOUT_S = 60
BODIES: dict[str, type[msgspec.Struct]] = {
    "create": command_form.CreateBody,
    "respond": command_form.RespondBody,
    "cancel": command_form.CancelBody,
    "extend": command_form.ExtendBody,
}


def program(language: str) -> str:
    """The page's program in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```\n", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def ran(command: list[str], folder: Path, **more: str) -> str:
    """What a program prints; it must end well, and complain of nothing."""
    result = subprocess.run(
        command, check=False, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def check(printed: str) -> None:
    """One was answered, the other cancelled."""
    assert re.findall(r"done|refused", printed) == ["done", "done"]
    assert re.findall(r"resolved|cancelled", printed) == ["resolved", "cancelled"]


def test_the_shell_program_runs(own_server: RedisServer, tmp_path: Path) -> None:
    """With sh and redis-cli alone, twice: the second time all is done already, and the outcomes are the same."""
    (tmp_path / "redis-cli").write_text(f'#!/bin/sh\nexec {shutil.which("redis-cli")} -p {own_server.port} "$@"\n')
    (tmp_path / "redis-cli").chmod(0o755)
    (tmp_path / "program.sh").write_text(program("sh"))
    with deciders(own_server.url, "interrupts", "", partitions=16):
        path = f"{tmp_path}:{os.environ['PATH']}"
        for _ in range(2):
            check(ran(["sh", "program.sh"], tmp_path, PATH=path))


def test_the_python_program_runs(own_server: RedisServer, tmp_path: Path) -> None:
    """With redis-py alone."""
    (tmp_path / "program.py").write_text(program("python"))
    with deciders(own_server.url, "interrupts", "", partitions=16):
        check(ran([sys.executable, "-W", "error", "program.py"], tmp_path, REDIS_URL=own_server.url))


def test_the_go_program_runs(own_server: RedisServer, tmp_path: Path) -> None:
    """Where Go is installed, and has the client in its module cache; nothing is fetched from a network."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("GO IS NOT INSTALLED: the Go program of docs/commands.md was neither compiled nor run")
    (tmp_path / "main.go").write_text(program("go"))
    offline = {**os.environ, "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    for command in ([go, "mod", "init", "program"], [go, "mod", "tidy"]):
        made = subprocess.run(
            command, check=False, cwd=tmp_path, env=offline, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        if made.returncode:
            pytest.skip(
                f"GO HAS NO go-redis IN ITS CACHE: the Go program of docs/commands.md was not run: {made.stderr}"
            )
    with deciders(own_server.url, "interrupts", "", partitions=16):
        check(ran([go, "run", "."], tmp_path, REDIS_URL=own_server.url, GOFLAGS="-mod=mod", GOPROXY="off"))


@pytest.mark.parametrize("command", BODIES)
def test_the_fields_are_those_of_the_code(command: str) -> None:
    """All of them, and those in brackets are the ones that may be left out."""
    (row,) = re.findall(rf"^\| `{command}` \| (.*) \|$", PAGE, re.MULTILINE)
    said = {name: bool(bracket) for bracket, name in re.findall(r"(\[?)`(\w+)`", re.sub(r"\(.*?\)", "", row))}
    fields = msgspec.structs.fields(BODIES[command])
    assert said == {field.name: not field.required for field in fields}


def test_the_bounds_are_those_of_the_code() -> None:
    """In the page's words."""
    assert f"1 to {ID_CHARS_MAX} characters" in PAGE
    assert f"about the newest {REPLIES_MAX:,} replies" in " ".join(PAGE.split())
    assert REFUSALS_KEPT_S == 24 * 3600
    assert "for a day" in PAGE
