"""`parked`, `groups` and `unresumed`: what they print, what they ask, and the exit codes that scripts rely on."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from interrupts import InterruptResponse
from tests.asking import Ask, asker
from tests.parking import Notes, bus_of, parked_by, placed, store
from tests.reacting import until_settled
from tests.servers import RedisServer
from tests.test_cli_answers import NASTY


@pytest.fixture
def ask(
    shared_server: RedisServer, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Runs a command on the test's own namespace."""
    return asker(shared_server, namespace, capsys, monkeypatch)


class Terminal(io.StringIO):
    """Somebody who can be asked."""

    def isatty(self) -> bool:
        """They are there."""
        return True


def park(server: RedisServer, namespace: str, *session_ids: str, group: str = "resume") -> list[str]:
    """Has a group park an event of each of these sessions."""

    async def main() -> list[str]:
        async with store(server, namespace) as service:
            return await parked_by(service, Notes(), *session_ids, group=group)

    return asyncio.run(main())


def positions(ask: Ask, *arguments: str) -> list[str]:
    """Where what is parked is."""
    return [one["position"] for one in json.loads(ask("parked", *arguments, "--json"))["parked"]]


def test_what_is_parked_is_a_line_each_and_harms_no_terminal(
    shared_server: RedisServer, namespace: str, ask: Ask
) -> None:
    """With all there is to say; control characters of strangers are only text."""
    assert ask("parked") == ""
    assert ask("parked", err=True) == "Nothing is parked.\n"
    (position,) = park(shared_server, namespace, "s1")
    shown = ask("parked")
    assert not set("\x1b\x9b") & set(shown)
    head, line = shown.splitlines()
    assert head.split() == ["group", "position", "event", "session", "parked", "attempts", "error", "content"]
    assert line.split()[:4] == ["resume", position, "shop.order.placed", "s1"]
    assert "ValueError('not s1" in line
    assert ask("parked", "list") == ask("parked", "resume") == ask("parked", "list", "resume") == shown
    assert ask("parked", "--session", "s2") == ""
    assert ask("parked", "other", code=3, err=True).startswith("parked: there is no group 'other'. There are: resume.")


