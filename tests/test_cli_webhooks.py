"""`webhooks`: what it prints and asks of endpoints, that no secret is told twice, and the exit codes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from interrupts import UnavailableError
from tests.asking import Ask, asker
from tests.hooking import LOOPBACK, ONCE, World, added, genuine
from tests.servers import RedisServer, wait_until
from tests.test_cli_parked import Terminal
from workers.webhooks import Webhooks


@pytest.fixture
def ask(
    shared_server: RedisServer, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Ask:
    """Runs a command on the test's own namespace."""
    monkeypatch.setenv("INTERRUPTS_WEBHOOK_NETWORKS", LOOPBACK)
    return asker(shared_server, namespace, capsys, monkeypatch)


@pytest.fixture
def world(shared_server: RedisServer, namespace: str, ask: Ask) -> Iterator[World]:
    """The test's own, in which nothing is sent yet. (`ask` makes the namespace.)"""
    world = World(shared_server, namespace)
    yield world
    world.close()


@pytest.fixture
def sending(world: World) -> World:
    """The same, and the role runs."""
    world.send()
    return world


def test_a_new_secret_is_told_once_and_signs(ask: Ask, sending: World) -> None:
    """On stdout, so that it can be piped on; nothing else ever tells it, or where a query leads."""
    url = sending.receiver.url("/ok?token=hidden")
    first, secret = ask("webhooks", "add", url, "--event", "interrupt.*", "--new-secret").splitlines()
    webhook = first.split()[0]
    assert secret.startswith("whsec_")
    assert ask("webhooks", "test", webhook).splitlines()[-1].split() == ["answer", "ok"]
    (request,) = sending.got(1, "/ok?token=hidden")
    assert genuine(request, secret)
    listed = ask("webhooks")
    assert listed == ask("webhooks", "list")
    assert listed.splitlines()[1].split()[:4] == [webhook, "on", "0", "0"]
    assert listed.splitlines()[1].split()[-3:] == ["all", "interrupt.*", f"{sending.receiver.url('/ok')}?…"]
    told = [ask("webhooks", *asked) for asked in (["--json"], ["show", webhook], ["show", webhook, "--json"])]
    assert "hidden" not in listed
    assert not any(secret in one for one in (listed, *told))
    assert "secret      one" in told[1]


