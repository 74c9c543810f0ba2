"""The rules of business: what follows from each command, in each state, at each time."""

from __future__ import annotations

import re
from typing import Any

import pytest

from interrupts.codec import Line
from interrupts.commands import Cancel, Command, Create, Expire, Extend, Respond
from interrupts.contents import created_content, resolved_content
from interrupts.decide import decide
from interrupts.errors import AuthorizationError, ConflictError, InterruptsError, ValidationError
from interrupts.events import About, AnyEvent, Cancelled, Created, Expired, Resolved, Terms
from interrupts.evolve import State, evolve
from interrupts.model import InterruptKind, InterruptResponse, InterruptStatus

ID = "1b0e0000000000000000000000000001"
CREATED_MS = 1_000_000
TTL_MS = 60_000
DEADLINE_MS = CREATED_MS + TTL_MS
BEFORE_MS, AT_MS, AFTER_MS = DEADLINE_MS - 1, DEADLINE_MS, DEADLINE_MS + 1
YES, NO, YES_AND_EMPTY = InterruptResponse("yes"), InterruptResponse("no"), InterruptResponse("yes", data={})
ONE, TRUE = InterruptResponse(data={"n": 1}), InterruptResponse(data={"n": True})


def create(**changes: Any) -> Create:
    """A creation, with a deadline unless its terms say otherwise."""
    fields: dict[str, Any] = {"id": ID, "kind": InterruptKind.CLARIFICATION, "command_id": "c0"}
    fields |= {"session_id": "s", "request_id": "r", "user_id": "ada"}
    return Create(**(fields | {"content": created_content("which?", None, {})[0], "terms": Terms(TTL_MS)} | changes))


def respond(response: InterruptResponse = YES, command_id: str = "c1", **changes: Any) -> Respond:
    """An answer."""
    content, answer = resolved_content(response)
    return Respond(ID, command_id, answer, content, **changes)


def cancel(command_id: str = "c2", **changes: Any) -> Cancel:
    """A cancellation."""
    return Cancel(ID, command_id, **changes)


def ask(state: State | None, command: Command, now_ms: int = BEFORE_MS) -> AnyEvent | None:
    """`decide`, where no schema may be asked for."""
    return decide(state, command, now_ms, lambda schema, response: pytest.fail("no schema was given"))


def after(*commands: tuple[Command, int], terms: Terms | None = None) -> State:
    """The state after a creation and these commands, each at its time."""
    state: State | None = None
    for command, at_ms in ((create(terms=terms or Terms(TTL_MS)), CREATED_MS), *commands):
        event = ask(state, command, at_ms)
        assert event is not None
        state = evolve(state, Line(stream_id=f"{at_ms}-0", ms=at_ms, event=event), 3)
    assert state is not None
    return state


STATES: dict[str, State | None] = {
    "absent": None,
    "pending": after(),
    "lasting": after(terms=Terms(TTL_MS, auto_expire=False)),  # its deadline is shown, never enforced
    "timeless": after(terms=Terms()),  # no deadline at all
    "resolved": after((respond(), BEFORE_MS)),
    "cancelled": after((cancel(), BEFORE_MS)),
    "expired": after((Expire(ID, "c3"), DEADLINE_MS)),
    "extended": after((Extend(ID, "c4", TTL_MS), BEFORE_MS)),
}
COMMANDS: dict[str, Command] = {"create": create(command_id="n0"), "respond": respond(YES, "n1")}
COMMANDS |= {"cancel": cancel("n2"), "extend": Extend(ID, "n4", 2 * TTL_MS), "expire": Expire(ID, "n3")}
TIMES = {"before": BEFORE_MS, "at": AT_MS, "after": AFTER_MS}

TABLE = """
    state     when    create   respond                  cancel                   extend                   expire
    absent    any     Created  NotFoundError            NotFoundError            NotFoundError            NotFoundError
    pending   before  nothing  Resolved                 Cancelled                Extended                 nothing
    pending   at      nothing  Expired                  Expired                  Expired                  Expired
    pending   after   nothing  Expired                  Expired                  Expired                  Expired
    lasting   any     nothing  Resolved                 Cancelled                Extended                 nothing
    timeless  any     nothing  Resolved                 Cancelled                ValidationError          nothing
    resolved  any     nothing  ConflictError:resolved   ConflictError:resolved   ConflictError:resolved   nothing
    cancelled any     nothing  ConflictError:cancelled  ConflictError:cancelled  ConflictError:cancelled  nothing
    expired   any     nothing  ConflictError:expired    ConflictError:expired    ConflictError:expired    nothing
    extended  any     nothing  Resolved                 Cancelled                Extended                 nothing
"""
CASES = [
    (state, when, command, expected)
    for state, times, *outcomes in (line.split() for line in TABLE.strip().splitlines()[1:])
    for when in (TIMES if times == "any" else [times])
    for command, expected in zip(COMMANDS, outcomes, strict=True)
]


