"""Read your writes: a list shows what was written before it, by waiting for the view, or says why it can't."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import (
    Counts,
    FlowInterrupt,
    Position,
    ValidationError,
    ViewBehindError,
    connect,
)
from interrupts.store.server import Server
from tests.conftest import until_expired
from tests.folding import AT_ONCE, SHORT_S, YES, by_hand, counting, every_list, ids
from tests.only_folding import running
from tests.servers import until

TASKS = 8
ROUNDS = 3
SESSIONS = [f"s{number}" for number in range(4)]


@pytest.mark.parametrize("own_worker", [True, False], ids=["own worker", "another's worker"])
def test_what_a_task_has_just_written_its_next_list_shows(url: str, namespace: str, own_worker: bool) -> None:
    """Many tasks, each with its sessions: after every creation, answer and cancellation every list agrees at once."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=4) as service,
            connect(url, namespace=namespace) as another,
            running(service if own_worker else another),
        ):

            async def work(session: str) -> None:
                closed: list[FlowInterrupt | None] = []
                for number in range(ROUNDS):
                    request = f"{session}-{number}"
                    first = await service.create_checkpoint(request, session, session)
                    assert await service.get_pending_for_session(session) == [first]
                    second = await service.create_confirmation(request, session, session, "?")
                    assert await service.list_pending(session) == [first, second]
                    closed.insert(0, await service.respond(second.id, YES))
                    assert await service.list_pending(request_id=request) == [first]
                    closed.insert(0, await service.cancel(first.id))
                    assert await service.get_pending_for_request(request) is None
                    assert await service.list_closed(session) == closed

            await asyncio.gather(*(work(f"session {number}") for number in range(TASKS)))
            counts = await service.counts()
            assert counts.of("pending") == 0
            assert counts.of("resolved") == counts.of("cancelled") == TASKS * ROUNDS

    asyncio.run(main())


def test_what_expire_pending_closed_the_closed_list_shows(url: str, namespace: str) -> None:
    """The events that `expire_pending` wrote count as this service's writes."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, running(service):
            for number in range(1, 4):
                late = await service.create_confirmation("r", "u", "s", "?", ttl=AT_ONCE)
                await until_expired(service, late.id)
                assert await service.expire_pending() == 1
                assert (await service.list_closed("s"))[0].id == late.id
                assert (await service.counts()).of("expired") == number

    asyncio.run(main())


def test_a_list_waits_until_its_view_has_been_folded(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked while a worker is there and behind, each list returns only when what was written is in it."""
    asked = counting(monkeypatch, Server, "read_all")

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            for call in every_list(service):
                await worker.attend()
                made = await service.create_checkpoint("r", "u", "s0")
                asked.clear()
                waiting = asyncio.create_task(call())
                await until(lambda: len(asked) > 3, "the list asks again and again")
                assert not waiting.done()
                await worker.fold()
                await waiting
                await service.cancel(made.id)

    asyncio.run(main())


def test_another_process_s_position_is_waited_for(url: str, namespace: str) -> None:
    """With `after`, a position as text or parsed, or the interrupt or event itself, a service shows what another one
    wrote; without, what is folded."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace) as writer,
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as hasty,
            connect(url, namespace=namespace) as patient,
            by_hand(writer) as worker,
        ):
            await worker.attend()
            await worker.fold()
            first = await writer.create_checkpoint("r", "u", "s")
            await worker.fold()
            second = await writer.create_checkpoint("r", "u", "s")
            event = (await writer.history(second.id))[0]
            assert second.position == event.position is not None
            assert await hasty.list_pending() == [first]
            forms: list[Any] = [second.position, Position.parse(event.position), second, event]
            forms += [[first.position, event], [second, first], {event.position}]
            for after in forms:
                with pytest.raises(ViewBehindError):
                    await hasty.get_pending_for_session("s", after=after)
            waiting = [asyncio.create_task(patient.get_pending_for_session("s", after=after)) for after in forms]
            await worker.fold()
            assert await asyncio.gather(*waiting) == [[first, second]] * len(forms)
            assert await hasty.list_pending(after=forms[0]) == [first, second]

    asyncio.run(main())


def test_positions_of_several_partitions_are_waited_for_where_they_matter(url: str, namespace: str) -> None:
    """A list over all partitions waits for each of them; a session's list for its own partition's alone."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace) as writer,
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as reader,
            by_hand(writer) as worker,
        ):
            await worker.attend()
            made = [await writer.create_checkpoint("r", "u", session) for session in SESSIONS]
            assert len({reader.log.partition_of(session) for session in SESSIONS}) > 2
            await worker.fold()
            later = await writer.create_checkpoint("r", "u", "s3")
            positions = [one.position or "" for one in (*made, later)]
            for after in (positions, positions[::-1]):
                with pytest.raises(ViewBehindError) as behind:
                    await reader.list_pending("u", after=after)
                assert behind.value.partition == reader.log.partition_of("s3")
                assert await reader.get_pending_for_session("s0", after=after) == [made[0]]
            assert ids(await reader.list_pending("u", after=positions[:4])) == ids(
                await reader.list_pending("u", wait=False)
            )
            await worker.fold()
            assert set(ids(await reader.list_pending("u", after=positions))) == set(ids([*made, later]))

    asyncio.run(main())


def test_a_caller_can_opt_out(url: str, namespace: str) -> None:
    """With `wait=False` every list is what the views have, at once: nothing before the first fold, then the old."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            made = await service.create_checkpoint("r", "u", "s0")
            told = [await call(wait=False) for call in every_list(service)]
            assert told[:2] + told[3:] == [[], [], None, [], [], Counts({})]
            assert (told[2].items, told[2].total, told[2].has_next) == ([], 0, False)
            await worker.fold()
            await service.create_checkpoint("r", "u", "s0")
            for after in (None, made.position):
                told = [await call(wait=False, after=after) for call in every_list(service)]
                assert told[:2] + told[3:5] == [[made], [made], made, [made]]
                assert (told[2].items, told[2].total, told[6].of("pending")) == ([made], 1, 1)

    asyncio.run(main())


def test_what_a_retry_found_done_its_list_shows(url: str, namespace: str) -> None:
    """The reply to a known idempotency key or command id is like a write: the next list waits for what it told."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace) as first,
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as creator,
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as answerer,
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as nobody,
            by_hand(first) as worker,
        ):
            await worker.attend()
            await worker.fold()
            made = await first.create_confirmation("r", "u", "s", "?", idempotency_key="k")
            assert await creator.create_confirmation("r", "u", "s", "?", idempotency_key="k") == made
            with pytest.raises(ViewBehindError):
                await creator.list_pending()
            assert await nobody.list_pending() == []
            await worker.fold()
            assert await creator.list_pending() == [made]
            answered = await first.respond(made.id, YES, command_id="c")
            assert await answerer.respond(made.id, YES, command_id="c") == answered
            with pytest.raises(ViewBehindError):
                await answerer.list_closed("s")
            assert await nobody.list_closed("s") == []
            await worker.fold()
            assert await answerer.list_closed("s") == [answered]

    asyncio.run(main())


@pytest.mark.parametrize("after", ["nonsense", 7, ["0:1-0", "1-0"], [None], "0:1", "16:1-0", [["0:1-0"]]])
def test_a_position_that_is_none_is_refused(url: str, namespace: str, after: Any) -> None:
    """Whatever can't be a position of this namespace is a `ValidationError`, before anything is asked."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            for call in every_list(service):
                with pytest.raises(ValidationError, match=r"^after: ") as refused:
                    await call(after=after)
                assert refused.value.field == "after"

    asyncio.run(main())
