"""Creations that are let in by the rate limits together, and then appended together with something else.

The gate (see `gate`) lets each in on its own, has it appended, and settles what became of it. Here it has each of them
appended by us: it is told what became of it when the step in which all are written has come to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from interrupts.cases import Case, created_by
from interrupts.errors import RateLimitedError, UnavailableError
from interrupts.gate import Gate, Refusal
from interrupts.store.log import Appended


class Entering:
    """The creations of one step, on their way through the gate. `leave` must be called at its end."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._let_in: dict[int, asyncio.Future[Appended]] = {}
        self._tasks: list[asyncio.Task[Appended | Refusal]] = []

    async def ask(self, cases: Sequence[Case]) -> None:
        """Asks for all creations among these: each is let in, on terms, or is refused. Raises `UnavailableError`."""
        asked = [(case, *self._at_the_gate(case)) for case in cases if case.creates]
        for case, task, terms in asked:
            await asyncio.wait((task, terms), return_when=asyncio.FIRST_COMPLETED)
            if terms.done():
                case.written.terms = terms.result()
                continue
            outcome = task.result()
            if isinstance(outcome, Refusal):
                user_id = created_by(case).user_id
                case.event, case.written.terms, case.written.event = None, "", b""
                case.refuse(
                    RateLimitedError(
                        f"User {user_id[:64]!r} may not create an interrupt now. {outcome.result.reason} Nothing was "
                        "written.",
                        result=outcome.result,
                    )
                )
            # Else somebody has made it this moment: the step ends before it, and it is decided anew.

    def appended(self, case: Case, what: Appended) -> None:
        """This one is in the log."""
        waiting = self._let_in.pop(id(case), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(what)

    async def leave(self, error: UnavailableError | None = None) -> None:
        """The others are not, or nobody knows, as the error says. Returns when all is settled."""
        for waiting in self._let_in.values():
            if not waiting.done():
                waiting.set_exception(error or UnavailableError("The step ended before this one. Nothing was written."))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _at_the_gate(self, case: Case) -> tuple[asyncio.Task[Appended | Refusal], asyncio.Future[str]]:
        loop = asyncio.get_running_loop()
        let_in: asyncio.Future[str] = loop.create_future()

        def append(_id: str, _event: bytes, terms: str, _ttl_ms: int | None) -> asyncio.Future[Appended]:
            let_in.set_result(terms)
            waiting = self._let_in[id(case)] = loop.create_future()
            return waiting

        task = asyncio.ensure_future(self._gate.append(created_by(case), case.written.event, None, append))
        self._tasks.append(task)
        return task, let_in
