"""What the headers of the Lua scripts say, in one grammar for all of them:

    --[[
    name: its role in a sentence

    KEYS    scope: name name
    ARGV    scope: name name...
    RETURN  scope: name name
    INCLUDE name
    (and in words what the names mean)
    ]]

What is said begins in the ninth column. A scope is `head`, said or not, which is there once, or another, of which there
are any number of members: all members of a scope stand before those of the next. `name...` is any number of values. In
RETURN the name of an include stands for what that one returns.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "interrupts" / "scripts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.lua"))
SECTIONS = ("KEYS", "ARGV", "RETURN", "INCLUDE")

Section = dict[str, list[str]]  # the names in each scope
Values = dict[str, Any]
Call = dict[str, list[Values]]  # by scope the values of each member


def source(name: str) -> str:
    """A script's own file."""
    return (FOLDER / f"{name}.lua").read_text()


def header(name: str) -> dict[str, Section]:
    """What a script's header says in each section."""
    match = re.match(rf"--\[\[\n{name}: (.*?)\n\]\]\n", source(name), re.DOTALL)
    assert match, f"{name}.lua does not begin with a header of its name"
    sections: dict[str, Section] = {section: {} for section in (*SECTIONS, "")}
    section = ""
    for line in match[1].splitlines():
        start, said = line[:8].strip(), line[8:]
        section = start if start in SECTIONS else section if line.startswith(" " * 8) else ""
        scope, colon, names = said.partition(": ")
        sections[section].setdefault(scope if colon else "head", []).extend((names if colon else said).split())
    return sections


def code(name: str) -> str:
    """A script without its comments and texts."""
    text = re.sub(r"--\[\[.*?\]\]", "", source(name), flags=re.DOTALL)
    return re.sub(r"'[^'\n]*'", "''", re.sub(r"--.*", "", text))


CALLED = [name for name in NAMES if header(name)["KEYS"]]  # the others are only included


def laid_out(section: Section, call: Call) -> list[Any]:
    """A call's values in the order of a header: scope by scope, member by member, name by name."""
    values: list[Any] = []
    for scope, names in section.items():
        for member in call.get(scope, []):
            for name in names:
                plain = name.removesuffix("...")
                values += [member[plain]] if plain == name else member[plain]
    return values


def returned(name: str) -> Section:
    """The names in a script's reply, with those of what it includes in place of the include's."""
    said = header(name)
    includes = said["INCLUDE"].get("head", [])
    return {
        scope: [inner for one in names for inner in (returned(one)["head"] if one in includes else [one])]
        for scope, names in said["RETURN"].items()
    }


def fits(name: str, call: Call, reply: Any) -> bool:
    """Whether the reply to a call is as long as the header says. One that says of nothing has no reply."""
    length = len(reply) if isinstance(reply, list) else 1
    names = [one for scope, said in returned(name).items() for one in said * len(call.get(scope, ()))]
    if not names:
        return reply is None
    least = sum(not one.endswith("...") for one in names)
    return length == least or (length > least and least < len(names))
