"""The stored forms, kept as files for ever: what was written once must be read, and is written the same way today.

The files in `golden/` are never made anew. A form that changes gets a new tag, a new line here, and an upcaster.
"""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from interrupts import FlowInterrupt, InterruptKind
from interrupts import InterruptResponse as Response
from interrupts.codec import (
    STATUS_LETTER,
    UPCASTERS,
    decode_entry,
    decode_event,
    decode_lines,
    encode,
)
from interrupts.creation import Creation
from interrupts.errors import CorruptLogError
from interrupts.events import (
    NO_CONTENT,
    About,
    Acknowledged,
    Cancelled,
    CancelledContent,
    Created,
    CreatedContent,
    Delivered,
    Expired,
    Extended,
    LogEvent,
    Published,
    Resolved,
    ResolvedContent,
    Terms,
)
from interrupts.evolve import fold
from interrupts.open_log import _Meta
from interrupts.ports import Ports
from interrupts.store.memory import memory_log
from interrupts.terms import fingerprint_of

GOLDEN = Path(__file__).parent / "golden"
EVENTS = (GOLDEN / "events.jsonl").read_bytes().splitlines()
KEYS: list[dict[str, Any]] = json.loads((GOLDEN / "keys.json").read_bytes())
ID = "1b0e01a1f9469d4ebd224c3fc735c706"


def content(struct: msgspec.Struct) -> Raw:
    """Content as it is stored."""
    return Raw(encode(struct))


def closed(kind: InterruptKind, version: int = 2) -> tuple[str, int, InterruptKind, str, str, str]:
    """The envelope of an event that closes, or comes after that."""
    return ID, version, kind, "s", "r", "u"


FULL_TERMS = Terms(
    ttl_ms=90_000,
    auto_expire=False,
    require_response=False,
    allowed_responses=("decision", "data"),
    webhook_event="house.own",
    envelope_id="env-1",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    span_id="00f067aa0ba902b7",
    response_schema={"type": "object", "required": ["a"]},
    fingerprint="7dcfa3a2dbe8f9d514e98ca7e6c42d71",
)
FULL_CONTENT = CreatedContent(
    "Größe?\n", "🙂 <b>", {"b": [1, -2.5, 1e30, None, True, {"ä": ""}], "a": {"n": 12345678901234567890}}
)
KEYED = "1b0ef30b17f45487d8083a94145796d3"
KEYED_TERMS = Terms(86_400_000, allowed_responses=("text",), fingerprint="6be98ee6db46f9e71ccbccee7ee6b646")
KEYED_CONTENT = CreatedContent("Größe?", None, {"b": 1, "a": [1.5, None, True]})
KEYED_ABOUT = About("01a1f9469d4ebd224c3fc735c706")
FULL_RESPONSE = Response('ja, "gut"', True, "modify", {"a": [{}]})
KIND = InterruptKind

EXPECTED: list[LogEvent] = [  # line by line
    Created(ID, 1, KIND.CHECKPOINT, "s", "r", "u", NO_CONTENT, About(), Terms(None, False, False)),
    Created(
        *("d30b01a1f9469d4ebd224c3fc735c706", 1, KIND.AGENT_REVIEW, "Zürich", '会議 "7"', "user@example.com"),
        *(content(FULL_CONTENT), About("01a1f9469d4ebd224c3fc735"), FULL_TERMS),
    ),
    Created(KEYED, 1, KIND.CLARIFICATION, "s", "r", "u", content(KEYED_CONTENT), KEYED_ABOUT, KEYED_TERMS),
    Resolved(*closed(KIND.CONFIRMATION), content(ResolvedContent(Response(approved=False))), About("c-1", "u")),
    Resolved(*closed(KIND.SYSTEM_ERROR), content(ResolvedContent(FULL_RESPONSE)), About("c-1", "bot é")),
    Resolved(*closed(KIND.TIMEOUT), content(ResolvedContent(Response(data={}))), About("c-1", "u")),
    Cancelled(*closed(KIND.RESOURCE_EXHAUSTED), content(CancelledContent()), About("c-2", "u")),
    Cancelled(*closed(KIND.TIMEOUT), content(CancelledContent("zu spät\n")), About("c-2", "bot")),
    Expired(*closed(KIND.CLARIFICATION), NO_CONTENT, About("c-3")),
    Expired(*closed(KIND.CLARIFICATION), Raw(b'"c2VjcmV0"'), About("c-3", content_key="key-1")),
    Extended(*closed(KIND.CONFIRMATION), NO_CONTENT, About("c-4", "bot"), 90_000),
    Delivered(*closed(KIND.TIMEOUT, 3), NO_CONTENT, About("d-1", "mails")),
    Acknowledged(*closed(KIND.TIMEOUT, 4), NO_CONTENT, About("a-1", "mails")),
    Published(
        *("session.chat.completed", "Zürich", "r", "", Raw('{"b":[1,null],"ä":{}}'.encode())),
        About("key:7dcfa3a2dbe8f9d514e98ca7e6c42d71", "bot"),
    ),
    Published("a.b.c", "a.b.c", "", "", NO_CONTENT, About("01a1f9469d4ebd224c3fc735c706")),
]


