"""Any sequence of commands, on a real server and in memory, against a plain model of what they should do.

Time passes without sleeping: a deadline is hours away, or so near that creating it waits until it is past.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule, run_state_machine_as_test

from interrupts import (
    AuthorizationError,
    ConflictError,
    FlowInterrupt,
    InterruptKind,
    InterruptResponse,
    InterruptsError,
    InterruptStatus,
    ValidationError,
    connect,
)
from tests.conftest import until_expired, whole_log

R = TypeVar("R")
SOON, LATER = timedelta(milliseconds=1), timedelta(hours=1)
KINDS = (InterruptKind.CONFIRMATION, InterruptKind.CHECKPOINT)
ANSWERS = (
    InterruptResponse(approved=True),
    InterruptResponse(approved=False, data={"a": [1]}),
    InterruptResponse(text="not allowed for a confirmation"),
)
_namespaces = itertools.count()

SESSIONS = st.sampled_from(["s0", "s1", "s2"])
HOW = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from([None, "u", "u", "another"]),
        "actor": st.sampled_from([None, None, "bot"]),
        "expected_version": st.sampled_from([None, None, None, 1, 2]),
        "command_id": st.sampled_from([None, "c0", "c1"]),
    }
)
"""What an answer and a cancellation take besides their words."""


class Pause:
    """The model of one interrupt: what it was made with, and the one command that closed it."""

    def __init__(self, kind: InterruptKind, session: str, overdue: bool) -> None:
        self.kind, self.session, self.overdue = kind, session, overdue
        self.status = InterruptStatus.PENDING
        self.closing: tuple[str | None, Any, str | None] = (None, None, None)
        """Command id, body, actor."""

    def close(self, status: InterruptStatus, command_id: str | None, body: Any, actor: str | None) -> None:
        """The one closing event."""
        assert self.status is InterruptStatus.PENDING
        self.status, self.closing = status, (command_id, body, actor)

    def agrees(self, interrupt: FlowInterrupt | None) -> bool:
        """Whether this is what a reader should see."""
        assert interrupt is not None
        closed = self.status is not InterruptStatus.PENDING
        seen = InterruptStatus.EXPIRED if self.overdue and not closed else self.status
        _, body, actor = self.closing
        reason = "deadline passed" if seen is InterruptStatus.EXPIRED else None
        return (
            (interrupt.status, interrupt.version, interrupt.kind) == (seen, 1 + closed, self.kind)
            and interrupt.response == (body if seen is InterruptStatus.RESOLVED else None)
            and interrupt.reason == (body if seen is InterruptStatus.CANCELLED else reason)
            and (interrupt.resolved_by, interrupt.session_id) == (actor, self.session)
        )


class Commands(RuleBasedStateMachine):
    """A service and a model of it, given the same commands."""

    url: ClassVar[str]
    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        opened = connect(self.url, namespace=f"machine-{next(_namespaces)}", partitions=2)
        self.service = self.run_(self.stack.enter_async_context(opened))
        self.pauses: dict[str, Pause] = {}
        self.keyed: dict[tuple[str, str], tuple[Any, str]] = {}

    def run_(self, call: Coroutine[Any, Any, R]) -> R:
        """The call's result."""
        return self.runner.run(call)

    @rule(
        target=ids,
        session=SESSIONS,
        kind=st.sampled_from(KINDS),
        key=st.sampled_from([None, None, "k0", "k1"]),
        ttl=st.sampled_from([None, SOON, LATER]),
        enforced=st.booleans(),
    )
    def create(self, session: str, kind: InterruptKind, key: str | None, ttl: timedelta | None, enforced: bool) -> Any:
        """A new pause, or the one that its key stands for, or a refusal of another body."""
        call = self.service.create_interrupt(
            kind, "r", "u", session, ttl=ttl, auto_expire=enforced, idempotency_key=key
        )
        body, there = (kind, ttl, enforced), self.keyed.get((session, str(key)))
        if there is not None and key is not None and there[0] != body:
            self.refused(call, ConflictError, "idempotency", self.pauses[there[1]])
            return multiple()
        created = self.run_(call)
        if there is not None and key is not None:
            assert created.id == there[1]
            assert self.pauses[created.id].agrees(created)
            return multiple()
        assert created.id not in self.pauses
        pause = self.pauses[created.id] = Pause(kind, session, False)
        if key is not None:
            self.keyed[session, key] = (body, created.id)
        if ttl is SOON and enforced:
            pause.overdue = True
            created = self.run_(until_expired(self.service, created.id))
        assert pause.agrees(created)
        return created.id

    @rule(pause_id=ids, response=st.sampled_from(ANSWERS), how=HOW)
    def respond(self, pause_id: str, response: InterruptResponse, how: dict[str, Any]) -> None:
        """An answer."""
        pause = self.pauses[pause_id]
        allowed = pause.kind is InterruptKind.CHECKPOINT or response.approved is not None
        self.closes(
            self.service.respond(pause_id, response, **how), pause, InterruptStatus.RESOLVED, response, how, allowed
        )

    @rule(pause_id=ids, reason=st.sampled_from([None, "off"]), how=HOW)
    def cancel(self, pause_id: str, reason: str | None, how: dict[str, Any]) -> None:
        """A cancellation."""
        call = self.service.cancel(pause_id, reason, **how)
        self.closes(call, self.pauses[pause_id], InterruptStatus.CANCELLED, reason, how, True)

    def closes(
        self,
        call: Coroutine[Any, Any, FlowInterrupt | None],
        pause: Pause,
        status: InterruptStatus,
        said: Any,
        how: dict[str, Any],
        allowed: bool,
    ) -> None:
        """What becomes of a command that closes: the order of the refusals is part of the promise."""
        command_id, actor = how["command_id"], how["actor"] or "u"
        closed = pause.status is not InterruptStatus.PENDING
        if how["user_id"] == "another":
            self.refused(call, AuthorizationError)
        elif closed and command_id is not None and pause.closing[0] == command_id:
            if (pause.status, *pause.closing[1:]) == (status, said, actor):
                assert pause.agrees(self.run_(call))
            else:
                expired = pause.status is InterruptStatus.EXPIRED
                self.refused(call, ConflictError, "expired" if expired else "idempotency", pause)
        elif closed:
            self.refused(call, ConflictError, pause.status.value, pause)
        elif how["expected_version"] not in (None, 1):
            self.refused(call, ConflictError, "version", pause)
        elif pause.overdue:
            pause.close(InterruptStatus.EXPIRED, command_id, None, None)
            self.refused(call, ConflictError, "expired", pause)
        elif not allowed:
            self.refused(call, ValidationError)
        else:
            pause.close(status, command_id, said, actor)
            assert pause.agrees(self.run_(call))

    def refused(
        self, call: Coroutine[Any, Any, Any], sort: type[InterruptsError], code: str = "", there: Pause | None = None
    ) -> None:
        """The call is refused in this way, and a conflict shows what is there."""
        with pytest.raises(sort) as refusal:
            self.run_(call)
        if isinstance(refusal.value, ConflictError):
            assert refusal.value.code == code, refusal.value
            assert there is not None
            assert there.agrees(refusal.value.interrupt), refusal.value.interrupt

    @rule()
    def expire(self) -> None:
        """Everything overdue is written down, and counted."""
        due = [pause for pause in self.pauses.values() if pause.overdue and pause.status is InterruptStatus.PENDING]
        assert self.run_(self.service.expire_pending()) == len(due)
        for pause in due:
            pause.close(InterruptStatus.EXPIRED, None, None, None)

    @rule(pause_id=ids)
    def look(self, pause_id: str) -> None:
        """What get and history say."""
        pause = self.pauses[pause_id]
        assert pause.agrees(self.run_(self.service.get_interrupt(pause_id)))
        ended = [] if pause.status is InterruptStatus.PENDING else [f"interrupt.{pause.status.value}"]
        history = self.run_(self.service.history(pause_id))
        assert [event.type for event in history] == ["interrupt.created", *ended]

    def teardown(self) -> None:
        """In the end everything is as the model has it, and the log holds nothing else."""
        try:
            for pause_id in self.pauses:
                self.look(pause_id)
            logged = sorted((event.interrupt_id, event.version) for event in self.run_(whole_log(self.service)))
            modelled = [
                (pause_id, version)
                for pause_id, pause in sorted(self.pauses.items())
                for version in range(1, 2 + (pause.status is not InterruptStatus.PENDING))
            ]
            assert logged == modelled
        finally:
            self.run_(self.stack.aclose())
            self.runner.close()


def test_any_sequence_of_commands_does_what_the_model_does(url: str) -> None:
    """Create, respond, cancel, expire, retry and read in any order: each outcome and each reading is the model's."""

    class OnThisStore(Commands):
        """The commands, on the store of this test."""

    OnThisStore.url = url
    modest = settings(
        max_examples=80,
        stateful_step_count=40,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(OnThisStore, settings=modest)
