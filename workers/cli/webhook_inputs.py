"""What is given to the commands for webhooks that may be secret, and spans of time.

A secret is read from a file or from standard input, or made, and is printed only if it was made. It is printed also if
the server did not say that it was taken: it may sign already, and nothing else knows it.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from interrupts import UnavailableError, ValidationError
from workers.cli.screen import note, say, write_json

STDIN: Final = "-"
FILE_CHARS_MAX: Final = 100_000
_SPAN: Final = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def seconds_of(option: str, text: str) -> float:
    """A span of time, such as 15m, in seconds. Raises `ValidationError`."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValidationError(f"{option}: {text[:64]!r} is no span of time. Give one such as 90s, 15m, 24h or 7d.")
    return int(match[1]) * _UNITS[match[2]]


def read_secret(path: str | None) -> str | None:
    """The one line of a file, or of standard input; what is typed there is not shown."""
    if path is None:
        return None
    if path == STDIN and sys.stdin.isatty():
        return getpass.getpass("Secret: ")
    lines = _read("--secret-file", path).splitlines()
    if len(lines) != 1:
        raise ValidationError(f"--secret-file: a secret is one line, and there are {len(lines):,}.")
    return lines[0]


def read_headers(given: Sequence[str], path: str | None) -> dict[str, str]:
    """Headers as they were given. What can't be read as one is not shown: it may be secret."""
    lines = [("--header", line) for line in given]
    if path is not None:
        lines += [("--header-file", line) for line in _read("--header-file", path).splitlines() if line.strip()]
    headers: dict[str, str] = {}
    for option, line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValidationError(f"{option}: a header has a name, a colon and a value, such as 'X-Team: payments'.")
        if name.strip().lower() in map(str.lower, headers):
            raise ValidationError(f"{option}: {name.strip()[:64]!r} is there twice.")
        headers[name.strip()] = value.strip()
    return headers


@contextlib.contextmanager
def printed(made: str | None, *, as_json: bool) -> Iterator[None]:
    """Prints a secret that was made if the server did not say whether it has it."""
    try:
        yield
    except UnavailableError as error:
        if made is not None and error.may_have_happened:
            if as_json:
                write_json({"webhook": None, "new_secret": made})
            else:
                say(made)
            note("It is not known whether this secret was taken. Try again with the same one, by --secret-file.")
        raise


def tell_secret(made: str) -> None:
    """The only place where it is shown."""
    say(made)
    note("This is the new secret. It is shown only here: give it to whoever receives.")


def _read(option: str, path: str) -> str:
    try:
        if path == STDIN:
            text = sys.stdin.read(FILE_CHARS_MAX + 1)
        else:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(FILE_CHARS_MAX + 1)
    except OSError as error:
        raise ValidationError(f"{option}: {path!r} can't be read: {error.strerror}.") from None
    except ValueError:  # what is in it may be secret, so nothing is said of it
        raise ValidationError(f"{option}: {path!r} is no text in UTF-8.") from None
    if len(text) > FILE_CHARS_MAX:
        raise ValidationError(f"{option}: {path!r} has more than {FILE_CHARS_MAX:,} characters. Is it the right one?")
    return text