@pytest.mark.parametrize(("stored", "expected"), list(zip(EVENTS, EXPECTED, strict=True)))
def test_stored_events_are_read_for_ever_and_written_alike(stored: bytes, expected: LogEvent) -> None:
    """Each line decodes to exactly this event, and this event is written as exactly this line."""
    assert expected == decode_event(stored)
    assert stored == encode(expected) == encode(decode_event(stored))


@pytest.mark.parametrize("stored", EVENTS)
def test_an_entry_of_the_log_is_read_with_its_place(stored: bytes) -> None:
    """An entry has the fields `s` and `e`; unknown fields beside them, and fields after the known ones, do no harm."""
    plain = decode_entry(b"1795183541100-7", [b"s", b"42", b"e", stored])
    assert (plain.stream_id, plain.ms, plain.sequence) == ("1795183541100-7", 1795183541100, 42)
    assert decode_event(stored) == plain.event
    longer = stored[:-1] + b',{"new":1}]'
    assert plain == decode_entry(b"1795183541100-7", [b"x", b"1", b"e", longer, b"s", b"42"])


@pytest.mark.parametrize("form", KEYS, ids=lambda form: form["name"])
def test_the_keys_of_interrupts_are_read_for_ever(form: dict[str, Any]) -> None:
    """A packed key folds to exactly this interrupt, with exactly this enforced deadline."""
    state = fold(form["packed"].encode(), 1)
    assert form["interrupt"] == state.interrupt.to_dict()
    assert FlowInterrupt.from_dict(form["interrupt"]) == state.interrupt
    assert form["deadline_ms"] == state.deadline_ms


@pytest.mark.parametrize("form", KEYS, ids=lambda form: form["name"])
def test_the_keys_of_interrupts_are_written_alike(form: dict[str, Any]) -> None:
    """The same events, appended today, are packed in the same way; only their times are other ones."""

    async def main() -> None:
        log, enforced = memory_log(), True
        expected = form["packed"]
        for line in decode_lines(form["packed"].encode()):
            event = line.event
            terms = "new" if event.version == 1 else f"{event.version - 1} any {STATUS_LETTER[status]}"
            if isinstance(event, Created):
                enforced = event.terms.auto_expire
            ttl_ms = event.ttl_ms if isinstance(event, Extended) else None
            ttl_ms = event.terms.ttl_ms if isinstance(event, Created) else ttl_ms
            ttl_ms = ttl_ms if enforced else None
            appended = await log.append(ID, encode(event), terms, ttl_ms)
            expected = expected.replace(line.stream_id, appended.stream_id)
            if ttl_ms is not None:
                expected = expected.replace(f"p{line.ms + ttl_ms}\n", f"p{appended.now_ms + ttl_ms}\n")
        assert expected.encode() == (await log.read(ID)).there
        await log.server.close()

    status = FlowInterrupt.from_dict(form["interrupt"]).status
    asyncio.run(main())


def test_what_a_namespace_was_made_with_is_written_alike() -> None:
    """The record under `{namespace}:meta`."""
    stored = b'{"format":1,"partitions":16}'
    assert stored == encode(_Meta(1, 16))
    assert msgspec.json.decode(stored, type=_Meta) == _Meta(1, 16)


OPTIONS: dict[str, Any] = {"ttl_seconds": 90, "auto_expire": False, "allowed_responses": ["approved", "text"]}
OPTIONS |= {"response_schema": {"b": 1, "a": {"d": 2, "c": 3}}}
NOT_SAID: dict[str, Any] = dict.fromkeys(["ttl", *OPTIONS])
FINGERPRINTS: dict[str, list[dict[str, Any]]] = {
    "6be98ee6db46f9e71ccbccee7ee6b646": [{}, {"ttl": None}, NOT_SAID],
    "d1f70fc97e0f326d3d981f84bbbfe490": [
        OPTIONS,
        dict(reversed(OPTIONS.items())),
        OPTIONS | {"ttl_seconds": None, "ttl": timedelta(seconds=90)},
        OPTIONS | {"allowed_responses": ("approved", "text")},
        OPTIONS | {"response_schema": {"a": {"c": 3, "d": 2}, "b": 1}},
    ],
}


