"""The rules of business, further: deadlines that are moved, marks, and how much room an interrupt has."""

from __future__ import annotations

from typing import Any

import pytest

from interrupts.commands import Expire, Extend, Mark, Respond
from interrupts.errors import AuthorizationError, NotFoundError, ValidationError
from interrupts.events import (
    NO_CONTENT,
    About,
    Acknowledged,
    AnyEvent,
    Cancelled,
    Delivered,
    Expired,
    Extended,
    Resolved,
    Terms,
)
from interrupts.evolve import as_of
from interrupts.limits import EVENTS_KEPT_FOR_THE_END, EVENTS_PER_INTERRUPT_MAX
from interrupts.model import InterruptKind, InterruptStatus
from interrupts.positions import time_of
from tests.test_decide import (
    AFTER_MS,
    AT_MS,
    BEFORE_MS,
    CREATED_MS,
    DEADLINE_MS,
    ID,
    STATES,
    TTL_MS,
    after,
    ask,
    cancel,
    refused,
    respond,
)


def extend(ttl_ms: int = 2 * TTL_MS, command_id: str = "x1", **changes: Any) -> Extend:
    """More time."""
    return Extend(ID, command_id, ttl_ms, **changes)


def mark(*, done: bool = False, group: str = "g") -> Mark:
    """A mark of a group."""
    return Mark(ID, f"{group} {done}", group, done)


def test_an_extension_is_in_the_log_as_it_was_asked_for() -> None:
    """With the interrupt's envelope, the next version, who did it, and the time from then on; without content."""
    event = ask(after(), extend(70_000, actor="bot"))
    envelope = (ID, 2, InterruptKind.CLARIFICATION, "s", "r", "ada", NO_CONTENT, About("x1", "bot"))
    assert event == Extended(*envelope, 70_000)
    assert ask(after(), extend()) == Extended(*envelope[:-1], About("x1", "ada"), 2 * TTL_MS)


@pytest.mark.parametrize("terms", [Terms(TTL_MS), Terms(TTL_MS, auto_expire=False)], ids=["enforced", "shown"])
def test_a_deadline_is_the_moment_of_its_extension_and_so_long_after(terms: Terms) -> None:
    """Not of the creation, and as often as it is moved; what is only shown is not enforced after it either."""
    state, enforced = after((extend(70_000), CREATED_MS + 30_000), terms=terms), terms.auto_expire
    assert state.interrupt.expires_at == time_of(CREATED_MS + 100_000)
    assert state.deadline_ms == (CREATED_MS + 100_000 if enforced else None)
    assert (state.interrupt.status, state.interrupt.version) == (InterruptStatus.PENDING, 2)
    assert (state.interrupt.resolved_at, state.interrupt.resolved_by) == (None, None)
    again = after((extend(70_000), CREATED_MS + 30_000), (extend(90_000, "x2"), CREATED_MS + 99_999), terms=terms)
    assert again.interrupt.expires_at == time_of(CREATED_MS + 189_999)
    late = CREATED_MS + 189_999
    assert as_of(again, late - 1).is_pending
    assert as_of(again, late).is_pending is not enforced
    assert type(ask(again, respond(), late)) is (Expired if enforced else Resolved)


@pytest.mark.parametrize("auto_expire", [True, False])
def test_a_deadline_is_only_moved_to_later(auto_expire: bool) -> None:
    """To the same moment, or an earlier one: refused by name, enforced or not. One millisecond will do."""
    state = after(terms=Terms(TTL_MS, auto_expire=auto_expire))
    now_ms = CREATED_MS + 20_000
    for too_short in (1, 39_999, 40_000):
        with pytest.raises(ValidationError, match="only moved to later") as refusal:
            ask(state, extend(too_short), now_ms)
        assert refusal.value.field == "ttl"
    assert isinstance(ask(state, extend(40_001), now_ms), Extended)


def test_what_has_no_deadline_can_not_be_extended() -> None:
    """It is told so; another user and a stale version are told that first."""
    state = STATES["timeless"]
    with pytest.raises(ValidationError, match="no deadline"):
        ask(state, extend())
    with pytest.raises(AuthorizationError):
        ask(state, extend(user_id="bob"))
    assert refused(state, extend(expected_version=2))[0] == "version"


@pytest.mark.parametrize("state", ["pending", "resolved", "cancelled", "expired", "timeless", "extended"])
def test_only_its_user_is_told_anything_of_an_extension(state: str) -> None:
    """Whatever the state."""
    with pytest.raises(AuthorizationError, match="bob"):
        ask(STATES[state], extend(user_id="bob"))


def test_an_extension_may_say_which_version_it_saw() -> None:
    """The one that it has: done. Another one: a conflict, with what is there."""
    assert isinstance(ask(after(), extend(expected_version=1, user_id="ada")), Extended)
    for stale in (0, 2):
        assert refused(after(), extend(expected_version=stale)) == ("version", InterruptStatus.PENDING)
    moved = after((extend(), BEFORE_MS))
    assert refused(moved, respond(expected_version=1)) == ("version", InterruptStatus.PENDING)
    assert isinstance(ask(moved, respond(expected_version=2)), Resolved)


