"""compose.yaml: what it says is right by its specification, and true of the programs that it starts.

No engine is needed: the file is held against the schema of compose files, and what it promises against the code.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.servers import RedisServer
from workers.serve import WATCHDOG_S
from workers.settings import VARIABLES, settings_from_environment

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 60


def compose() -> dict[str, Any]:
    """The file."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(ROOT / "compose.yaml")
    return found


def service(name: str) -> dict[str, Any]:
    """One of its services."""
    found: dict[str, Any] = compose()["services"][name]
    return found


def dockerfile() -> list[list[str]]:
    """The instructions of the workers' image, in words, stage by stage in one list."""
    lines = service("workers")["build"]["dockerfile_inline"].splitlines()
    return [line.split(maxsplit=1) for line in lines if line.strip()]


def held(file: Path) -> subprocess.CompletedProcess[str]:
    """What the schema of compose files says of this one."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_it_is_as_the_specification_says() -> None:
    """Each name and each value is one that there is."""
    result = held(ROOT / "compose.yaml")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("stop_grace_period", "stop_grace_perod"), ("init: true", "init: [1]"), ("context: .", "contex: .")],
)
def test_the_schema_finds_mistakes(right: str, wrong: str, tmp_path: Path) -> None:
    """The test above would not pass whatever stands there."""
    text = (ROOT / "compose.yaml").read_text()
    assert right in text
    (tmp_path / "compose.yaml").write_text(text.replace(right, wrong))
    assert held(tmp_path / "compose.yaml").returncode == 1


def test_redis_keeps_everything_and_drops_nothing(tmp_path: Path) -> None:
    """The very command, given to a real server: an append-only file, no eviction. Its data is in a volume."""
    program, *options = service("redis")["command"]
    assert program == "redis-server"
    server = RedisServer(tmp_path / "redis", *options).start()
    try:
        for name, value in (("appendonly", b"yes"), ("maxmemory-policy", b"noeviction"), ("appendfsync", b"everysec")):
            assert server.command("CONFIG", "GET", name) in ({name.encode(): value}, [name.encode(), value])
    finally:
        server.stop()
    (volume,) = service("redis")["volumes"]
    name, _, folder = volume.partition(":")
    assert name in compose()["volumes"]
    assert folder == "/data"
    assert service("redis")["healthcheck"]["test"][1:] == ["redis-cli", "ping"]


def test_redis_is_open_to_this_machine_only() -> None:
    """It has no password."""
    assert all(port.startswith("127.0.0.1:") for port in service("redis")["ports"])


def test_the_workers_settings_are_settings() -> None:
    """Each is known and can be meant, and the url names the service that it waits for."""
    environment = service("workers")["environment"]
    assert set(environment) <= set(VARIABLES)
    assert all(isinstance(value, str) for value in environment.values())
    settings = settings_from_environment(environment)
    assert settings.url is not None
    host = settings.url.removeprefix("redis://").partition(":")[0]
    assert service("workers")["depends_on"] == {host: {"condition": "service_healthy"}}


def test_the_workers_have_time_to_end() -> None:
    """The engine waits longer than they take at the most."""
    settings = settings_from_environment(service("workers")["environment"])
    grace = re.fullmatch(r"(\d+)s", service("workers")["stop_grace_period"])
    assert grace is not None
    assert int(grace[1]) > settings.end_timeout_s + WATCHDOG_S


def test_the_workers_command_exists() -> None:
    """The same in the image and beside it, and one that this Python has."""
    command = service("workers")["command"]
    assert dockerfile()[-1] == ["CMD", str(command).replace("'", '"')]
    program, *arguments = command
    assert program == "python"
    asked = [sys.executable, *arguments, "--help"]
    result = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert result.returncode == 0, result.stderr


def test_the_workers_have_no_rights() -> None:
    """Nobody in particular, without capabilities, on a file system that can't be written to."""
    workers = service("workers")
    assert workers["read_only"] is True
    assert workers["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in workers["security_opt"]
    assert "ports" not in workers
    users = [rest for instruction, rest in dockerfile() if instruction == "USER"]
    assert users[-1].isdecimal()
    assert int(users[-1]) > 0


def test_the_image_has_what_it_needs_and_no_compilers() -> None:
    """It begins anew from a slim image, into which only what was installed is copied, in tested versions."""
    words = dockerfile()
    last = max(index for index, (instruction, _) in enumerate(words) if instruction == "FROM")
    assert re.fullmatch(r"python:3\.1[123]-slim", words[last][1])
    assert [rest for instruction, rest in words[last:] if instruction == "COPY"] == [
        "--from=build /opt/interrupts /opt/interrupts"
    ]
    text = service("workers")["build"]["dockerfile_inline"]
    assert "$" not in text  # compose would put a variable of its own there
    assert not re.search(r"apt-get|gcc|build-essential", text)
    installed = [step for step in re.split(r"&&|\n", text) if "pip install" in step]
    assert installed
    assert all("-c constraints.txt" in step for step in installed)
    assert all(shlex.split(step) for step in installed)


def test_what_the_image_is_made_of_is_let_in() -> None:
    """Each package and each file that the installation reads, and nothing else of this folder."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks", "tools"}
    assert let_in == packages | {"pyproject.toml", "constraints.txt", "README.md"}
    assert all((ROOT / name).exists() for name in let_in)
    assert not any(fnmatch(name, line) for name in let_in for line in lines[1:] if not line.startswith("!"))