@pytest.mark.parametrize("expected", FINGERPRINTS)
def test_a_key_and_its_request_give_the_stored_id_and_fingerprint(expected: str) -> None:
    """A request sent again, after an update of the library too, is still the same request, however it is put."""
    creation, data = Creation(None, Ports()), {"a": [1.5, None, True], "b": 1}
    for options in FINGERPRINTS[expected]:
        given: Any = options | {"idempotency_key": "order-42"}
        command, _ = creation.command("clarification", "r", "u", "s", None, "Größe?", None, data, given)
        assert (KEYED, expected) == (command.id, command.terms.fingerprint)


def test_fingerprints_are_the_stored_ones() -> None:
    """The beginning of SHA-256 over JSON with sorted keys, at every depth."""
    assert fingerprint_of({}) == "44136fa355b3678a1146ad16f7e8649e"
    expected = "21a5d8c4b1df6cd339e70f07a60ab884"
    assert expected == fingerprint_of({"a": 1, "b": {"c": [2.0, None], "d": 1}})
    assert expected == fingerprint_of({"b": {"d": 1, "c": (2.0, None)}, "a": 1})


def test_old_events_are_read_through_their_upcasters(monkeypatch: pytest.MonkeyPatch) -> None:
    """From an old tag over a younger one to a current event, which is what the rest of the library sees."""
    monkeypatch.setitem(UPCASTERS, "ended.1", lambda fields: ["ended.2", *fields[1:], {}])
    monkeypatch.setitem(UPCASTERS, "ended.2", lambda fields: ["interrupt.expired", *fields[1:-1], {"command": "c-3"}])
    old = b'["ended.1","1b0e01a1f9469d4ebd224c3fc735c706",2,"clarification","s","r","u",{}]'
    assert EXPECTED[8] == decode_event(old)


UNREADABLE = [
    *(b"", b"[", b"[]", b"{}", b"null", b'"text"', b"[1]", b"\xff", b"[" * 10_000, b'["interrupt.moved"]', b'["loop"]'),
    *(b'["broken"]', b'["interrupt.expired"]', EVENTS[8].replace(b"clarification", b"nonsense")),
]


@pytest.mark.parametrize("stored", UNREADABLE)
def test_unknown_and_damaged_events_say_what_to_do(stored: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the bytes are: an error that says that nothing was changed, and to update or to look."""
    monkeypatch.setitem(UPCASTERS, "loop", lambda fields: fields)
    monkeypatch.setitem(UPCASTERS, "broken", lambda fields: fields[7])
    with pytest.raises(CorruptLogError, match=r"Nothing was changed; update the library, or look at the entry"):
        decode_event(stored)


DAMAGED = [
    *(b"", b"text", b"text\n", b"1p\n", b"1p\n\n", b"1p\ntext\n", b"1p\n1-0 \n", b"1p\n1-0 [\n", b"1p\n\xff \xff\n"),
    *(b"2r\n1-0 " + EVENTS[line] + b"\n" for line in (3, 6, 9, 10, 11, 12)),  # no creation
    *(b"1p\n1-0 " + EVENTS[line] + b"\n" for line in (13, 14)),  # something that was published
    b"2p\n1-0 " + EVENTS[0] + b"\n1-1 " + EVENTS[13] + b"\n",
    b"2p\n1-0 " + EVENTS[0] + b"\n1-1 " + EVENTS[0] + b"\n",  # two creations
    b"1p\nx-0 " + EVENTS[0] + b"\n",  # no time
    b"1p\n1-0 " + EVENTS[0].replace(b"{}", b"[]", 1) + b"\n",  # content of another form
    b"1p\n1-0 " + EVENTS[0].replace(b"{}", b'"c2VjcmV0"', 1) + b"\n",  # content that a newer version has encrypted
    b"2r\n1-0 " + EVENTS[0] + b"\n1-1 " + EVENTS[3].replace(b"response", b"nonsense") + b"\n",
]


@pytest.mark.parametrize("packed", DAMAGED)
def test_damaged_keys_are_told_as_such(packed: bytes) -> None:
    """What no version of the library has written under an interrupt's key is a `CorruptLogError`, and nothing else."""
    with pytest.raises(CorruptLogError):
        fold(packed, 0)
