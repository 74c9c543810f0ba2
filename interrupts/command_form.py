"""The form in which producers of any language send commands, and in which they read what became of them.

An entry of a command stream has three fields: `id`, the producer's own name for the command; `command`, what it wants;
`body`, JSON with exactly the fields below. A field that is not there below is refused: a typing error in `ttl_seconds`
must not give somebody the kind's own deadline in silence.

What can't be read in this form is malformed: it is no command, whatever else is true. What can be read is decided on,
and refused, as a call with these arguments is.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interrupts.checks import check_id, shown
from interrupts.codec import encode
from interrupts.errors import ConflictError, InterruptsError, RateLimitedError, ValidationError
from interrupts.ids import is_id, keyed_id
from interrupts.keys import Keys
from interrupts.limits import COMMAND_BODY_BYTES_MAX, COMMAND_PARKED_CHARS_MAX, REPLY_MESSAGE_CHARS_MAX


class CreateBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`create`: pause for an answer."""

    kind: str
    request_id: str
    user_id: str
    session_id: str
    question: str | None = None
    message: str | None = None
    data: dict[str, Any] | None = None
    envelope_id: str | None = None
    ttl_seconds: float | None = None
    auto_expire: bool | None = None
    allowed_responses: list[str] | None = None
    response_schema: dict[str, Any] | None = None


class Response(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An answer."""

    text: str | None = None
    approved: bool | None = None
    decision: str | None = None
    data: dict[str, Any] | None = None


class RespondBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`respond`: answer."""

    interrupt_id: str
    response: Response
    user_id: str | None = None
    actor: str | None = None
    expected_version: int | None = None


class CancelBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`cancel`: call it off."""

    interrupt_id: str
    reason: str | None = None
    user_id: str | None = None
    actor: str | None = None
    expected_version: int | None = None


class ExtendBody(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """`extend`: move the deadline to so long after now."""

    interrupt_id: str
    ttl_seconds: float
    user_id: str | None = None
    actor: str | None = None
    expected_version: int | None = None


Body = CreateBody | RespondBody | CancelBody | ExtendBody
_BODIES: Final[dict[bytes, msgspec.json.Decoder[Any]]] = {
    b"create": msgspec.json.Decoder(CreateBody),
    b"respond": msgspec.json.Decoder(RespondBody),
    b"cancel": msgspec.json.Decoder(CancelBody),
    b"extend": msgspec.json.Decoder(ExtendBody),
}
COMMANDS: Final = ", ".join(name.decode() for name in _BODIES)


class Asked(msgspec.Struct, gc=False):
    """A command as it was read. `interrupt_id`: what it is about; of a creation, what it will make."""

    id: str
    command: str
    body: Body
    interrupt_id: str


class MalformedError(Exception):
    """Not in the form of a command: why, and the id, if that can be read."""

    def __init__(self, why: str, command_id: str = "") -> None:
        super().__init__(why)
        self.command_id = command_id


class Refused(msgspec.Struct, omit_defaults=True):
    """The body of a reply that refuses: the name of the error, as the library raises it, and its facts."""

    error: str
    http_status: int
    message: str
    code: str | None = None
    field: str | None = None
    interrupt_id: str | None = None
    retry_after_seconds: float | None = None


class ParkedCommand(msgspec.Struct, frozen=True):
    """Why something was parked, and what it was: its id in the command stream, and its fields, each cut to a bound."""

    why: str
    stream_id: str
    fields: list[str]


def read_command(fields: list[bytes], partition: int, keys: Keys) -> Asked:
    """The command in an entry. Raises `MalformedError`."""
    if len(fields) != 6 or fields[0] != b"id" or fields[2] != b"command" or fields[4] != b"body":
        fields = _in_order(fields)
    command_id = _id(fields[1])
    decoder = _BODIES.get(fields[3])
    if decoder is None:
        raise MalformedError(f"command: there is no {shown(_text(fields[3]))}. There are {COMMANDS}.", command_id)
    if len(fields[5]) > COMMAND_BODY_BYTES_MAX:
        raise MalformedError(f"body: has {len(fields[5])} bytes, the most is {COMMAND_BODY_BYTES_MAX}.", command_id)
    try:
        body = decoder.decode(fields[5])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MalformedError(f"body: {str(error)[:REPLY_MESSAGE_CHARS_MAX]}", command_id) from None
    if isinstance(body, CreateBody):
        interrupt_id = keyed_id(body.session_id, command_id)
    else:
        interrupt_id = body.interrupt_id
        if not is_id(interrupt_id):
            return Asked(command_id, fields[3].decode(), body, "")
    at = int(interrupt_id[:4], 16) * keys.partitions >> 16
    if at != partition:
        what = "session_id" if isinstance(body, CreateBody) else "interrupt_id"
        raise MalformedError(f"{what}: this one's commands go to partition {at}, not to {partition}.", command_id)
    return Asked(command_id, fields[3].decode(), body, interrupt_id)


def refusal(error: Exception, interrupt_id: str = "", code: str | None = None) -> bytes:
    """The body of the reply that refuses so."""
    ours = isinstance(error, InterruptsError)
    named: str | None = interrupt_id or None
    if isinstance(error, ConflictError):
        code, named = error.code, error.interrupt.id if error.interrupt is not None else named
    return encode(
        Refused(
            type(error).__name__ if ours else InterruptsError.__name__,
            error.http_status if isinstance(error, InterruptsError) else InterruptsError.http_status,
            str(error)[:REPLY_MESSAGE_CHARS_MAX],
            code,
            error.field if isinstance(error, ValidationError) else None,
            named,
            error.retry_after_seconds if isinstance(error, RateLimitedError) else None,
        )
    )


def parked(why: str, stream_id: str, fields: list[bytes]) -> bytes:
    """How something is parked."""
    texts = [_text(field[:COMMAND_PARKED_CHARS_MAX]) for field in fields[:_PARKED_FIELDS_MAX]]
    return encode(ParkedCommand(why[:REPLY_MESSAGE_CHARS_MAX], stream_id, texts))


_PARKED_FIELDS_MAX: Final = 16


def _in_order(fields: list[bytes]) -> list[bytes]:
    """The fields in the order of the form, wherever they stand."""
    named = dict(zip(fields[::2], fields[1::2], strict=False))
    command_id = _id(named[b"id"]) if b"id" in named else ""
    for name in (b"id", b"command", b"body"):
        if name not in named:
            raise MalformedError(f"{name.decode()}: is missing.", command_id)
    if len(fields) != 6:
        raise MalformedError(f"there are {len(fields) // 2} fields, not id, command and body once each.", command_id)
    return [b"id", named[b"id"], b"command", named[b"command"], b"body", named[b"body"]]


def _id(raw: bytes) -> str:
    try:
        return check_id("id", raw.decode())
    except UnicodeDecodeError:
        raise MalformedError("id: is no UTF-8.") from None
    except ValidationError as error:
        raise MalformedError(str(error)) from None


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
