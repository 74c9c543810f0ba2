"""Folders and users for the tests of the private server."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from interrupts.store import guardian
from tests.embedded.users import (
    User,
    nothing_left,
    until,
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is not there yet. After the test nothing may run in it."""
    yield tmp_path / "store"
    until(lambda: nothing_left(tmp_path / "store"))


@pytest.fixture
def join(folder: Path) -> Iterator[Callable[..., User]]:
    """Starts other users of the folder, and ends those that are left."""
    users: list[User] = []

    def start(env: dict[str, str] | None = None) -> User:
        users.append(User(folder, env))
        return users[-1]

    yield start
    for user in users:
        user.kill()


@pytest.fixture(params=["tied", "untied"])
def tied(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether a guardian that this process starts takes its server along when it dies, as it can under Linux only."""
    if request.param == "untied":
        known, unknown = "PR_SET_PDEATHSIG = 1", "PR_SET_PDEATHSIG = 0"
        text = Path(guardian.__file__).read_text()
        assert known in text
        copy = tmp_path / "guardian.py"
        copy.write_text(text.replace(known, unknown))
        monkeypatch.setattr(guardian, "__file__", str(copy))
    elif sys.platform != "linux":
        pytest.skip("only Linux ties a process to the life of another")
    return bool(request.param == "tied")


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    """A folder with a short path, as another TMPDIR."""
    path = Path(tempfile.mkdtemp(prefix="i-", dir="/tmp"))
    yield path
    shutil.rmtree(path)