def test_it_is_listed_page_by_page(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """The remark on stderr says how to go on; with --json the document does."""
    there = park(shared_server, namespace, "s1", "s2", "s3")
    said = ask("parked", "--limit", "2", err=True)
    assert "--cursor resume/" in said
    page = json.loads(ask("parked", "--limit", "2", "--json"))
    rest = positions(ask, "--cursor", page["next_cursor"])
    assert sorted([*(one["position"] for one in page["parked"]), *rest]) == sorted(there)
    assert page["parked"][0]["event"]["type"] == "shop.order.placed"


def test_what_is_parked_is_replayed_and_dropped(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """By position, session, or all; exit code 1 if something that was named was not parked."""
    there = park(shared_server, namespace, "s1", "s2", "s3", "s4", "s4")
    assert ask("parked", "replay", "resume", there[0]) == "1 event will be handled again\n"
    assert there[0] in ask("parked", "drop", "resume", *there[:2], "--yes", code=1, err=True)
    assert positions(ask) == positions(ask, "resume")
    assert sorted(positions(ask)) == sorted(there[2:])
    assert ask("parked", "drop", "resume", "--session", "s4", "--yes") == "2 events dropped\n"
    moved = json.loads(ask("parked", "replay", "resume", "--all", "--json"))
    assert moved == {"done": 1, "not_parked": [], "no_room": 0}
    for wrong in ((), ("--all", "--session", "s1"), (there[0], "--all")):
        assert "Say which" in ask("parked", "replay", "resume", *wrong, code=2, err=True)


def test_nothing_is_dropped_without_being_asked(
    shared_server: RedisServer, namespace: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody can be asked, --yes is needed; no is no, and Ctrl-D is an interruption."""
    there = park(shared_server, namespace, "s1", "s2")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert "say --yes" in ask("parked", "drop", "resume", "--all", code=2, err=True)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    said = ask("parked", "drop", "resume", "--all", code=1, err=True)
    assert "Drop 2 events of resume for good?" in said
    assert "Nothing was changed." in said
    monkeypatch.setattr("sys.stdin", Terminal(""))
    ask("parked", "drop", "resume", "--all", code=130)
    assert sorted(positions(ask)) == sorted(there)
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "Drop 1 event of resume" in ask("parked", "drop", "resume", "--session", "s1", err=True)
    assert positions(ask) == there[1:]
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    ask("parked", "drop", "other", "--all", code=3)


def test_groups_are_listed_told_by_partition_and_forgotten(
    shared_server: RedisServer, namespace: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How far they are, what is held and parked, and who runs them; `stats` has the same table."""
    assert "There is no group" in ask("groups", err=True)
    park(shared_server, namespace, "s1")
    park(shared_server, namespace, "s2", group="other")
    head, other, resume = ask("groups").splitlines()
    assert head.split()[:3] == ["group", "events", "behind"]
    assert resume.split() == ["resume", "1", resume.split()[2], "0", "1", "nobody", "no", "shop.order.placed"]
    assert other.split()[0] == "other"
    assert len(ask("groups", "resume").splitlines()) == 6
    (document,) = json.loads(ask("groups", "resume", "--json"))
    assert (document["parked"], [one["behind"] for one in document["partitions"]]) in [(1, [1, 0]), (1, [0, 1])]
    assert [one["group"] for one in json.loads(ask("stats", "--json"))["groups"]] == ["other", "resume"]
    assert resume.split()[0] in ask("stats")
    ask("groups", "nobody", code=3)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ask("groups", "forget", "resume", code=2)
    assert ask("groups", "forget", "resume", "--yes").startswith("resume is forgotten")
    assert [one["group"] for one in json.loads(ask("groups", "--json"))] == ["other"]
    ask("groups", "forget", "resume", "--yes", code=3)


def test_what_nobody_has_resumed_is_listed(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """Answered, but not gone on with: since when, by which group, and why."""
    assert ask("unresumed", err=True) == "Nothing has ended that was not gone on with.\n"

    async def main() -> list[str]:
        async with store(shared_server, namespace) as service:
            notes = Notes()
            notes.fails = {"s1"}
            found = []
            async with bus_of(notes, "resume", "interrupt.resolved", resumes=True).running(service):
                for session in ("s1", "s2"):
                    pause = await service.create_clarification("req-1", "ada", session, NASTY)
                    await service.respond(pause.id, InterruptResponse(text=NASTY))
                    found.append(pause.id)
                await until_settled(service, "resume", parked_count=1)
            pause = await service.create_clarification("req-1", "ada", "s3", NASTY)
            await service.respond(pause.id, InterruptResponse(text=NASTY))
            await placed(service, "s4")
            return [found[0], pause.id]

    failed, later = asyncio.run(main())
    shown = ask("unresumed")
    assert not set("\x1b\x9b") & set(shown)
    lines = {line.split()[0]: line for line in shown.splitlines()[1:]}
    assert lines.keys() == {failed, later}
    assert "parked" in lines[failed]
    assert "ValueError('not s1" in lines[failed]
    assert "resume  waiting" in lines[later]
    document = json.loads(ask("unresumed", "--json", "--group", "resume"))
    assert {one["interrupt_id"]: one["why"] for one in document["unresumed"]} == {failed: "parked", later: "waiting"}
    page = json.loads(ask("unresumed", "--json", "--limit", "1"))
    rest = json.loads(ask("unresumed", "--json", "--limit", "1", "--cursor", page["next_cursor"]))
    assert {one["interrupt_id"] for one in page["unresumed"] + rest["unresumed"]} == {failed, later}
    ask("unresumed", "--group", "nobody", code=3)


@pytest.mark.parametrize("command", [("parked",), ("parked", "drop"), ("groups",), ("groups", "forget")])
def test_nested_commands_tell_their_exit_codes(command: tuple[str, ...], ask: Ask) -> None:
    """And an example; no line is wider than a terminal."""
    shown = ask(*command, "--help")
    assert f"interrupts {command[0]}" in shown.partition("Example")[2]
    assert "4 conflict" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
