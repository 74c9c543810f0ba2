"""A path to a folder's socket that is short enough for the system, whatever the folder is called."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import sys
import tempfile
from pathlib import Path

from interrupts.errors import ValidationError
from interrupts.store.guardian import SOCKET

MAX_SOCKET_BYTES = 103 if sys.platform == "darwin" else 107  # sockaddr_un.sun_path without its final zero
ALIAS = "f"


def find(folder: Path) -> tuple[Path | None, str]:
    """The alias folder to make, if any, and the path to connect to.

    The socket is always in the folder, and the server binds it by its bare name, so only clients can meet the limit of
    a socket path's length. For them a symlink to the folder, in a private folder below the temporary one, makes the
    path short. Nothing has to be agreed on: an alias made by a process with another TMPDIR leads to the same socket,
    and one that a clean-up removed is made again.
    """
    direct = folder / SOCKET
    if _fits(direct):
        return None, str(direct)
    name = f"interrupts-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    alias = Path(tempfile.gettempdir()) / name
    if not _fits(alias / ALIAS / SOCKET):
        alias = Path("/tmp") / name  # noqa: S108 - made and checked to be ours alone
    return alias, str(alias / ALIAS / SOCKET)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_BYTES


def make_alias(alias: Path, folder: Path) -> None:
    """The symlink `<alias>/f` to the folder is there when it returns.

    Refuses, as ValidationError, an alias folder that others own or may write to: they could lead us to their server.
    """
    with contextlib.suppress(FileExistsError):
        alias.mkdir(0o700)
    found = alias.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o777 != 0o700:
        raise ValidationError(
            f"embedded:// needs {alias} as a short way to {folder}, and it is there but not a folder that only this "
            "user can use: somebody else may have made it. Remove it, or give a folder with a shorter path.",
            field="url",
        )
    link = alias / ALIAS
    if not link.is_symlink() or link.readlink() != folder:
        fresh = alias / secrets.token_hex(8)
        fresh.symlink_to(folder)
        fresh.replace(link)
