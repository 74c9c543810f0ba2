"""How the command looks: on terminals wide and narrow, in a pipe, and in its help."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import tomllib
from pathlib import Path

import pytest

from tests.servers import RedisServer
from tests.test_cli_answers import NASTY, made
from workers.__main__ import main
from workers.cli.app import app
from workers.cli.codes import Code

ROOT = Path(__file__).parent.parent
COMMANDS = [command.name for command in app.registered_commands if not command.hidden]


def on_a_terminal(columns: int, *command: str, **environment: str) -> str:
    """What a terminal of this width gets."""
    terminal, its_other_end = pty.openpty()
    fcntl.ioctl(its_other_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", *command],
        stdin=its_other_end,
        stdout=its_other_end,
        stderr=its_other_end,
        env={**known, "TERM": "xterm-256color", **environment},
    )
    os.close(its_other_end)
    shown = b""
    try:
        while more := os.read(terminal, 65_536):
            shown += more
    except OSError:
        pass  # the terminal is closed with its last user
    finally:
        os.close(terminal)
    assert process.wait(30) == 0, shown
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=["", "NO_COLOR"])
def test_columns_fit_and_ids_are_whole(
    shared_server: RedisServer, namespace: str, columns: int, environment: dict[str, str]
) -> None:
    """Whatever the width; colour only where it is wanted; and what strangers wrote colours nothing."""
    pause = made(shared_server, namespace, message=NASTY, fold=True)
    here = ("--url", shared_server.url, "--namespace", namespace)
    shown = on_a_terminal(columns, "list", *here, **environment)
    assert pause.id in shown
    assert "[bold]Sure[/bold]?" in shown
    assert "\x1b[31m" not in shown
    assert not set("\x9b\u202e") & set(shown)
    told = [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in shown.splitlines()]
    assert all(len(line) <= columns for line in told if "Sure" not in line)  # the terminal itself wraps a text


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["", "NO_COLOR"])
def test_colour_is_for_terminals_and_can_be_refused(
    shared_server: RedisServer, namespace: str, environment: dict[str, str], coloured: bool
) -> None:
    """An outcome has a colour, unless nobody wants one."""
    pause = made(shared_server, namespace)
    here = ("--url", shared_server.url, "--namespace", namespace)
    assert main(["cancel", pause.id, *here]) == 0
    made(shared_server, namespace, fold=True)
    shown = on_a_terminal(200, "list", "--closed", "chat-1", *here, **environment)
    assert ("\x1b[31mcancelled\x1b[0m" in shown) is coloured
    assert "cancelled" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_an_example_and_tells_its_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And no line is wider than a terminal."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"], "interrupts")
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"interrupts {command}" in shown.partition("Example")[2]
    assert "4 conflict" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    assert main([], "interrupts") == Code.DONE
    assert f"  interrupts {command} " in capsys.readouterr().out


def test_help_imports_nothing_of_what_it_describes() -> None:
    """So it is there at once."""
    code = (
        "import sys\nfrom workers.__main__ import main\nmain([])\n"
        "found = [name for name in sys.modules if name.startswith('workers.cli.')]\n"
        "sys.stderr.write(' '.join(sorted(found)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = {name.removeprefix("workers.cli.") for name in ran.stderr.split()}
    shells = {"app", "asking", "looking_after", "nested", "overview", "reactions", "replays", "running", "webhooks"}
    shells |= {"webhook_deliveries", "webhook_options"}
    assert loaded <= {"codes", "options", *shells}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lits"], "There is no command 'lits'. Is 'list' meant?"),
        (["show"], "Missing argument 'ID'."),
        (["tail", "--limit", "0"], "'--limit'"),
        (["tail", "--from-start", "--since", "1h"], "Give one of --from-start, --after and --since."),
        (["worker", "cook"], "roles: 'cook' is none."),
        (["extend", "x"], "--ttl"),
        (["list", "--colour"], "--colour"),
    ],
)
def test_wrong_usage_is_said_with_code_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stdout, and how it is used on stderr."""
    with pytest.raises(SystemExit) as ended:
        main(arguments, "interrupts")
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err
    assert "interrupts" in shown.err


def test_the_installed_command_is_called_by_its_name() -> None:
    """As pyproject.toml says where it is; `run`, the old name of `worker`, is there as well."""
    name, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["interrupts"].split(":")
    code = f"import sys; from {name} import {function} as entry; sys.argv = ['interrupts', 'run', '-h']; entry()"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.startswith("Usage: interrupts run ")


def test_the_store_can_be_named_by_the_environment(
    shared_server: RedisServer, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an option stands above it."""
    monkeypatch.setenv("INTERRUPTS_REDIS_URL", shared_server.url)
    monkeypatch.setenv("INTERRUPTS_NAMESPACE", namespace)
    assert main(["stats"]) == 0
    assert f"namespace {namespace!r}" in capsys.readouterr().out
    assert main(["stats", "--namespace", f"{namespace}-2"]) == 0
    assert f"namespace '{namespace}-2'" in capsys.readouterr().out


def test_a_server_is_needed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is shown an empty list because there was nowhere to look."""
    monkeypatch.delenv("INTERRUPTS_REDIS_URL", raising=False)
    monkeypatch.setenv("PATH", "")
    assert main(["list"]) == 1
    assert capsys.readouterr().err.startswith("list: url: none was given")
    assert main(["list", "--url", "memory://"]) == 1
    assert capsys.readouterr().err.startswith("list: url: memory:// is one process's memory")