def refused(state: State | None, command: Command, now_ms: int = BEFORE_MS) -> tuple[str, InterruptStatus]:
    """The code of the conflict, and the status that it shows."""
    with pytest.raises(ConflictError) as refusal:
        ask(state, command, now_ms)
    assert refusal.value.interrupt is not None
    return refusal.value.code, refusal.value.interrupt.status


@pytest.mark.parametrize(("state", "when", "command", "expected"), CASES)
def test_every_command_in_every_state_at_every_time(state: str, when: str, command: str, expected: str) -> None:
    """The table: the event's type, the refusal's type and code, or nothing to do."""
    try:
        event = ask(STATES[state], COMMANDS[command], TIMES[when])
        actual = "nothing" if event is None else type(event).__name__
    except ConflictError as error:
        actual = f"ConflictError:{error.code}"
    except InterruptsError as error:
        actual = type(error).__name__
    assert expected == actual


def test_the_table_is_complete() -> None:
    """It has a row for every state at every time, and a column for every command."""
    expected = [(state, when, command) for state in STATES for when in TIMES for command in COMMANDS]
    assert expected == [case[:3] for case in CASES]


def test_events_carry_the_envelope_of_their_interrupt() -> None:
    """Ids, kind and the next version are the interrupt's, the command's id is kept, and an expiry has no actor."""
    cases: list[tuple[str, Command, int, tuple[type[AnyEvent], int, About]]] = [
        ("absent", create(), BEFORE_MS, (Created, 1, About("c0"))),
        ("pending", respond(actor="bot"), BEFORE_MS, (Resolved, 2, About("c1", "bot"))),
        ("pending", cancel(), BEFORE_MS, (Cancelled, 2, About("c2", "ada"))),
        ("pending", respond(actor="bot"), AFTER_MS, (Expired, 2, About("c1"))),
    ]
    for state, command, now_ms, expected in cases:
        event = ask(STATES[state], command, now_ms)
        assert event is not None
        assert expected == (type(event), event.version, event.about)
        envelope = (event.id, event.kind, event.session_id, event.request_id, event.user_id)
        assert envelope == (ID, InterruptKind.CLARIFICATION, "s", "r", "ada")


@pytest.mark.parametrize("state", ["pending", "resolved", "cancelled", "expired"])
@pytest.mark.parametrize("command", [respond(user_id="bob"), cancel(user_id="bob")], ids=["respond", "cancel"])
def test_another_user_is_refused_before_anything_is_told(state: str, command: Command) -> None:
    """Whatever the state, a user who is not the interrupt's learns nothing of who won; the right one may act."""
    with pytest.raises(AuthorizationError, match="bob"):
        ask(STATES[state], command)
    assert ask(after(), respond(user_id="ada")) is not None


@pytest.mark.parametrize("stale", [0, 2])
def test_a_stale_version_is_a_conflict_that_shows_the_interrupt(stale: int) -> None:
    """A pending one is refused with what it now is; one that has closed since is told as closed."""
    for command in (respond(command_id="n", expected_version=stale), cancel("n", expected_version=stale)):
        assert refused(STATES["pending"], command) == ("version", InterruptStatus.PENDING)
        assert refused(STATES["pending"], command, AFTER_MS) == ("version", InterruptStatus.EXPIRED)
        assert refused(STATES["resolved"], command) == ("resolved", InterruptStatus.RESOLVED)
    assert isinstance(ask(STATES["pending"], respond(expected_version=1)), Resolved)


REPEATED: dict[str, tuple[Command, list[Command]]] = {
    "create": (create(), [create(terms=Terms(TTL_MS, fingerprint="another")), create(session_id="t")]),
    "respond": (respond(), [respond(NO), respond(YES_AND_EMPTY), respond(actor="bot"), cancel("c1")]),
    "numbers": (respond(ONE), [respond(TRUE), respond(InterruptResponse(data={"n": 1.0}))]),
    "cancel": (cancel(reason="done"), [cancel(), cancel(reason="done", actor="bot"), respond(YES, "c2")]),
    "extend": (
        Extend(ID, "c4", 2 * TTL_MS),
        [Extend(ID, "c4", 2 * TTL_MS + 1), Extend(ID, "c4", 2 * TTL_MS, actor="bot"), cancel("c4"), respond(YES, "c4")],
    ),
}


