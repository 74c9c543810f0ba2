"""`show`, `respond`, `cancel`, `extend` and `list`: what they print, and the exit codes that scripts rely on."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from interrupts import FlowInterrupt, InterruptResponse, connect
from projections import PROJECTIONS
from tests.raw import folded
from tests.servers import RedisServer
from workers.__main__ import main

NASTY = "[bold]Sure[/bold]?\n\x1b[31mred\x1b[0m \x9b1m \u202edrawkcab"
Ask = Callable[..., str]


@pytest.fixture
def ask(
    shared_server: RedisServer, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Runs a command on the test's own namespace; what it has printed on stdout, or with `err` on stderr."""
    monkeypatch.setenv("INTERRUPTS_REDIS_URL", shared_server.url)
    monkeypatch.setenv("INTERRUPTS_NAMESPACE", namespace)

    def run(*arguments: str, code: int = 0, err: bool = False) -> str:
        ended = main(list(arguments))
        said = capsys.readouterr()
        assert ended == code, said
        assert "Traceback" not in said.err
        return said.err if err else said.out

    return run


def made(server: RedisServer, namespace: str, *, fold: bool = False, **options: Any) -> FlowInterrupt:
    """A confirmation of ada's in chat-1; with `fold` a worker has seen it."""

    async def main() -> FlowInterrupt:
        async with connect(server.url, namespace=namespace, partitions=2) as service:
            pause = await service.create_confirmation("req-1", "ada", "chat-1", **({"message": "Sure?"} | options))
            if fold:
                await folded(service, PROJECTIONS)
            return pause

    return asyncio.run(main())


