"""`webhooks`: tests, and what is and was sent: what is listed, shown, sent again and dropped."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from tests.asking import Ask, asker
from tests.hooking import EVENT, FAILS, LOOPBACK, ONCE, World, added, results, until_there
from tests.servers import RedisServer
from tests.test_cli_parked import Terminal


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


def test_a_test_says_what_came_of_it(ask: Ask, sending: World) -> None:
    """In its exit code, too. What an endpoint has answered harms no terminal."""
    fails = added(ask, sending, FAILS)
    shown = ask("webhooks", "test", fails, code=1)
    assert not set("\x1b\x9b") & set(shown)
    fields = dict(line.split(None, 1) for line in shown.splitlines())
    assert (fields["status"], fields["http"], fields["error"]) == ("failed", "status  500", "it answered 500")
    assert "no" in fields["answer"]
    hangs = added(ask, sending, "/hang")
    assert "no result after" in ask("webhooks", "test", hangs, "--wait", "0.3", code=1, err=True)
    assert "switched off" in ask("webhooks", "test", added(ask, sending, "/status/410"), code=1, err=True)
    document = json.loads(ask("webhooks", "test", added(ask, sending, "/ok"), "--json"))
    assert (document["result"]["status"], document["result"]["response_body"]) == ("delivered", "ok")


def test_where_nobody_sends_that_is_said(ask: Ask, world: World) -> None:
    """Instead of a test that only takes long."""
    webhook = added(ask, world, "/ok")
    assert "interrupts worker webhooks" in ask("webhooks", "test", webhook, "--wait", "0", code=1, err=True)


def test_deliveries_are_listed_and_told_in_full(ask: Ask, sending: World) -> None:
    """With all filters; no answer harms a terminal."""
    good, bad = added(ask, sending, "/ok"), added(ask, sending, FAILS, *ONCE, "--scope", "session:s1")
    sending.publish(3)
    until_there(ask, "failed", 1)
    until_there(ask, "delivered", 3)
    assert [one["webhook_id"] for one in results(ask, "--scope", "session:s1", "--event", EVENT)] == [bad]
    assert results(ask, "--event", "shop.order") == []
    assert {one["webhook_id"] for one in results(ask, "--webhook", good)} == {good}
    assert "There may be more" in ask("webhooks", "deliveries", "--limit", "2", err=True)
    shown = ask("webhooks", "deliveries", "--status", "failed")
    (head, line), (failed,) = shown.splitlines(), results(ask, "--status", "failed")
    assert head.split() == ["delivery", "status", "tries", "http", "event", "happened", "answer"]
    assert line.split()[:5] == [failed["delivery_id"], "failed", "1", "500", EVENT]
    shown += ask("webhooks", "delivery", failed["delivery_id"]) + ask("webhooks", "show", bad)
    assert not set("\x1b\x9b") & set(shown)
    assert '"session_id": "s1"' in shown
    assert json.loads(ask("webhooks", "delivery", failed["delivery_id"], "--json"))["result"] == failed


def test_what_was_given_up_is_sent_again_or_dropped(ask: Ask, sending: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By id, by time, or all; and nothing is dropped, or removed with its deliveries, without being asked."""
    webhook, other = added(ask, sending, "/status/500"), added(ask, sending, "/ok")
    sending.publish(4)
    until_there(ask, "failed", 4)
    there = [one["delivery_id"] for one in results(ask, "--status", "failed")]
    sending.receiver.script("/status/500", "/ok")
    drop, again = ("webhooks", "drop", webhook), ("webhooks", "resend", webhook)
    assert "Say which" in ask(*again, code=2, err=True)
    assert "Say which" in ask(*again, there[0], "--all", code=2, err=True)
    assert "is not of" in ask("webhooks", "resend", other, there[0], code=1, err=True)
    assert ask(*again, there[0]) == "1 delivery will be sent again\n"
    until_there(ask, "delivered", 5)
    assert json.loads(ask(*again, "--until", "1h", "--json"))["done"] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert "3 deliveries given up would be forgotten." in ask(*drop, "--since", "1h", code=2, err=True)
    assert "3 deliveries given up are kept." in ask("webhooks", "remove", webhook, code=2, err=True)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert "Nothing was changed." in ask(*drop, there[1], code=1, err=True)
    assert len(results(ask, "--status", "failed")) == 3
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert "1 delivery forgotten\n" in ask(*drop, there[1])
    assert there[1] in ask(*drop, there[1], "--yes", code=1, err=True)
    assert ask(*drop, "--until", "1h") == "0 deliveries forgotten\n"  # there is nothing to ask about
    assert ask(*again, "--since", "1h", "--json") == '{"done":2,"waiting":0,"lost":[]}\n'
    until_there(ask, "delivered", 7)
    assert f"{webhook} is removed" in ask("webhooks", "remove", webhook)
    ask("webhooks", "remove", webhook, code=3)
