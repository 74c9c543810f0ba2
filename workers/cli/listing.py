"""`list`: what is pending, oldest first, or what was closed in a session, the last one first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from interrupts import FlowInterrupt, InterruptService
from interrupts.pages import Page
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected, server_now
from workers.cli.screen import note, show_table, write_json
from workers.cli.text import left, moment, plain

PENDING_HEAD = ("id", "kind", "user", "session", "request", "created", "deadline", "question")
CLOSED_HEAD = ("id", "kind", "status", "user", "request", "closed", "by", "question")


class Asked(msgspec.Struct, frozen=True):
    """What is to be listed."""

    user_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    kinds: Sequence[str] | None = None
    closed_of: str | None = None
    limit: int = 100
    cursor: str | None = None
    wait: bool = True


async def list_them(where: Where, asked: Asked, *, as_json: bool) -> Code:
    """One page. Where it goes on is said on stderr, or in the document. Raises as the service's lists do."""
    async with connected(where) as service:
        page = await _page(service, asked)
        now = await server_now(service)
    if as_json:
        write_json({"interrupts": [each.to_dict() for each in page], "next_cursor": page.next_cursor})
        return Code.DONE
    if page and asked.closed_of is None:
        show_table(PENDING_HEAD, [_pending_row(each, now) for each in page])
    elif page:
        show_table(CLOSED_HEAD, [_closed_row(each) for each in page])
    elif page.next_cursor is None:
        nothing = "Nothing is pending." if asked.closed_of is None else "Nothing was closed in this session."
        note(nothing if asked.wait else f"{nothing} (So says the list as it is; it may be old.)")
    if page.next_cursor is not None:
        note(f"There may be more. Go on with the same filters and: --cursor {page.next_cursor}")
    return Code.DONE


async def _page(service: InterruptService, asked: Asked) -> Page[FlowInterrupt]:
    if asked.closed_of is not None:
        return await service.list_closed(asked.closed_of, asked.limit, asked.cursor, wait=asked.wait)
    return await service.list_pending(
        asked.user_id, asked.session_id, asked.request_id, asked.kinds, asked.limit, asked.cursor, wait=asked.wait
    )


def _pending_row(interrupt: FlowInterrupt, now: datetime) -> list[str]:
    return [
        *(interrupt.id, interrupt.kind.value, interrupt.user_id, interrupt.session_id, interrupt.request_id),
        *(moment(interrupt.created_at), left(interrupt.expires_at, now), asks(interrupt)),
    ]


def _closed_row(interrupt: FlowInterrupt) -> list[str]:
    closed_at = interrupt.resolved_at
    return [
        *(interrupt.id, interrupt.kind.value, interrupt.status.value, interrupt.user_id, interrupt.request_id),
        *("" if closed_at is None else moment(closed_at), interrupt.resolved_by or "", asks(interrupt)),
    ]


def asks(interrupt: FlowInterrupt) -> str:
    """What it says to whoever is to answer, on one line."""
    return plain(" / ".join(text for text in (interrupt.question, interrupt.message) if text))
