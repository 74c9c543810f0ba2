"""One command of a producer on its way: from the entry in which it came to the words in which it is written down."""

from __future__ import annotations

from typing import Final

import msgspec

from interrupts.checks import check_optional_id, check_size, check_text, check_ttl_ms, check_version
from interrupts.codec import encode
from interrupts.command_form import (
    Asked,
    CancelBody,
    CreateBody,
    MalformedError,
    RespondBody,
    parked,
    read_command,
    refusal,
)
from interrupts.commands import Cancel, Command, Create, Extend, Respond
from interrupts.contents import resolved_content
from interrupts.creation import CreateOptions, Creation
from interrupts.decide import decide
from interrupts.errors import (
    AuthorizationError,
    ConflictError,
    CorruptLogError,
    InterruptsError,
    NotFoundError,
    RateLimitedError,
    ValidationError,
)
from interrupts.events import AnyEvent, Created, CreatedContent, Expired
from interrupts.evolve import State, as_of, fold
from interrupts.execution import made
from interrupts.keys import Keys
from interrupts.model import FlowInterrupt, InterruptKind, InterruptResponse
from interrupts.refusals import lost
from interrupts.schemas import fits_schema
from interrupts.store.inbox import Written
from interrupts.store.log import NEW

Entry = tuple[bytes, list[bytes]]
"""A command as Redis returns it: its id in the stream, and its fields and values in turn."""
_KINDS: Final = {kind.value: kind for kind in InterruptKind}
_REFUSALS: Final = (ValidationError, AuthorizationError, ConflictError, NotFoundError, RateLimitedError)


class Case(msgspec.Struct, gc=False):
    """What is known of one command so far.

    `error`: why it can't be carried out. `name`: under which its refusal is remembered. `state` is
    what it was decided on, `event` what follows, if anything does.
    """

    entry: Entry
    written: Written
    asked: Asked | None = None
    name: str = ""
    command: Command | None = None
    content: CreatedContent | InterruptResponse | None = None
    error: Exception | None = None
    state: State | None = None
    event: AnyEvent | None = None

    @property
    def interrupt_id(self) -> str:
        """What it is about; "" if that is no interrupt."""
        return "" if self.asked is None else self.asked.interrupt_id

    @property
    def creates(self) -> bool:
        """Whether an interrupt is to be made."""
        return type(self.event) is Created

    def refuse(self, error: Exception, code: str | None = None) -> None:
        """It is refused. What a refusal says of a state that may pass is remembered; a fault is parked, and may be
        mended."""
        self.error = error
        about = (
            "" if self.asked is not None and self.asked.command == "create" else self.interrupt_id
        )  # what would have been made is not there
        self.written.outcome, self.written.body = "refused", refusal(error, about, code)
        if isinstance(error, _REFUSALS):
            # A command id that was used before, with another body, has its outcome.
            repeated = isinstance(error, ConflictError) and error.code == "idempotency"
            self.written.remember = "" if repeated else self.name
        else:
            self.park(f"{type(error).__name__}: {error}")

    def refuse_again(self, body: bytes) -> None:
        """It was refused before."""
        self.written.outcome, self.written.body = "refused", body

    def park(self, why: str) -> None:
        """It is kept for an operator to look at."""
        self.written.park = parked(why, self.entry[0].decode(), self.entry[1])

    def done(self, interrupt: FlowInterrupt) -> None:
        """It has acted before, and this is what became of it."""
        self.written.outcome = "done"
        self.written.body = (
            f'{{"interrupt_id":"{interrupt.id}","status":"{interrupt.status.value}","version":{interrupt.version},'
            f'"position":"{interrupt.position}"}}'
        )


def opened(entry: Entry, partition: int, keys: Keys, creation: Creation) -> Case:
    """A command, as far as it can be told without looking at anything. Does not raise."""
    case = Case(entry, Written(entry[0], "", "refused", ""))
    try:
        asked = case.asked = read_command(entry[1], partition, keys)
    except MalformedError as error:
        case.written.id = error.command_id
        case.refuse(ValidationError(str(error)), "malformed")
        case.written.remember = ""
        case.park(str(error))
        return case
    case.written.id = asked.id
    if asked.interrupt_id:
        case.name = asked.interrupt_id if asked.command == "create" else f"{asked.interrupt_id} {asked.id}"
    try:
        _command(case, asked, creation)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one command must not hold up the others
        case.error = error
    return case


