"""A command id has one outcome, however often it is sent; and the commands of a session take effect in their order."""

from __future__ import annotations

import asyncio
from collections import Counter

from interrupts import connect
from interrupts.ids import keyed_id
from tests.conftest import whole_log
from tests.producing import deciders, producer
from tests.servers import RedisServer

MANY = 300


def types_of(url: str, namespace: str) -> Counter[str]:
    """How often each event is in the log."""

    async def main() -> Counter[str]:
        async with connect(url, namespace=namespace) as service:
            return Counter(event.type for event in await whole_log(service))

    return asyncio.run(main())


def test_a_command_is_sent_again(shared_server: RedisServer, namespace: str) -> None:
    """In the same batch, in a later one, after it was refused, and after another process has taken over: the outcome is
    the first one, and nothing happens twice."""
    with deciders(shared_server.url, namespace, "") as (process,), producer(shared_server.port, namespace) as sender:
        made = keyed_id("s", "make")
        for _ in range(3):
            sender.create(command_id="make")
        for _ in range(3):
            sender.respond(made, "yes")
            sender.respond(made, "no", response={"approved": False})
        assert {body["interrupt_id"] for _, body in sender.replies("make", 3)} == {made}
        assert [outcome for outcome, _ in sender.replies("yes", 3)] == ["done"] * 3
        first_no, *more_no = sender.replies("no", 3)
        assert (first_no[0], first_no[1]["code"], more_no) == ("refused", "resolved", [first_no] * 2)
        process.leave()
    with deciders(shared_server.url, namespace, ""), producer(shared_server.port, namespace) as sender:
        sender.create(command_id="make")
        sender.respond(made, "yes")
        sender.respond(made, "no", response={"approved": False})
        assert sender.replies("make", 4)[-1][1]["status"] == "resolved"
        assert sender.replies("yes", 4)[-1][0] == "done"
        assert sender.replies("no", 4)[-1] == first_no
    assert types_of(shared_server.url, namespace) == {"interrupt.created": 1, "interrupt.resolved": 1}


def test_the_same_id_with_another_body(shared_server: RedisServer, namespace: str) -> None:
    """It is refused, and does not take its outcome from the command that had the id first."""
    with deciders(shared_server.url, namespace, ""), producer(shared_server.port, namespace) as sender:
        made = sender.made(sender.create(command_id="make"))
        sender.create(command_id="make", message="Another?")
        sender.create(command_id="make")
        outcomes = [(outcome, body.get("code")) for outcome, body in sender.replies("make", 3)]
        assert outcomes == [("done", None), ("refused", "idempotency"), ("done", None)]
        for body in ({"approved": True}, {"approved": False}, {"approved": True}):
            sender.respond(made, "yes", response=body)
        outcomes = [(outcome, body.get("code")) for outcome, body in sender.replies("yes", 3)]
        assert outcomes == [("done", None), ("refused", "idempotency"), ("done", None)]


def test_an_id_that_was_refused_stays_refused(shared_server: RedisServer, namespace: str) -> None:
    """Also when it would be right by now: whoever was told that it is refused can rely on it."""
    with deciders(shared_server.url, namespace, ""), producer(shared_server.port, namespace) as sender:
        made = sender.made(sender.create(ttl_seconds=60))
        early = sender.respond(made, expected_version=2)
        assert sender.reply(early)[1]["code"] == "version"
        assert sender.reply(sender.about(made, "extend", ttl_seconds=600))[0] == "done"
        sender.respond(made, early, expected_version=2)
        assert [outcome for outcome, _ in sender.replies(early, 2)] == ["refused"] * 2
        assert sender.reply(sender.respond(made, expected_version=2))[0] == "done"


def test_the_same_id_in_two_sessions_is_two_commands(shared_server: RedisServer, namespace: str) -> None:
    """As with idempotency keys: an id belongs to its session."""
    with deciders(shared_server.url, namespace, "", partitions=1), producer(shared_server.port, namespace) as sender:
        sender.create("s", "make", kind="nonsense")
        sender.create("t", "make")
        sender.create("u", "make")
        replies = sender.replies("make", 3)
        assert [outcome for outcome, _ in replies] == ["refused", "done", "done"]
        assert len({body.get("interrupt_id") for _, body in replies}) == 3


def test_commands_of_a_session_take_effect_in_their_order(shared_server: RedisServer, namespace: str) -> None:
    """Many sessions at once, each with a creation, extensions, an answer and a cancellation that is too late; sent
    before anybody decides."""
    with deciders(shared_server.url, namespace, "") as (process,):
        process.leave()
    sessions = [f"s{number}" for number in range(MANY // 10)]
    with producer(shared_server.port, namespace) as sender:
        for step in range(5):
            for session in sessions:
                made = keyed_id(session, f"make-{session}")
                match step:
                    case 0:
                        sender.create(session, f"make-{session}", ttl_seconds=60)
                    case 1 | 2:
                        extend = {"ttl_seconds": 3600 * step, "expected_version": step}
                        sender.about(made, "extend", f"extend-{step}-{session}", **extend)
                    case 3:
                        sender.respond(made, f"answer-{session}", expected_version=3)
                    case _:
                        sender.about(made, "cancel", f"cancel-{session}")
        with deciders(shared_server.url, namespace, "", ""):
            sender.all_decided()
        outcomes: dict[str, list[tuple[str, str]]] = {session: [] for session in sessions}
        for name, outcome, _ in sender.all_replies():
            what, _, session = name.rpartition("-")
            outcomes[session].append((what, outcome))
    expected = [("make", "done"), ("extend-1", "done"), ("extend-2", "done"), ("answer", "done"), ("cancel", "refused")]
    assert outcomes == dict.fromkeys(sessions, expected)


def test_many_about_one_interrupt(shared_server: RedisServer, namespace: str) -> None:
    """Of all answers in the stream the first one wins, and each of the others is told so."""
    with deciders(shared_server.url, namespace, ""), producer(shared_server.port, namespace) as sender:
        made = sender.made(sender.create())
        answers = [sender.respond(made, actor=f"a{number}") for number in range(50)]
        replies = [sender.reply(answer) for answer in answers]
        assert [outcome for outcome, _ in replies] == ["done"] + ["refused"] * 49
        assert all("by a0" in body["message"] for _, body in replies[1:])
