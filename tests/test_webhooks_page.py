"""docs/webhooks.md is true: its programs run as they stand, and take what is genuine and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from interrupts import FlowInterrupt
from interrupts.signatures import (
    SECRET_BYTES_MAX,
    SECRET_BYTES_MIN,
    SECRET_CHARS_MAX,
    SECRET_CHARS_MIN,
    SECRET_PREFIX,
    TOLERANCE_S,
    new_secret,
    sign,
)
from workers.webhooks.telling import EVENTS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```\n", PAGE, re.MULTILINE | re.DOTALL)
PROGRAMS = [(language, text) for language, text in BLOCKS if language != "json"]
TIMEOUT_S = 60
BODY = '{"type":"interrupt.created","data":{"text":"schön"}}\n\n{}'.encode() + b"\xff"
PLAIN, SECRET, OTHER = "my-hmac-secret", new_secret(), new_secret()
STRANGERS = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw== v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="
FAR_S, NEAR_S = 2 * int(TOLERANCE_S), int(TOLERANCE_S) // 2

Headers = dict[str, str]
LANGUAGES: dict[str, tuple[int, str, str | None]] = {  # its place on the page, the file's name, what runs it
    "python": (0, "program.py", sys.executable),
    "python-alone": (1, "program.py", sys.executable),
    "node": (2, "program.js", shutil.which("node")),
    "java": (3, "Receive.java", shutil.which("java")),
}
GENUINE: dict[str, Callable[[Headers], Headers]] = {
    "as it is": lambda headers: headers,
    "other spelling": lambda headers: {name.title(): value for name, value in headers.items()},
    "strangers": lambda headers: {**headers, "webhook-signature": f"{STRANGERS} {headers['webhook-signature']} v2,x"},
    "a while ago": lambda headers: signed(-NEAR_S),
    "a little early": lambda headers: signed(NEAR_S),
    "rotated": lambda headers: signed(0, OTHER, SECRET),
}
FORGED: dict[str, Callable[[Headers], Headers]] = {
    "old": lambda headers: signed(-FAR_S),
    "early": lambda headers: signed(FAR_S),
    "other secret": lambda headers: signed(0, OTHER),
    "unsigned": lambda headers: signed(0) | {"webhook-signature": ""},
    "other id": lambda headers: {**headers, "webhook-id": "msg_2"},
    "other time": lambda headers: {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)},
    "no number": lambda headers: {**headers, "webhook-timestamp": "nan"},
    "without an id": lambda headers: without("webhook-id", headers),
    "without a time": lambda headers: without("webhook-timestamp", headers),
    "without a signature": lambda headers: without("webhook-signature", headers),
    "other version": lambda headers: {**headers, "webhook-signature": headers["webhook-signature"].replace("v1", "v2")},
    "cut off": lambda headers: {**headers, "webhook-signature": headers["webhook-signature"][:-1]},
}


def signed(off_s: int, *secrets: str) -> Headers:
    """The headers of a request that was sent so many seconds ago, or will be."""
    return sign(BODY, "msg_1", int(time.time()) + off_s, secrets or (SECRET,))


def without(name: str, headers: Mapping[str, str]) -> Headers:
    """All headers but one."""
    return {other: value for other, value in headers.items() if other != name}


def said(language: str, folder: Path, headers: Mapping[str, str], body: bytes, secret: str) -> str:
    """What a program says of this request; it must end well, and complain of nothing."""
    place, name, runs = LANGUAGES[language]
    if runs is None:
        pytest.skip(f"{language.upper()} IS NOT INSTALLED: its program of docs/webhooks.md was not run")
    (folder / name).write_text(PROGRAMS[place][1], encoding="utf-8")
    head = "".join(f"{name}: {value}\n" for name, value in headers.items())
    more = {"WEBHOOK_SECRET": secret, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    result = subprocess.run(
        [runs, name],
        check=False,
        cwd=folder,
        env={**os.environ, **more},
        input=f"{head}\n".encode() + body,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode().strip().partition(":")[0]


def test_there_is_a_program_for_each() -> None:
    """None is forgotten here."""
    assert [language for language, _ in PROGRAMS] == ["python", "python", "js", "java"]


def test_the_body_that_is_shown_is_one() -> None:
    """It is JSON, and its data are an interrupt."""
    (shown,) = (json.loads(text) for language, text in BLOCKS if language == "json")
    assert FlowInterrupt.from_dict(shown["data"]).version == shown["version"]
    assert shown["type"] in EVENTS


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", GENUINE)
def test_what_is_genuine_is_taken(case: str, language: str, tmp_path: Path) -> None:
    """Body and all: it is neither ASCII nor UTF-8, and has an empty line in it."""
    assert said(language, tmp_path, GENUINE[case](signed(0)), BODY, SECRET) == "genuine"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_secret_in_plain_text(language: str, tmp_path: Path) -> None:
    """As in the contract."""
    assert said(language, tmp_path, signed(0, PLAIN), BODY, PLAIN) == "genuine"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", FORGED)
def test_what_is_forged_is_refused(case: str, language: str, tmp_path: Path) -> None:
    """And in no other way than by saying so."""
    assert said(language, tmp_path, FORGED[case](signed(0)), BODY, SECRET) == "refused"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_changed_body_is_refused(language: str, tmp_path: Path) -> None:
    """By its last byte."""
    assert said(language, tmp_path, signed(0), BODY[:-1] + b"\xfe", SECRET) == "refused"


def test_the_headers_are_those_that_are_sent() -> None:
    """All of them, in the table."""
    assert re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE) == list(signed(0))


def test_the_example_is_what_is_signed() -> None:
    """Somebody will compare with it."""
    found = re.search(
        r"secret `(\S+)`, the id `(\S+)`, the timestamp `(\d+)` and the body `(.*?)`, .*? is `(\S+)`", TEXT
    )
    assert found
    secret, message_id, timestamp, body, signature = found.groups()
    assert sign(body.encode(), message_id, int(timestamp), [secret])["webhook-signature"] == signature


def test_the_bounds_are_those_of_the_code() -> None:
    """In the page's words."""
    assert f"at most {TOLERANCE_S:g} seconds away" in TEXT
    assert set(re.findall(r"TOLERANCE_S = (\d+)", PAGE)) == {f"{TOLERANCE_S:g}"}
    assert f"`{SECRET_PREFIX}` and the base64 of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes" in TEXT
    assert f"any other text of {SECRET_CHARS_MIN} to {SECRET_CHARS_MAX} characters" in TEXT
