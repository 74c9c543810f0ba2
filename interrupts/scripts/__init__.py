"""The Lua scripts, one a file. Each opens with its contract: keys, arguments, reply."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Final

import msgspec

_INCLUDE: Final = re.compile(r"^INCLUDE (\w+)$", re.MULTILINE)


class Script(msgspec.Struct, frozen=True):
    """A script as it is sent: the whole text, and the digest under which the server caches it."""

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script in `<name>.lua`, with what its header says is included, in front."""
    text = "\n".join(_parts(name, {}).values())
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())


def _parts(name: str, before: dict[str, str]) -> dict[str, str]:
    """The files that make up a script, each once, and after those that it includes."""
    own = files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
    for part in _INCLUDE.findall(own):
        before = _parts(part, before)
    return before if name in before else {**before, name: own}