def test_a_secret_comes_from_a_file_or_from_stdin(
    ask: Ask, sending: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With or without a line end; so do headers that nobody is to see. Both sign until a rotation is over."""
    (tmp_path / "secret").write_text("my first secret\n")
    (tmp_path / "headers").write_text("Authorization: Bearer x:y\n\nX-Team: a\n")
    files = ("--secret-file", str(tmp_path / "secret"), "--header-file", str(tmp_path / "headers"))
    webhook = added(ask, sending, "/ok", *ONCE, *files, "--header", "X-One: 1")
    monkeypatch.setattr("sys.stdin", io.StringIO("my second secret"))
    rotate = ("webhooks", "rotate", webhook)
    assert "with the one before as well" in ask(*rotate, "--secret-file", "-", "--overlap", "2h")
    assert "say --yes" in ask(*rotate, "--new-secret", code=4, err=True)
    ask("webhooks", "test", webhook)
    (request,) = sending.got(1, "/ok")
    assert [genuine(request, secret) for secret in ("my first secret", "my second secret")] == [True, True]
    assert [request.headers[name] for name in ("authorization", "x-team", "x-one")] == ["Bearer x:y", "a", "1"]
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda _: "")
    assert "secret: has 0 characters" in ask(*rotate, "--secret-file", "-", "--yes", code=1, err=True)
    third = json.loads(ask(*rotate, "--new-secret", "--yes", "--overlap", "0s", "--json"))["new_secret"]
    ask("webhooks", "test", webhook)
    assert [genuine(sending.got(2, "/ok")[1], secret) for secret in ("my second secret", third)] == [False, True]


def test_what_is_there_already_is_replaced_only_if_that_is_said(ask: Ask, world: World) -> None:
    """Then it has the new configuration, and the secret that it had. One that never had any is told so."""
    webhook = added(ask, world, "/ok", *ONCE, "--new-secret")
    again = ("webhooks", "add", world.receiver.url("/ok"), *ONCE)
    assert webhook in ask(*again, code=4, err=True)
    assert added(ask, world, "/ok", *ONCE, "--scope", "session:s1") != webhook
    assert json.loads(ask("webhooks", "show", webhook, "--json"))["has_secret"]
    ask(*again, "--replace", "--timeout", "5", "--off-after", "never")
    other = ("webhooks", "add", world.receiver.url("/ok"), *ONCE, "--scope", "user:ada")
    assert "It has no secret" in ask(*other, err=True)
    shown = json.loads(ask("webhooks", "show", webhook, "--json"))
    assert (shown["has_secret"], shown["timeout_seconds"], shown["off_after_seconds"]) == (True, 5, None)
    assert [one["scope"] for one in json.loads(ask("webhooks", "--scope", "session:s1", "--json"))] == ["session:s1"]


def test_a_secret_that_may_have_been_taken_is_printed_all_the_same(
    ask: Ask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else has it; what was surely not taken is not printed."""
    webhook = added(ask, world, "/ok")
    for may in (True, False):

        async def fails(*_: object, may: bool = may, **__: object) -> None:
            raise UnavailableError("It did not answer.", may_have_happened=may)

        monkeypatch.setattr(Webhooks, "rotate_secret", fails)
        assert ask("webhooks", "rotate", webhook, "--new-secret", code=1).startswith("whsec_") is may


def test_off_and_on(ask: Ask, sending: World) -> None:
    """What happens while it is off waits. Why it is off is said, and is only text."""
    webhook = added(ask, sending, "/ok")
    assert "its events wait" in ask("webhooks", "off", webhook, "--why", "it \x1b[31mmoves\x9b")
    assert "was off already: it [31mmoves" in ask("webhooks", "off", webhook)
    sending.publish(2)
    wait_until(lambda: json.loads(ask("webhooks", "--json"))[0]["stats"]["waiting"] == 2, "both wait")
    head, line = ask("webhooks").splitlines()
    assert head.endswith("why off")
    assert line.split()[:4] == [webhook, "off", "2", "0"]
    assert "it [31mmoves, since 20" in line
    assert "switched off" in ask("webhooks", "test", webhook, code=1, err=True)
    assert "is on; 2 deliveries wait" in ask("webhooks", "on", webhook)
    assert ask("webhooks", "on", webhook) == f"{webhook} was on already\n"
    sending.got(2, "/ok")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("add", "http://10.0.0.1/x", "--event", "*"), 1, "url: 10.0.0.1 is an address of a private network."),
        (("add", "http://127.0.0.1:99/x", "--event", "*"), 1, "url: the port 99 is not"),
        (("add", "http://127.0.0.1/x"), 2, "Missing option '--event'"),
        (("add", "http://127.0.0.1/x", "--event", "a b"), 1, "events: 'a b' is none."),
        (("add", "http://127.0.0.1/x", "--event", "*", "--secret-file", "/none"), 1, "--secret-file: '/none' can't"),
        (("add", "http://127.0.0.1/x", "--event", "*", "--secret-file", "-", "--new-secret"), 2, "not both"),
        (("add", "http://127.0.0.1/x", "--event", "*", "--header", "top secret"), 1, "--header: a header has"),
        (("add", "http://127.0.0.1/x", "--event", "*", "--off-after", "5"), 1, "--off-after: '5' is no span"),
        (("lits",), 2, "There is no command 'lits'. There are list, add,"),
        (("show", "wh_none"), 3, "There is no webhook 'wh_none'."),
        (("off", "wh_none"), 3, "There is no webhook 'wh_none'."),
        (("remove", "wh_none", "--yes"), 3, "There is no webhook 'wh_none'."),
        (("drop", "wh_none", "--all"), 3, "There is no webhook 'wh_none'."),
        (("rotate", "wh_none"), 2, "Give --new-secret or --secret-file."),
        (("rotate", "wh_none", "--new-secret"), 3, "There is no webhook 'wh_none'."),
        (("deliveries", "--status", "lost"), 1, "status: 'lost' is none. There are pending,"),
        (("delivery", "\x1b"), 3, "There is no delivery"),
        (("resend", "wh_none", "--since", "0:1-0"), 1, "--since: give a time"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], code: int, said: str, ask: Ask) -> None:
    """In a sentence, without what may be secret; and nothing is registered."""
    shown = ask("webhooks", *arguments, code=code, err=True)
    assert said in shown
    assert "top secret" not in shown
    assert ask("webhooks", err=True) == "There is no webhook.\n"


def test_where_a_webhook_may_be_is_said_by_the_environment(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variables that the worker has as well."""
    monkeypatch.delenv("INTERRUPTS_WEBHOOK_NETWORKS")
    local = ("webhooks", "add", "http://127.0.0.1:8000/x", "--event", "*")
    assert "INTERRUPTS_WEBHOOK_NETWORKS" in ask(*local, code=1, err=True)
    monkeypatch.setenv("INTERRUPTS_WEBHOOK_PORTS", "much")
    assert "INTERRUPTS_WEBHOOK_PORTS: 'much' is neither" in ask(*local, code=1, err=True)


@pytest.mark.parametrize("command", ["", "list", "add", "show", "remove", "on", "off", "rotate", "test", "deliveries"])
def test_each_command_has_an_example_and_fits(command: str, ask: Ask) -> None:
    """No line of its help is wider than a terminal."""
    shown = ask("webhooks", *([command] if command else []), "--help")
    assert "interrupts webhooks" in shown.partition("Example")[2]
    assert max(map(len, shown.splitlines())) <= 80