def test_an_extension_is_repeated_whatever_has_become_of_it() -> None:
    """The same once more: nothing, although it was moved again, or has ended. One that came late comes late again."""
    first = (extend(), BEFORE_MS)
    ends: list[tuple[Any, int]] = [(respond(), AT_MS), (cancel(), AT_MS), (extend(4 * TTL_MS, "x2"), AT_MS)]
    for end in (*ends, (Expire(ID, "c3"), BEFORE_MS + 2 * TTL_MS)):
        assert ask(after(first, end), extend(), AFTER_MS) is None
    assert refused(after((extend(), AFTER_MS)), extend(), AFTER_MS) == ("expired", InterruptStatus.EXPIRED)
    assert refused(after((respond(), BEFORE_MS)), extend(command_id="c1")) == ("idempotency", InterruptStatus.RESOLVED)
    assert refused(after((Expire(ID, "c3"), DEADLINE_MS)), extend())[0] == "expired"


@pytest.mark.parametrize("state", STATES)
def test_only_what_has_ended_is_marked(state: str) -> None:
    """Once delivered, once acknowledged for each group; whatever was marked stays as it ended."""
    if state == "absent":
        with pytest.raises(NotFoundError):
            ask(None, mark())
        return
    there = STATES[state]
    assert there is not None
    if there.interrupt.is_pending:
        assert ask(there, mark()) is ask(there, mark(done=True), AFTER_MS) is None
        return
    delivered, done = ask(there, mark()), ask(there, mark(done=True))
    assert (type(delivered), type(done)) == (Delivered, Acknowledged)
    assert delivered is not None
    assert (delivered.version, delivered.about) == (3, About("g False", "g"))


def test_a_mark_changes_nothing_but_the_version() -> None:
    """Neither how and when it ended, nor by whom; a repeated mark, and a repeated answer, do nothing."""
    ended = after((respond(actor="bot"), BEFORE_MS))
    commands = [(mark(group=group, done=done), AFTER_MS) for group in ("g", "h") for done in (False, True)]
    marked = after((respond(actor="bot"), BEFORE_MS), *commands)
    for field in ended.interrupt.__struct_fields__:
        if field not in ("version", "position"):
            assert getattr(marked.interrupt, field) == getattr(ended.interrupt, field), field
    assert marked.interrupt.version == 6
    again: list[AnyEvent | None] = [ask(marked, command, AFTER_MS) for command, _ in commands]
    assert again == [None] * 4
    assert ask(marked, respond(actor="bot"), AFTER_MS) is None
    assert refused(marked, cancel())[0] == "resolved"
    assert marked.deadline_ms is None


def test_the_bound_of_events_is_a_refusal_but_never_stops_an_expiry() -> None:
    """An interrupt at its bound takes no more commands; its deadline still closes it."""
    state = after()
    state.interrupt.version = EVENTS_PER_INTERRUPT_MAX - 1
    assert isinstance(ask(state, respond()), Resolved)
    state.interrupt.version = EVENTS_PER_INTERRUPT_MAX
    for command in (respond(), cancel()):
        assert refused(state, command) == ("full", InterruptStatus.PENDING)
        assert isinstance(ask(state, command, AFTER_MS), Expired)
    assert isinstance(ask(state, Expire(ID, "c3"), AFTER_MS), Expired)


def test_moving_a_deadline_leaves_room_for_the_end() -> None:
    """So many events are not for extending: it is refused as full, while it can be answered, called off, expired."""
    state = after()
    state.interrupt.version = EVENTS_PER_INTERRUPT_MAX - EVENTS_KEPT_FOR_THE_END - 1
    assert isinstance(ask(state, Extend(ID, "c4", 2 * TTL_MS)), Extended)
    state.interrupt.version += 1
    assert refused(state, Extend(ID, "c4", 2 * TTL_MS)) == ("full", InterruptStatus.PENDING)
    assert isinstance(ask(state, Extend(ID, "c4", 2 * TTL_MS), AFTER_MS), Expired)
    assert isinstance(ask(state, respond()), Resolved)
    assert isinstance(ask(state, cancel()), Cancelled)


def test_marks_end_at_the_bound() -> None:
    """An ended interrupt without room takes no more marks, and nobody is refused for that."""
    state = after((respond(), BEFORE_MS))
    state.interrupt.version = EVENTS_PER_INTERRUPT_MAX - 1
    assert isinstance(ask(state, mark()), Delivered)
    state.interrupt.version += 1
    assert ask(state, mark()) is ask(state, mark(done=True)) is None


def test_an_interrupt_with_as_many_events_as_there_can_be_is_folded_and_asked() -> None:
    """Extended until only the room for the end is left, answered, and marked to the bound."""
    last_ms = CREATED_MS
    commands: list[tuple[Extend | Respond | Mark, int]] = []
    for number in range(EVENTS_PER_INTERRUPT_MAX - EVENTS_KEPT_FOR_THE_END - 1):
        last_ms += 1
        commands.append((extend(TTL_MS, f"x{number}"), last_ms))
    commands.append((respond(command_id="end"), last_ms))
    commands += [(mark(group=f"g{number}"), last_ms) for number in range(EVENTS_KEPT_FOR_THE_END - 1)]
    state = after(*commands)
    assert state.interrupt.version == EVENTS_PER_INTERRUPT_MAX
    assert state.interrupt.expires_at == time_of(last_ms + TTL_MS)
    assert all(ask(state, command, last_ms) is None for command, _ in commands)
    assert ask(state, mark(group="one more")) is None
