"""A file that is there as a whole or not at all, and never takes the place of another one unasked."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from interrupts import ValidationError


def check_path(given: str, *, force: bool) -> Path:
    """Where the file goes. Raises `ValidationError` if it can't be there, or would take another one's place."""
    path = Path(os.path.realpath(given))
    if not path.parent.is_dir():
        raise ValidationError(f"to_file: there is no folder {str(path.parent)!r}. Make it first.", field="to_file")
    if path.exists() and not path.is_file():
        raise ValidationError(f"to_file: {given!r} is no file. Give the name of one, or - for stdout.", field="to_file")
    if path.exists() and not force:
        raise _there(given)
    return path


@contextlib.contextmanager
def whole_file(given: str, *, force: bool) -> Iterator[BinaryIO]:
    """A file to write to. At the end of the block, all that was written is under its name at once, and on disk.

    If the block fails, or the process dies, there is nothing new under that name. Raises `ValidationError`.
    """
    path = check_path(given, force=force)
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
    try:
        file = part.open("xb")
    except OSError as error:
        raise _refused(given, error) from error
    try:
        with file:
            yield file
            try:
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                raise _refused(given, error) from error
        _give_name(part, path, given, force=force)
    finally:
        part.unlink(missing_ok=True)


def _give_name(part: Path, path: Path, given: str, *, force: bool) -> None:
    try:
        if force:
            part.replace(path)
            return
        try:
            path.hardlink_to(part)  # refuses where somebody else has made one meanwhile, which a renaming does not
        except FileExistsError:
            raise _there(given) from None
        except OSError:  # a file system without such links
            if path.exists():
                raise _there(given) from None
            part.replace(path)
    except OSError as error:
        raise _refused(given, error) from error


def _there(given: str) -> ValidationError:
    return ValidationError(
        f"to_file: there is a file {given!r} already. Give another name, or --force to replace it.", field="to_file"
    )


def _refused(given: str, error: OSError) -> ValidationError:
    return ValidationError(
        f"to_file: {given!r} can't be written: {error.strerror or error}. Nothing was left there.", field="to_file"
    )