def test_an_answer_says_what_now_stands(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """For people in a line, for programs as the whole interrupt."""
    first, second = made(shared_server, namespace), made(shared_server, namespace)
    line = ask("respond", first.id, "--approve", "--data", '{"a": 1}', "--actor", "grace")
    assert line.startswith(f"{first.id} is resolved by grace at ")
    assert line.endswith(': {"approved":true,"data":{"a":1}}, version 2\n')
    now = FlowInterrupt.from_dict(json.loads(ask("respond", second.id, "--reject", "--user", "ada", "--json")))
    assert (now.id, now.resolved_by, now.response) == (second.id, "ada", InterruptResponse(approved=False))


def test_who_comes_too_late_is_told_who_won(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """Exit code 4, one sentence on stderr, and with --json the interrupt that stands on stdout."""
    pause = made(shared_server, namespace)
    ask("respond", pause.id, "--approve", "--actor", "grace", "--command-id", "click-1")
    ask("respond", pause.id, "--approve", "--actor", "grace", "--command-id", "click-1")
    late = ask("respond", pause.id, "--reject", code=4, err=True)
    assert late.startswith(f"respond: Interrupt {pause.id} was already answered by grace at ")
    assert late.count("\n") == 1
    document = json.loads(ask("cancel", pause.id, "--json", code=4))
    assert (document["code"], document["interrupt"]["resolved_by"]) == ("resolved", "grace")
    assert "already answered by grace" in ask("extend", pause.id, "--ttl", "60", code=4, err=True)


def test_a_version_that_is_not_there_any_more_is_a_conflict(
    shared_server: RedisServer, namespace: str, ask: Ask
) -> None:
    """Nothing is changed."""
    pause = made(shared_server, namespace)
    ask("cancel", pause.id, "--version", "7", code=4)
    assert ask("cancel", pause.id, "--version", "1", "--reason", "no need").startswith(
        f"{pause.id} is cancelled by ada"
    )


def test_a_deadline_is_moved(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """It says until when."""
    pause = made(shared_server, namespace)
    assert ask("extend", pause.id, "--ttl", "7200").startswith(f"{pause.id} is pending until ")
    assert "1 h 59 min left" in ask("show", pause.id)


@pytest.mark.parametrize("command", [("show",), ("respond", "--approve"), ("cancel",), ("extend", "--ttl", "5")])
@pytest.mark.parametrize("interrupt_id", ["nope", "377601a1faf93ee8aa4add00cd0aa33a"])
def test_an_id_that_there_is_not_has_a_code_of_its_own(command: tuple[str, ...], interrupt_id: str, ask: Ask) -> None:
    """Exit code 3, nothing on stdout."""
    assert ask(*command, interrupt_id, "--json", code=3) == ""
    assert ask(*command, interrupt_id, code=3, err=True) == f"{command[0]}: there is no interrupt {interrupt_id!r}.\n"


def test_an_answer_that_does_not_fit_is_refused(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """Exit code 1, and it still waits."""
    pause = made(shared_server, namespace)
    assert "is answered by approved" in ask("respond", pause.id, "--text", "sure", code=1, err=True)
    ask("respond", pause.id, "--approve", "--user", "mallory", code=1)
    assert json.loads(ask("show", pause.id, "--json"))["interrupt"]["status"] == "pending"


@pytest.mark.parametrize("data", ["[]", "{", "1", '"x"'])
def test_data_that_is_no_object_is_wrong_usage(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is asked of a server."""
    with pytest.raises(SystemExit) as ended:
        main(["respond", "x", "--data", data, "--url", "redis://127.0.0.1:1"])
    assert ended.value.code == 2
    assert "--data is no" in capsys.readouterr().err


def test_the_whole_story_is_shown_and_harms_no_terminal(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """Fields, then events with the time between them and by whom; markup and control characters are only text."""
    pause = made(shared_server, namespace, message=NASTY, action_data={"hosts": 15, NASTY: 1})
    ask("respond", pause.id, "--approve", "--actor", "grace")
    shown = ask("show", pause.id)
    assert not set("\x1b\x9b\u202e\r") & set(shown)
    assert "message     [bold]Sure[/bold]?\n            [31mred[0m 1m drawkcab\n" in shown
    for words in ("status      resolved", "closed by   grace", '"approved": true', "\n2 events\n"):
        assert words in shown
    created, resolved = [line for line in shown.splitlines() if ". interrupt." in line]
    assert "+0 ms" in created
    assert resolved.endswith("2. interrupt.resolved  by grace")
    story = json.loads(ask("show", pause.id, "--json"))
    assert story["interrupt"]["message"] == NASTY
    assert [event["type"] for event in story["events"]] == ["interrupt.created", "interrupt.resolved"]


def test_a_list_in_a_pipe_is_a_line_each_and_complete(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """Whole ids and texts, no frames, no colour; with filters, page by page."""
    long = "why " * 100
    first = made(shared_server, namespace, message=NASTY)
    second = made(shared_server, namespace, message=long, fold=True)
    head, one, two = ask("list").splitlines()
    assert head.split() == ["id", "kind", "user", "session", "request", "created", "deadline", "question"]
    assert one.split()[:5] == [first.id, "confirmation", "ada", "chat-1", "req-1"]
    assert one.endswith("[bold]Sure[/bold]? [31mred[0m 1m drawkcab")
    assert "59 min" in two
    assert two.endswith(long.strip())
    assert ask("list", "--user", "bob") == ""
    assert ask("list", "--user", "bob", err=True) == "Nothing is pending.\n"
    page = json.loads(ask("list", "--limit", "1", "--json", "--kind", "confirmation", "--kind", "checkpoint"))
    assert [each["id"] for each in page["interrupts"]] == [first.id]
    rest = json.loads(
        ask("list", "--cursor", page["next_cursor"], "--json", "--kind", "confirmation", "--kind", "checkpoint")
    )
    assert [each["id"] for each in rest["interrupts"]] == [second.id]
    assert "--cursor " in ask("list", "--limit", "1", err=True)
    ask("list", "--kind", "pause", code=1)


def test_what_is_closed_is_listed_by_session(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """With how it ended and by whom."""
    pause = made(shared_server, namespace)
    ask("cancel", pause.id, "--actor", "grace")

    async def fold() -> None:
        async with connect(shared_server.url, namespace=namespace) as service:
            await folded(service, PROJECTIONS)

    asyncio.run(fold())
    (line,) = ask("list", "--closed", "chat-1").splitlines()[1:]
    assert line.split()[:5] == [pause.id, "confirmation", "cancelled", "ada", "req-1"]
    with pytest.raises(SystemExit):
        main(["list", "--closed", "chat-1", "--user", "ada"])


def test_a_list_that_nobody_keeps_is_refused_or_taken_as_it_is(
    shared_server: RedisServer, namespace: str, ask: Ask
) -> None:
    """Never quietly empty."""
    made(shared_server, namespace)
    assert "No projection worker is running" in ask("list", code=1, err=True)
    assert "may be old" in ask("list", "--no-wait", err=True)


def test_stats_work_where_no_worker_ever_ran(shared_server: RedisServer, namespace: str, ask: Ask) -> None:
    """They say so; afterwards they count, for people and for programs."""
    made(shared_server, namespace)
    before = ask("stats")
    assert "2 partitions, 1 event in the log" in before
    assert "no worker has folded the whole log" in before
    assert json.loads(ask("stats", "--json"))["counts"] is None
    made(shared_server, namespace, fold=True)
    after = ask("stats")
    assert "2 pending, of which 0 overdue" in after
    assert [line.split() for line in after.splitlines() if line.startswith("confirmation")] == [
        ["confirmation", "2", "0", "0", "0"]
    ]
    counted = json.loads(ask("stats", "--json"))
    assert counted["counts"]["by"]["confirmation"]["pending"] == 2
    assert {view["state"] for view in counted["views"]} == {"live"}


def test_a_server_that_is_not_there_is_said_in_a_sentence(ask: Ask) -> None:
    """Exit code 1."""
    said = ask("show", "x" * 32, "--url", f"unix://{os.devnull}", code=1, err=True)
    assert said.startswith("show: ")
    assert said.count("\n") == 1
