"""README.md is true: its examples run and print what it shows, and its tables say what the code says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from interrupts import DEFAULT_INTERRUPT_CONFIGS, errors, limits
from interrupts.store.urls import SCHEMES, parse

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = list(
    re.finditer(
        r"^```python\n(?P<code>.*?)^```\n(?:\s*prints\s*^```text\n(?P<printed>.*?)^```\n)?",
        README,
        re.MULTILINE | re.DOTALL,
    )
)
TIMEOUT_S = 60


def section(title: str) -> str:
    """What stands under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no heading {title!r}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of the tables under a heading, without their heads."""
    lines = [line.strip("|").split("|") for line in section(title).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    heads = {index for index, line in enumerate(cells) if set("".join(line)) <= set("- ")}
    return [line for index, line in enumerate(cells) if index not in heads and index + 1 not in heads]


def test_there_are_examples_to_run() -> None:
    """The tests below are about something."""
    assert len(EXAMPLES) == README.count("```python") >= 1


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"at character {example.start()}")
def test_an_example_runs_as_it_stands(example: re.Match[str], tmp_path: Path) -> None:
    """Copied into a file, it runs without a complaint and prints what is shown below it."""
    tmp_path.joinpath("example.py").write_text(example["code"], encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        env={**os.environ, "INTERRUPTS_REDIS_URL": "memory://", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    if example["printed"] is not None:
        assert ran.stdout == example["printed"]


def test_every_file_that_is_named_exists() -> None:
    """Whoever looks for a behaviour finds a file."""
    named = [name for row in rows("Where is …?") for name in re.findall(r"`([^`]+)`", row[1])]
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_limits_are_those_of_the_code() -> None:
    """Each row has the name and the value of a constant."""
    said = {row[0].strip("`"): float(row[1].replace(",", "")) for row in rows("Limits")}
    assert said
    assert said == {name: getattr(limits, name) for name in said}


def test_the_errors_are_those_of_the_code() -> None:
    """Each error has a row with its status, and every conflict code is named."""
    base = errors.InterruptsError
    classes = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, base)]
    there = {error.__name__: error.http_status for error in classes if error is not base}
    table = rows("When something is refused")
    assert {row[0].strip("`"): int(row[1]) for row in table} == there
    (conflict,) = (row for row in table if row[0] == "`ConflictError`")
    assert all(f"`{code}`" in conflict[2] for code in get_args(errors.ConflictCode))


def test_the_kinds_are_those_of_the_code() -> None:
    """Each kind has a row with its time to live and the answers it allows."""
    table = {row[0].strip("`"): row[1:] for row in rows("What can happen to an interrupt")}
    assert list(table) == [kind.value for kind in DEFAULT_INTERRUPT_CONFIGS]
    for kind, config in DEFAULT_INTERRUPT_CONFIGS.items():
        after, answers = table[kind.value]
        assert _ttl(after) == config.default_ttl
        assert re.findall(r"`(\w+)`", answers) == config.allowed_responses
        assert ("nothing" in answers) is not config.require_response


def _ttl(said: str) -> timedelta | None:
    if said == "never":
        return None
    number, unit = said.split()
    return timedelta(**{f"{unit.rstrip('s')}s": int(number)})


def test_every_sort_of_url_is_shown_and_can_be_read() -> None:
    """What the refusal of a url recommends is in the table, and what is in the table is understood."""
    shown = [url for row in rows("Where it keeps things") for url in re.findall(r"`(\S+://[^`]*)`", row[0])]
    assert {url.partition("://")[0] for url in SCHEMES} <= {url.partition("://")[0] for url in shown}
    for url in shown:
        if not url.endswith("…"):
            parse(url)
