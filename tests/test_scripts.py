"""The Lua scripts keep the contracts in their headers: what Python sends, what the script reads, what comes back."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from hashlib import sha1
from importlib.resources import files
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis

from interrupts.connect import _settle_partitions
from interrupts.keys import Keys, meta_key
from interrupts.scripts import Script, script
from interrupts.store.log import Log
from interrupts.store.memory import memory_route
from interrupts.store.server import Confirmation, Server, Written
from tests.servers import RedisServer

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "interrupts" / "scripts"
NAMES = sorted(path.stem for path in FOLDER.glob("*.lua"))

# Around a script: it runs as it is, and what comes back are the places of KEYS and ARGV that it has looked at.
WATCH = """
local touched = {}
local function watched(name, real)
  return setmetatable({}, {__index = function(_, i) touched[#touched + 1] = name .. i; return real[i] end})
end
local KEYS, ARGV = watched('KEYS ', KEYS), watched('ARGV ', ARGV)
local function body()
%s
end
body()
return touched
"""

Values = dict[str, object]
Group = tuple[Values, list[Values]]  # a partition's values, and those of each of its items
Call = tuple[Values, list[Group]]  # the head's values, and the groups


def header(name: str) -> dict[str, dict[str, list[str]]]:
    """What a script's header says: under KEYS, ARGV, RETURN and INCLUDE the names in each scope, `head` unless said."""
    text = (FOLDER / f"{name}.lua").read_text()
    match = re.match(rf"--\[\[\n{name}: (.*?)\n\]\]\n", text, re.DOTALL)
    assert match, f"{name}.lua does not begin with a header of its name"
    sections: dict[str, dict[str, list[str]]] = {"KEYS": {}, "ARGV": {}, "RETURN": {}, "INCLUDE": {}, "": {}}
    section = ""
    for line in match[1].splitlines():
        start, said = line[:8].strip(), line[8:]  # names begin in the ninth column
        section = start if start in sections and start else section if line.startswith(" " * 8) else ""
        scope, colon, names = said.partition(": ")
        sections[section].setdefault(scope if colon else "head", []).extend((names if colon else said).split())
    return sections


def code(name: str) -> str:
    """A script without its comments and texts."""
    text = re.sub(r"--\[\[.*?\]\]", "", (FOLDER / f"{name}.lua").read_text(), flags=re.DOTALL)
    return re.sub(r"'[^'\n]*'", "''", re.sub(r"--.*", "", text))


CALLED = [name for name in NAMES if header(name)["KEYS"]]  # the others are only included


def laid_out(section: dict[str, list[str]], call: Call) -> list[object]:
    """A call's values in the order of a header: the head's, all partitions', all items'."""
    head, groups = call
    scopes = (("head", [head]), ("partition", [values for values, _ in groups]))
    everything = (*scopes, ("item", [item for _, items in groups for item in items]))
    return [values[name] for scope, members in everything for values in members for name in section.get(scope, [])]


class Recorder(Server):
    """Notes each call, and replies what the header says comes back."""

    def __init__(self, *, one_server: bool) -> None:
        route = memory_route()
        route.one_server = one_server
        super().__init__(route, confirmation=Confirmation(("WAIT", 1, 1), 0))
        self.calls: list[tuple[str, list[object], list[object]]] = []

    async def run(
        self, script: Script, slot: int, keys: Sequence[str], args: Sequence[Any], *, derived: bool = False
    ) -> Written:
        """A writing script."""
        return Written(await self.read(script, slot, keys, args), True, False)

    async def read(self, script: Script, slot: int, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """A reading script."""
        self.calls.append((script.name, list(keys), list(args)))
        if script.name == "namespace":
            return args[0]
        said = header(script.name)
        counts = args[len(said["ARGV"]["head"]) :][: args[0]] if "item" in said["RETURN"] else []
        widths = [len(said["RETURN"].get(scope, [])) for scope in ("partition", "item")]
        return [1] * (sum(widths[0] + count * widths[1] for count in counts) or 1)


KEYS = Keys("scripts", 16)
BATCH: dict[int, dict[str, tuple[str, int | None]]] = {  # partition, interrupt, terms, ttl_ms
    3: {"3000" + "a" * 28: ("new", 60_000), "3fff" + "b" * 28: ("1 open r", None)},
    0: {"0000" + "c" * 28: ("new", None)},
    15: {"f000" + "d" * 28: ("2 due x", None), "ffff" + "e" * 28: ("new", 1)},
}


def groups(*, marks: bool) -> list[Group]:
    """The batch, in the words of the headers."""
    made: list[Group] = []
    for number, batch in BATCH.items():
        partition: Values = {"log": KEYS.logs[number], "deadlines": KEYS.deadlines[number], "items": len(batch)}
        items: list[Values] = [
            {"interrupt": KEYS.interrupt(name), "terms": terms, "ttl_ms": ttl_ms or "", "event": b'["event"]'}
            for name, (terms, ttl_ms) in batch.items()
        ]
        made.append((partition | ({"mark": KEYS.marks[number]} if marks else {}), items))
    return made


def calls_of(server: Recorder, head: Values, made: list[Group]) -> list[Call]:
    """On one server one call has all partitions; in a cluster each has a call of its own."""
    together = [made] if server.route.one_server else [[group] for group in made]
    return [(head | {"partitions": len(part)}, part) for part in together]


async def append(server: Recorder) -> list[Call]:
    """Appends the batch."""
    log = Log(KEYS, server)
    items = [(name, *said) for batch in BATCH.values() for name, said in batch.items()]
    await asyncio.gather(*(log.append(name, b'["event"]', terms, ttl_ms) for name, terms, ttl_ms in items))
    return calls_of(server, {"mark": "1"}, groups(marks=True))


async def read(server: Recorder) -> list[Call]:
    """Looks at the batch."""
    log = Log(KEYS, server)
    await asyncio.gather(*(log.read(name) for batch in BATCH.values() for name in batch))
    return calls_of(server, {}, groups(marks=False))


async def due(server: Recorder) -> list[Call]:
    """Asks a partition for what is overdue."""
    await Log(KEYS, server).due(3, 5, 7)
    return [({"skip": 5, "limit": 7}, [({"log": KEYS.logs[3], "deadlines": KEYS.deadlines[3]}, [])])]


async def namespace(server: Recorder) -> list[Call]:
    """Settles a namespace's number of partitions."""
    await _settle_partitions(server, "scripts", 4)
    return [({"meta": meta_key("scripts"), "wanted": b'{"format":1,"partitions":4}'}, [])]


# Each script that is called, with the Python that calls it; a new script needs a line here.
CALLS: dict[str, Callable[[Recorder], Awaitable[list[Call]]]] = {
    function.__name__: function for function in (append, read, due, namespace)
}


@pytest.fixture(params=["redis", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    """An empty store: a real server, and this process's memory."""
    server: RedisServer = request.getfixturevalue("shared_server")
    with server.client() if request.param == "redis" else fakeredis.FakeRedis() as client:
        client.delete(*client.scan_iter("{scripts*"), "none")
        yield client


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
def test_each_script_includes_what_it_says_and_calls_what_it_includes(name: str) -> None:
    """What is included stands in front and is used; what is used of another file is included."""
    included = header(name)["INCLUDE"].get("head", [])
    expected = [(FOLDER / f"{part}.lua").read_text() for part in (*included, name)]
    assert "\n".join(expected) == script(name).text
    others = [part for part in NAMES if part not in CALLED and part != name]
    assert included == [part for part in others if re.search(rf"\b{part}\(", code(name))]
    assert (name in CALLED) or f"local function {name}(" in code(name)


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


def test_every_script_that_is_called_is_tried_here() -> None:
    """The table above has them all."""
    assert set(CALLED) == set(CALLS)


@pytest.mark.parametrize("one_server", [True, False], ids=["one server", "cluster"])
@pytest.mark.parametrize("name", CALLS)
def test_python_sends_what_the_header_says(name: str, one_server: bool) -> None:
    """Exactly the header's keys and arguments, by name and in its order: head, partitions, items."""

    server, said = Recorder(one_server=one_server), header(name)

    async def main() -> None:
        calls = await CALLS[name](server)
        assert [(name, laid_out(said["KEYS"], call), laid_out(said["ARGV"], call)) for call in calls] == server.calls

    asyncio.run(main())


@pytest.mark.parametrize("name", CALLS)
def test_the_script_reads_every_key_and_argument_and_no_other(name: str, client: redis.Redis) -> None:
    """Run with what Python sends, it looks at each, and never beyond; its reply is as long as the header says."""
    server = Recorder(one_server=True)

    async def main() -> None:
        await CALLS[name](server)

    asyncio.run(main())
    ((_, keys, args),) = server.calls
    run: Callable[..., Any] = client.execute_command
    touched = run("EVAL", WATCH % script(name).text, len(keys), *keys, *args)
    expected = [f"{table} {at + 1}" for table, sent in (("KEYS", keys), ("ARGV", args)) for at in range(len(sent))]
    assert set(expected) == {place.decode() for place in touched}
    returned = header(name)["RETURN"]
    if "item" in returned:
        reply = run("EVAL", script(name).text, len(keys), *keys, *args)
        items = sum(map(len, BATCH.values()))
        assert len(BATCH) * len(returned["partition"]) + items * len(returned["item"]) == len(reply)
