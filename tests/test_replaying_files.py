"""Files of replays: there as a whole or not at all, and never in the place of another one unasked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from interrupts import ValidationError
from workers.replay_to_file import whole_file


def names_in(folder: Path) -> Sequence[str]:
    """What is in a folder, hidden or not."""
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, ours: bytes, meanwhile: bytes | None = None, fails: BaseException | None = None) -> None:
    """Writes a file, while somebody else does, or until it fails; the second replaces what is there."""
    with whole_file(str(path), force=fails is not None) as file:
        file.write(ours)
        if meanwhile is not None:
            path.write_bytes(meanwhile)
        if fails is not None:
            raise fails


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    """Nothing of what failed is left, and what was there before is as it was."""
    path = tmp_path / "events.jsonl"
    with whole_file(str(path), force=False) as file:
        file.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with pytest.raises(KeyboardInterrupt):
        write(path, b"two", fails=KeyboardInterrupt())
    assert path.read_bytes() == b"one"
    with whole_file(str(path), force=True) as file:
        file.write(b"three")
    assert path.read_bytes() == b"three"
    assert names_in(tmp_path) == ["events.jsonl"]


def test_a_file_takes_no_other_ones_place_unasked(tmp_path: Path) -> None:
    """Nor that of one that was made meanwhile; never that of what is no file."""
    path = tmp_path / "events.jsonl"
    with pytest.raises(ValidationError, match="already"):
        write(path, b"ours", meanwhile=b"theirs")
    with pytest.raises(ValidationError, match="already"), whole_file(str(path), force=False):
        pass
    assert path.read_bytes() == b"theirs"
    for wrong in (str(tmp_path), os.devnull, str(tmp_path / "no" / "such")):
        with pytest.raises(ValidationError), whole_file(wrong, force=True):
            pass
    link = tmp_path / "link"
    link.symlink_to(path)
    with whole_file(str(link), force=True) as file:
        file.write(b"ours")
    assert link.is_symlink()
    assert path.read_bytes() == b"ours"
    assert names_in(tmp_path) == ["events.jsonl", "link"]
