"""The commands for views, asked about `rates`: what they print, and with which exit code they end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interrupts import InterruptService
from interrupts.rate_rules import CREATE
from tests.raw import raw
from tests.servers import RedisServer
from tests.test_commands import fold, no_event, prepared, some_work
from tests.test_tour import run


class Asking:
    """Runs the commands against one namespace."""

    def __init__(self, server: RedisServer, namespace: str, folder: Path) -> None:
        self._server, self._namespace, self._folder = server, namespace, folder

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What a command prints, if it ends with this code."""
        ran = run(self._folder, *arguments, "--namespace", self._namespace, url=self._server.url)
        assert ran.returncode == code, (ran.stdout, ran.stderr)
        assert "Traceback" not in ran.stderr
        return ran.stdout + ran.stderr


@pytest.fixture
def ask(shared_server: RedisServer, namespace: str, tmp_path: Path) -> Asking:
    """The commands of this test's namespace."""
    return Asking(shared_server, namespace, tmp_path)


async def damage(service: InterruptService) -> None:
    """What is counted of the user is gone."""
    await raw(service, "HDEL", f"{service.store.keys.rates[0]}u", f"+{CREATE}")


def test_it_is_behind_built_compared_damaged_and_mended(
    shared_server: RedisServer, namespace: str, ask: Asking
) -> None:
    """As an operator of a log without workers goes about it."""
    prepared(shared_server, namespace, some_work)
    behind = ask("lag").splitlines()
    assert [line.split()[:2] for line in behind if line.startswith("rates")] == [["rates", "5"]]
    assert ask("verify", "rates", code=1).startswith("view rates, partition 0, as a whole: ")
    assert ask("rebuild", "rates").startswith("rates: built again from 5 events, and live; ")
    assert [line.split()[-1] for line in ask("lag").splitlines() if line.startswith("rates")] == ["live"]
    equal = ask("verify", "rates")
    assert "all as the log says" in equal
    prepared(shared_server, namespace, damage)
    found = ask("verify", "rates", code=1).splitlines()
    assert [line.partition(": ")[0] for line in found[:-1]] == [
        f"rates, partition 0, u {CREATE} {window}" for window in ("minute", "hour", "day")
    ]
    assert "the log says 4 creations" in found[0]
    assert "stored is 0 creations" in found[0]
    assert found[-1].endswith("3 differences")
    mended = ask("rebuild", "rates", "--from-start")
    assert "1 counts of users were not as the log says, and were put right" in mended
    assert ask("verify", "rates") == equal
    assert "put right" not in ask("rebuild", "rates", "--from-start")


def test_it_stands_still_and_leaves_out_what_it_may(shared_server: RedisServer, namespace: str, ask: Asking) -> None:
    """An event that nobody can read: shown, skipped for this view alone, and then it goes on."""
    prepared(shared_server, namespace, some_work, fold, no_event, fold)
    refused = ask("rebuild", "rates", code=1)
    assert "rebuild: The view 'rates' of partition 0 could not be built" in refused
    (position,) = set(re.findall(r"\b0:\d{13}-\d+\b", ask("lag").partition("\nrates")[2]))
    assert ask("skip", "rates", position).startswith(f"rates: leaves out event {position}, and goes on")
    prepared(shared_server, namespace, fold, some_work, fold)
    assert "all as the log says" not in ask("verify", "pending", code=1)
    states = {line.split()[0]: line.split()[-1] for line in ask("lag").splitlines() if not line.startswith(" ")}
    assert (states["rates"], states["pending"]) == ("live", "stopped")