def _command(case: Case, asked: Asked, creation: Creation) -> None:
    """What it wants, in the words of the library. Raises `ValidationError`."""
    body = asked.body
    if isinstance(body, CreateBody):
        options = CreateOptions(idempotency_key=asked.id)
        if body.ttl_seconds is not None:
            options["ttl_seconds"] = body.ttl_seconds
        if body.auto_expire is not None:
            options["auto_expire"] = body.auto_expire
        if body.allowed_responses is not None:
            options["allowed_responses"] = body.allowed_responses
        if body.response_schema is not None:
            options["response_schema"] = body.response_schema
        case.command, case.content = creation.command(
            _KINDS.get(body.kind, body.kind),
            body.request_id,
            body.user_id,
            body.session_id,
            body.envelope_id,
            body.question,
            body.message,
            body.data,
            options,
            (asked.interrupt_id, asked.id),  # so that the history says which command made it
        )
        return
    who = check_optional_id("user_id", body.user_id), check_optional_id("actor", body.actor)
    version = check_version(body.expected_version)
    if not asked.interrupt_id:
        raise NotFoundError(f"There is no interrupt {body.interrupt_id[:64]}.")
    if isinstance(body, RespondBody):
        said = body.response
        content, case.content = resolved_content(InterruptResponse(said.text, said.approved, said.decision, said.data))
        case.command = Respond(asked.interrupt_id, asked.id, case.content, content, *who, version)
    elif isinstance(body, CancelBody):
        case.command = Cancel(asked.interrupt_id, asked.id, check_text("reason", body.reason), *who, version)
    else:
        ttl_ms = check_ttl_ms(None, body.ttl_seconds, None)
        assert ttl_ms is not None
        case.command = Extend(asked.interrupt_id, asked.id, ttl_ms, *who, version)


def judge(case: Case, there: object, now_ms: int, partition: int, payload_bytes_max: int) -> None:
    """Decides on what the interrupt's key holds. Does not raise."""
    try:
        if case.error is not None:
            raise case.error
        assert case.command is not None
        if isinstance(there, Exception):
            raise CorruptLogError(f"The interrupt's key can't be read: {there}.")
        state = case.state = fold(there, partition) if isinstance(there, bytes) else None
        event = decide(state, case.command, now_ms, fits_schema)
        if event is None:
            assert state is not None  # without a state there is something to do, or a refusal
            case.done(as_of(state, now_ms))
            return
        raw = encode(event)
        if len(raw) > payload_bytes_max:
            check_size(len(raw), payload_bytes_max, "body")
        _to_append(case, event, raw, state)
        if isinstance(event, Expired):
            assert state is not None
            case.refuse(lost(as_of(state, now_ms)))
            return
        status = (
            "pending" if event.version == 1 or case.written.terms.endswith("p") else _STATUS[case.written.terms[-1]]
        )
        case.written.outcome = "done"
        case.written.body = (
            f'{{"interrupt_id":"{event.id}","status":"{status}","version":{event.version},"position":"{partition}:'
        )
    except InterruptsError as error:
        case.refuse(error)
    except Exception as error:  # noqa: BLE001 - as above
        case.refuse(error)


_STATUS: Final = {"r": "resolved", "c": "cancelled"}


def _to_append(case: Case, event: AnyEvent, raw: bytes, state: State | None) -> None:
    written = case.written
    case.event = event
    written.event, written.interrupt_id = raw, event.id
    if isinstance(event, Created):
        written.terms = NEW
        written.ttl_ms = event.terms.ttl_ms if event.terms.auto_expire and event.terms.ttl_ms is not None else ""
    else:
        _, written.terms, ttl_ms = made(raw, event, state)
        written.ttl_ms = "" if ttl_ms is None else ttl_ms


def created_by(case: Case) -> Create:
    """Its creation; `creates` must hold."""
    assert isinstance(case.command, Create)
    return case.command
