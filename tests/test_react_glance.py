"""A quick look at an event tells what decoding it does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interrupts import CorruptLogError, InterruptResponse, connect
from interrupts.codec import encode
from interrupts.events import About, Published
from interrupts.glance import glance
from tests.raw import raw

ODD = ['s"s', "s\\s", "s\\", '"', "\u2028", "ä", "\U0001f600", "s,[]{}", "s\ts"]
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20) | st.sampled_from(ODD)


@given(texts, texts, texts, st.dictionaries(texts, texts, max_size=3))
def test_of_what_was_published_it_tells_the_name_and_the_order(order: str, request: str, user: str, data: Any) -> None:
    """Whatever characters are in it."""
    event = Published("a.b.c", order, request, user, data, About("c", None))
    assert glance(encode(event)) == ("a.b.c", order)


@pytest.mark.parametrize("session", [odd for odd in ODD if odd.isprintable()])
def test_of_an_interrupts_event_it_tells_the_type_and_the_session(session: str) -> None:
    """Of each sort that there is, as the log has it."""

    async def main() -> None:
        async with connect("memory://", partitions=1) as service:
            for how in ("respond", "cancel", "expire"):
                pause = await service.create_confirmation(
                    '"r', "u\\", session, '"?', ttl_seconds=0.001 if how == "expire" else 60
                )
                if how == "respond":
                    await service.respond(pause.id, InterruptResponse(approved=True), user_id="u\\")
                elif how == "cancel":
                    await service.cancel(pause.id, '"no\\')
            while not await service.expire_pending():
                pass
            entries = await raw(service, "XRANGE", service.store.keys.logs[0], "-", "+")
            events = await service.log.range(0)
            assert [glance(entry[1][-1]) for entry in entries] == [(event.type, session) for event in events]

    asyncio.run(main())


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda some: b'["' + some))
def test_what_is_no_event_is_refused_or_has_a_name(raw_event: bytes) -> None:
    """Nothing else is raised, whatever bytes there are."""
    try:
        name, session = glance(raw_event)
    except CorruptLogError:
        return
    assert isinstance(name, str)
    assert isinstance(session, str)