@pytest.mark.parametrize("name", REPEATED)
def test_a_repeated_command_changes_nothing_and_another_body_is_refused(name: str) -> None:
    """The same id and body again, at any time: nothing to do. The same id with another body: a conflict."""
    command, others = REPEATED[name]
    state = after() if isinstance(command, Create) else after((command, BEFORE_MS))
    for now_ms in TIMES.values():
        assert ask(state, command, now_ms) is None
        assert {"idempotency"} == {refused(state, other, now_ms)[0] for other in others}


def test_an_answer_that_came_late_comes_late_again() -> None:
    """Its first attempt has written the expiry under its id; the repetition hears the same: expired."""
    for command in (respond(), cancel()):
        assert refused(after((command, AFTER_MS)), command, AFTER_MS) == ("expired", InterruptStatus.EXPIRED)


def test_the_loser_is_told_who_won_how_and_when() -> None:
    """A conflict names the winner and the time, whoever lost."""
    told: dict[str, tuple[Command, int]] = {
        "answered by bot at 1970-01-01T00:17:39.999+00:00.": (respond(actor="bot"), BEFORE_MS),
        "cancelled by ada at 1970-01-01T00:17:39.999+00:00 (too late).": (cancel(reason="too late"), BEFORE_MS),
        "its deadline passed at 1970-01-01T00:17:40.000+00:00, before this came.": (respond(), AFTER_MS),
    }
    for words, winner in told.items():
        for loser in (respond(YES, "n1"), cancel("n2")):
            with pytest.raises(ConflictError, match=re.escape(words)):
                ask(after(winner), loser)


ANSWERS: list[tuple[tuple[str, ...], bool, InterruptResponse, str | None]] = [
    # allowed, required, answer, the field that is refused
    (("text",), True, InterruptResponse(text="a"), None),
    (("text",), True, InterruptResponse(text="a", data={"b": 1}), None),
    (("text",), True, InterruptResponse(approved=True), "response.approved"),
    (("text", "decision"), True, InterruptResponse(decision="reject", text=""), None),
    (("approved",), True, InterruptResponse(approved=False), None),
    (("text",), True, InterruptResponse(data={"b": 1}), "response"),
    (("data",), True, InterruptResponse(data={}), None),
    (("data",), True, InterruptResponse(text="a"), "response.text"),
    ((), True, InterruptResponse(data={}), None),
    ((), True, InterruptResponse(), "response"),
    (("text",), True, InterruptResponse(), "response"),
    (("text",), False, InterruptResponse(), None),
]


@pytest.mark.parametrize(("allowed", "required", "response", "expected"), ANSWERS)
def test_answers_use_allowed_fields_and_say_something_where_they_must(
    allowed: tuple[str, ...], required: bool, response: InterruptResponse, expected: str | None
) -> None:
    """What is not allowed, or says nothing although it must, is refused by name; `data` may always go along."""
    state = after(terms=Terms(TTL_MS, allowed_responses=allowed, require_response=required))
    field = None
    try:
        assert isinstance(ask(state, respond(response)), Resolved)
    except ValidationError as error:
        field = error.field
    assert expected == field


def test_a_schema_is_asked_last_and_only_where_there_is_one() -> None:
    """The injected check sees the schema and the answer; its refusal is the answer's; `data` alone is an answer."""
    seen: list[InterruptResponse] = []

    def check(schema: dict[str, object], response: InterruptResponse) -> None:
        assert schema == {"type": "object"}
        seen.append(response)
        if response == TRUE:
            raise ValidationError("no", field="response.data")

    state = after(terms=Terms(TTL_MS, response_schema={"type": "object"}, allowed_responses=("text",)))
    assert isinstance(decide(state, respond(NO), BEFORE_MS, check), Resolved)
    with pytest.raises(ValidationError, match="no"):
        decide(state, respond(TRUE), BEFORE_MS, check)
    assert isinstance(decide(state, respond(TRUE), AFTER_MS, check), Expired)
    assert seen == [NO, TRUE]
