"""The guided tour: real interrupts in a real store, created, answered, refused and explained, in a few seconds.

It has a namespace of its own and makes new sessions each time, so it can be run as often as one likes, against any
server, and disturbs nobody. What it leaves waiting it calls off at its end.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Awaitable
from datetime import timedelta
from pathlib import Path
from typing import Final, TextIO

from interrupts import (
    ConflictError,
    FlowInterrupt,
    InterruptResponse,
    InterruptsError,
    InterruptService,
    RecordedEvent,
    connect,
)
from interrupts.open_log import EMBEDDED_FOLDER, URL_VARIABLE
from interrupts.store.urls import parse
from workers.page import Page
from workers.within import running

NAMESPACE: Final = "tour"
OVERDUE_AFTER_S: Final = 0.3
LOOK_EVERY_S: Final = 0.05
LOOKS_MAX: Final = 100
EU: Final = InterruptResponse(text="eu, at night")


async def tour(out: TextIO | None = None) -> None:
    """Takes the visitor round once. Raises what `connect()` raises."""
    page = Page(out or sys.stdout)
    where, after = _place()
    page.text("A tour of interrupts: durable pauses, and the answers to them.", where)
    async with connect(namespace=NAMESPACE) as service, running(service):
        await Tour(page, service).walk()
    page.step("What next?", "The same from your own code:")
    page.text("    from interrupts import connect", "", "    async with connect() as service:")
    page.text('        pause = await service.create_confirmation("req-1", "ada", "chat-1", "Send the mail?")', "")
    page.text(after, "README.md tells the rest.")


def _place() -> tuple[str, str]:
    """Where `connect()` keeps the data when it is told nothing, and what becomes of it."""
    told = os.environ.get(URL_VARIABLE)
    target = parse(told or (f"embedded://{EMBEDDED_FOLDER}" if shutil.which("redis-server") else "memory://"))
    match target.sort:
        case "memory":
            where = "It happens in this process's memory (memory://): fine for a tour, and gone at its end."
            return where, f"To keep what is written, install redis-server, or set {URL_VARIABLE} to a server's url."
        case "embedded":
            folder = Path(target.name).absolute()
            where = f"The data is in {folder}: a private redis-server runs there while somebody uses it."
            return where, f"The data stays in {folder}. For a server of yours: connect(url), or {URL_VARIABLE}."
    return f"The data is on the server at {target.where}, as {URL_VARIABLE} says.", "The data stays on that server."


class Tour:
    """The steps, in order. An agent releases a shop: ada runs it, grace helps, mallory should not."""

    def __init__(self, page: Page, service: InterruptService) -> None:
        self._page = page
        self._service = service
        self._session = f"tour-{secrets.token_hex(4)}"
        self._partition = service.log.partition_of(self._session)

    async def walk(self) -> None:
        """All of them."""
        self._began = await self._service.log.last(self._partition)
        region, release, overdue = await self._pause()
        await self._look()
        await self._list()
        await self._answer(region)
        await self._refuse(release)
        await self._repeat(region)
        await self._let_it_expire(overdue)
        await self._race(release)
        await self._history(release)
        await self._call_off()

    async def _pause(self) -> tuple[FlowInterrupt, FlowInterrupt, FlowInterrupt]:
        self._page.step("An agent pauses", "Each kind has its deadline and form of answer. What returns is in the log.")
        service, who = self._service, ("release-7", "ada", self._session)
        region = await service.create_clarification(*who, "Which region goes first?", context={"options": ["eu", "us"]})
        release = await service.create_confirmation(*who, "Release 7.0.2 to everybody?", action_data={"hosts": 15})
        review = await service.create_agent_review(*who, "Is this migration safe?", review_data={"tables": ["orders"]})
        saved = await service.create_checkpoint(*who, "All hosts are drained", state={"drained": 15})
        overdue = await service.create_confirmation(*who, "Keep 7.0.1 warm?", ttl_seconds=OVERDUE_AFTER_S)
        for interrupt in (region, release, review, saved, overdue):
            self._page.done(_in_a_line(interrupt))
        return region, release, overdue

    async def _look(self) -> None:
        self._page.step("What is there?", "The log has each event of the session, in order. It alone is the truth.")
        for event in await self._events():
            kind = "" if event.kind is None else event.kind.value
            self._page.text(f"{event.position:<24}{event.type:<20}{kind:<16}{_short(event.interrupt_id)}")

    async def _list(self) -> None:
        self._page.step(
            "Who waits for what?", "Lists are views of the log. A worker keeps them up to date: here, in this process."
        )
        for interrupt in await self._service.list_pending(user_id="ada", session_id=self._session):
            self._page.text(
                f"{interrupt.kind.value:<16}{_short(interrupt.id)}  {interrupt.question or interrupt.message}"
            )

    async def _answer(self, region: FlowInterrupt) -> None:
        self._page.step("Somebody answers", "The answer resolves it, and who and when are written down with it.")
        done = await self._service.respond(region.id, EU, user_id="ada", command_id="click-1")
        assert done is not None
        self._page.done(f"{done.status.value} by {done.resolved_by}: {EU.text!r}, version {done.version}")

    async def _refuse(self, release: FlowInterrupt) -> None:
        self._page.step("Answers that don't count", "A refusal says why, and changes nothing: it still waits.")
        respond = self._service.respond
        await self._is_refused("mallory", respond(release.id, InterruptResponse(approved=True), user_id="mallory"))
        await self._is_refused("ada, in words", respond(release.id, InterruptResponse(text="sure"), user_id="ada"))

    async def _repeat(self, region: FlowInterrupt) -> None:
        self._page.step(
            "A retry is free", "Sent again with its key or command id, a call changes nothing and succeeds."
        )
        again = await self._service.respond(region.id, EU, user_id="ada", command_id="click-1")
        assert again is not None
        self._page.done(
            f"ada's click again: {again.status.value} by {again.resolved_by}, still version {again.version}"
        )
        first, second = await self._ticket("Open a ticket?"), await self._ticket("Open a ticket?")
        same = "the same interrupt" if first.id == second.id else "ANOTHER interrupt"
        self._page.done(f"a creation again, with its key: {same}, {_short(second.id)}")
        await self._is_refused("its key with another body", self._ticket("Close all tickets?"))

    async def _let_it_expire(self, overdue: FlowInterrupt) -> None:
        self._page.step("A deadline is a deadline", "After it no answer counts. The clock is the server's.")
        now = overdue
        for _ in range(LOOKS_MAX):
            now = await self._get(overdue.id)
            if not now.is_pending:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        self._page.done(f"it reads as {now.status.value}: {now.reason}")
        late = self._service.respond(overdue.id, InterruptResponse(approved=True), user_id="ada")
        await self._is_refused("ada's late answer", late)

    async def _race(self, release: FlowInterrupt) -> None:
        self._page.step("Two answers at once", "Of however many, exactly one wins, and each other one is told who did.")
        sent = {"ada": InterruptResponse(approved=True), "grace": InterruptResponse(approved=False)}
        calls = [self._service.respond(release.id, response, actor=actor) for actor, response in sent.items()]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for actor, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, ConflictError):
                self._page.refused(actor, outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                self._page.done(f"{actor} won: approved={sent[actor].approved}")

    async def _history(self, release: FlowInterrupt) -> None:
        self._page.step("What happened?", "The history of one interrupt, as it can be proved afterwards.")
        events = await self._service.history(release.id)
        for before, event in zip([events[0], *events], events, strict=False):
            waited_ms = (event.at - before.at) / timedelta(milliseconds=1)
            by = f" by {event.actor}" if event.actor else ""
            self._page.text(f"{event.at:%H:%M:%S} +{waited_ms:5,.0f} ms  {event.type}{by}  {event.content}")

    async def _call_off(self) -> None:
        self._page.step("The rest is called off", "A cancellation is an outcome like any other, with its reason.")
        for interrupt_id in dict.fromkeys(event.interrupt_id for event in await self._events()):
            if (await self._get(interrupt_id)).is_pending:
                await self._service.cancel(interrupt_id, "the tour is over", actor="tour")
            left = await self._get(interrupt_id)
            self._page.text(f"{_short(interrupt_id)}  {left.kind.value:<16}{left.status.value:<10}{left.reason or ''}")

    def _ticket(self, question: str) -> Awaitable[FlowInterrupt]:
        return self._service.create_clarification("audit-1", "ada", self._session, question, idempotency_key="ticket-1")

    async def _is_refused(self, who: str, call: Awaitable[object]) -> None:
        try:
            await call
        except InterruptsError as error:
            self._page.refused(who, error)
        else:
            raise AssertionError(f"{who}: this should have been refused")

    async def _get(self, interrupt_id: str) -> FlowInterrupt:
        interrupt = await self._service.get_interrupt(interrupt_id)
        assert interrupt is not None  # it was created here
        return interrupt

    async def _events(self) -> list[RecordedEvent]:
        """The events of this tour, oldest first."""
        events = await self._service.log.range(self._partition, after=self._began)
        return [event for event in events if event.session_id == self._session]


def _short(interrupt_id: str) -> str:
    """The end of an id: its beginning is the same for all that one session makes at one time."""
    return f"..{interrupt_id[-8:]}"


def _in_a_line(interrupt: FlowInterrupt) -> str:
    form = " or ".join(interrupt.allowed_responses) or "anything"
    what = interrupt.question or interrupt.message
    return f"{interrupt.kind.value:<16}{_short(interrupt.id)}  {what:<32}answer: {form:<10}{_within(interrupt)}"


def _within(interrupt: FlowInterrupt) -> str:
    if interrupt.expires_at is None:
        return "no deadline"
    seconds = (interrupt.expires_at - interrupt.created_at).total_seconds()
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"within {seconds / size:g} {unit}"
    return f"within {seconds:g} s"
