"""The Lua scripts as files: they are found, taken by every server, and include what they use. (How they are called:
`test_script_calls`.)"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from hashlib import sha1
from importlib.resources import files

import fakeredis
import pytest
import redis

from interrupts.scripts import script
from tests.headers import CALLED, NAMES, ROOT, SECTIONS, code, header, source
from tests.servers import RedisServer

HEADER_CHARS_MAX = 120


@pytest.fixture(params=["redis", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """A real server, and this process's memory."""
    server: RedisServer = request.getfixturevalue("shared_server")
    with server.client() if request.param == "redis" else fakeredis.FakeRedis() as client:
        yield client


def includes(name: str) -> list[str]:
    """What a script's own header says that it includes."""
    return header(name)["INCLUDE"].get("head", [])


def closure(name: str) -> set[str]:
    """A script and all that it includes, and what those include."""
    return {name}.union(*(closure(part) for part in includes(name)))


def test_scripts_are_resources_of_the_package() -> None:
    """Each is found where the package looks for it, and goes into what is installed."""
    found = {entry.name for entry in files("interrupts.scripts").iterdir() if entry.name.endswith(".lua")}
    assert {f"{name}.lua" for name in NAMES} == found
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "scripts/*.lua" in project["tool"]["setuptools"]["package-data"]["*"]


@pytest.mark.parametrize("name", CALLED)
def test_the_server_takes_each_script_under_our_digest(name: str, client: redis.Redis) -> None:
    """It compiles on a real server and in memory, and is cached there under the name that is sent."""
    loaded = script(name)
    assert loaded.sha == client.script_load(loaded.text) == sha1(loaded.text.encode()).hexdigest()


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_its_file_behind_all_that_it_includes(name: str) -> None:
    """The text is made of whole files: each once, and behind those that it includes; the script's own is last."""
    text = script(name).text
    parts = re.findall(r"^--\[\[\n(\w+): ", text, re.MULTILINE)
    assert "\n".join(source(part) for part in parts) == text
    assert name == parts[-1]
    assert sorted(closure(name)) == sorted(parts)
    assert all(parts.index(inner) < parts.index(part) for part in parts for inner in includes(part))


def declared(name: str) -> set[str]:
    """What a file has for others: the functions and values outside of any function."""
    names = re.findall(r"^local (?:function (\w+)|([\w, ]+))", code(name), re.MULTILINE)
    return {one for function, values in names for one in (function, *values.split(", ")) if one}


def used(name: str) -> set[str]:
    """The names that a script uses, and declares nowhere itself; not those of the fields of something."""
    own = re.findall(
        r"\blocal (?:function )?([\w, ]+)|\bfor ([\w, ]+?) (?:=|in)\b|function \w*\(([\w, ]*)\)", code(name)
    )
    known = {part for groups in own for names in groups for part in re.split(r"[ ,]+", names)}
    return set(re.findall(r"(?<![\w.:])[A-Za-z_]\w*", code(name))) - known


@pytest.mark.parametrize("name", NAMES)
def test_each_script_includes_what_it_uses_and_nothing_else(name: str) -> None:
    """What is used of another file is included, by the script or by what it includes, and what is included is used."""
    others = [part for part in NAMES if part not in CALLED and part != name]
    wanted = {part for part in others if declared(part) & used(name)}
    assert set(includes(name)) <= wanted <= closure(name)
    assert (name in CALLED) or any(declared(name) & used(other) for other in NAMES if name in includes(other))


@pytest.mark.parametrize("name", NAMES)
def test_headers_keep_to_their_grammar(name: str) -> None:
    """A role, then the sections in their order, each name a plain one, and every line short enough to be read."""
    text = source(name).partition("\n]]\n")[0]
    assert [line for line in text.splitlines() if len(line) > HEADER_CHARS_MAX] == []
    begun = [line[:8].strip() for line in text.splitlines() if line[:8].strip() in SECTIONS]
    assert sorted(begun, key=SECTIONS.index) == begun
    assert ("KEYS" in begun) == (name in CALLED) >= ("ARGV" in begun)
    said = header(name)
    assert set(said["INCLUDE"]) <= {"head"}
    plain = re.compile(r"\w+(\.\.\.)?")
    wrong = [
        (section, one)
        for section in SECTIONS
        for names in said[section].values()
        for one in names
        if not plain.fullmatch(one)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_scripts_keep_to_what_every_server_has_and_write_no_globals(name: str) -> None:
    """No struct, bit, cmsgpack or sha1hex, which fakeredis lacks; every name that is assigned to is local."""
    text = code(name)
    assert re.findall(r"\b(struct|bit|cmsgpack|sha1hex|loadstring|setfenv)\b", text) == []
    declared = re.findall(r"\blocal (?!function)([\w, ]+)|\bfor ([\w, ]+?) (?:=|in)\b|function \w*\(([\w, ]*)\)", text)
    known = {part for groups in declared for names in groups for part in re.split(r"[ ,]+", names)}
    assigned = re.findall(r"^\s*((?:[\w.\[\] +*-]+, )*[\w.\[\] +*-]+?) = ", text, re.MULTILINE)
    targets = {part.strip() for names in assigned for part in names.split(",") if not names.startswith("local")}
    assert {target for target in targets if re.fullmatch(r"\w+", target)} - known == set()
    assert re.findall(r"(?<!local )\bfunction \w+", text) == []
