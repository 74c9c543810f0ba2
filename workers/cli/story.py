"""`show`: the whole story of one interrupt: what it is now, and each event that made it so."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from interrupts import FlowInterrupt, RecordedEvent
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected, server_now
from workers.cli.outcome import unknown
from workers.cli.screen import say, write_json
from workers.cli.text import content_text, counted, json_text, left, moment, plain, plain_lines, span

LABEL_WIDTH = 12


async def show(where: Where, interrupt_id: str, *, as_json: bool) -> Code:
    """All that is known of it. Raises `NotFoundError`, `UnavailableError`."""
    async with connected(where) as service:
        interrupt = await service.get_interrupt(interrupt_id)
        if interrupt is None:
            raise unknown(interrupt_id)
        events = await service.history(interrupt_id)
        now = await server_now(service)
    if as_json:
        write_json({"interrupt": interrupt.to_dict(), "events": [event.to_dict() for event in events]})
        return Code.DONE
    for label, text in _fields(interrupt, now):
        for number, line in enumerate(plain_lines(text)):  # the lines after the first stand below it
            say(f"{'' if number else label:<{LABEL_WIDTH}}{line}")
    say()
    say(counted(len(events), "event"), "bold")
    before = events[0].at if events else now
    for event in events:
        say(_event_line(event, before))
        if content := content_text(event.content):
            say(f"    {content}")
        if event.terms:
            say(f"    terms {json_text(event.terms)}")
        before = event.at
    return Code.DONE


def _fields(interrupt: FlowInterrupt, now: datetime) -> Iterator[tuple[str, str]]:
    """What there is to say, each thing under its name; what is not there is left out."""
    yield "id", interrupt.id
    yield "kind", interrupt.kind.value
    yield "status", interrupt.status.value
    yield "user", interrupt.user_id
    yield "session", interrupt.session_id
    yield "request", interrupt.request_id
    yield "envelope", interrupt.envelope_id or ""
    yield "question", interrupt.question or ""
    yield "message", interrupt.message or ""
    yield "data", _pretty(interrupt.data)
    yield "answer by", " or ".join(interrupt.allowed_responses) or "anything"
    yield "schema", _pretty(interrupt.response_schema)
    yield "created", moment(interrupt.created_at)
    yield "deadline", _deadline(interrupt, now)
    if interrupt.resolved_at is not None:
        waited = span((interrupt.resolved_at - interrupt.created_at).total_seconds())
        yield "closed", f"{moment(interrupt.resolved_at)}, after {waited}"
    yield "closed by", interrupt.resolved_by or ""
    yield "reason", interrupt.reason or ""
    yield "response", _pretty(None if interrupt.response is None else interrupt.response.to_dict())
    yield "trace", " ".join(part for part in (interrupt.trace_id, interrupt.span_id) if part)
    yield "version", str(interrupt.version)
    yield "position", interrupt.position or ""


def _deadline(interrupt: FlowInterrupt, now: datetime) -> str:
    if interrupt.expires_at is None:
        return "none"
    if not interrupt.is_pending:
        return moment(interrupt.expires_at)
    return f"{moment(interrupt.expires_at)}, {left(interrupt.expires_at, now)}"


def _pretty(value: dict[str, Any] | None) -> str:
    return json_text(value, indent=2) if value else ""


def _event_line(event: RecordedEvent, before: datetime) -> str:
    waited = span((event.at - before).total_seconds())
    by = f"  by {plain(event.actor)}" if event.actor else ""
    return f"{moment(event.at)}  {f'+{waited}':<14}{event.version}. {plain(event.type)}{by}"
