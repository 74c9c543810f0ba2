"""Pages by cursor: walked through while others write, bounded, cheap, and refused with a cursor that is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from interrupts import FlowInterrupt, InterruptKind, InterruptService, Page, ValidationError, connect
from interrupts.cursors import encode_cursor, fingerprint
from interrupts.store.lanes import Lanes
from tests.folding import YES, by_hand, counting, ids, place, populate
from tests.servers import sessions, until
from workers import running

Ask = Callable[[str | None], Awaitable[Page[FlowInterrupt]]]
SESSIONS = [f"s{number}" for number in range(4)]
CHECKPOINTS = [InterruptKind.CHECKPOINT]
SCAN_MAX = "interrupts.listing.PAGE_SCAN_MAX"
BYTES_MAX = "interrupts.listing.PAGE_BYTES_MAX"
CHURNERS = 4


def of_session(interrupts: list[FlowInterrupt], session_id: str) -> list[FlowInterrupt]:
    """Those of one session, in the same order."""
    return [interrupt for interrupt in interrupts if interrupt.session_id == session_id]


async def pages(ask: Ask) -> list[Page[FlowInterrupt]]:
    """All pages, from the first to the last."""
    found = [await ask(None)]
    while found[-1].next_cursor is not None:
        found.append(await ask(found[-1].next_cursor))
    return found


async def until_later(service: InterruptService, interrupt: FlowInterrupt) -> None:
    """Returns when whatever is created next, in whichever partition, is not of the same millisecond."""
    while (await service.create_checkpoint("x", "x", "x")).created_at <= interrupt.created_at:
        pass


async def walk(ask: Ask) -> list[str]:
    """The ids on all pages."""
    return [interrupt_id for page in await pages(ask) for interrupt_id in ids(page)]


def test_a_walk_tells_what_was_there_all_along_once_whatever_comes_and_goes(url: str, namespace: str) -> None:
    """While others create, answer and call off, walks by cursor through any list tell each interrupt that stays
    exactly once and in order, and none at all twice."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=4) as others,
            connect(url, namespace=namespace) as service,
            running(service),
        ):
            passed, ended = 0, False

            async def churn(number: int) -> None:
                nonlocal passed
                while not ended:
                    made = [await others.create_checkpoint("r", "u", session) for session in SESSIONS]
                    await others.respond(made[number].id, YES)
                    for interrupt in (*made[:number], *made[number + 1 :]):
                        await others.cancel(interrupt.id)
                    passed += 1

            churning = [asyncio.create_task(churn(number)) for number in range(CHURNERS)]
            stay = [await service.create_checkpoint("r", "u", SESSIONS[number % 4]) for number in range(40)]
            stay.sort(key=place)
            lists: list[tuple[Ask, list[FlowInterrupt]]] = [
                (lambda at: service.list_pending(limit=7, cursor=at), stay),
                (lambda at: service.list_pending("u", request_id="r", limit=7, cursor=at), stay),
                (lambda at: service.list_pending(session_id="s1", limit=3, cursor=at), of_session(stay, "s1")),
                (
                    lambda at: service.list_pending("u", "s2", kinds=CHECKPOINTS, limit=3, cursor=at),
                    of_session(stay, "s2"),
                ),
            ]
            for ask, expected in lists * 2:
                seen = passed
                told = await walk(ask)
                await until(lambda seen=seen: passed > seen, "others write")  # type: ignore[misc]
                assert len(told) == len(set(told))
                assert [one for one in told if one in set(ids(stay))] == ids(expected)
            closed = ids(await service.list_closed("s3", 20))
            told = await walk(lambda at: service.list_closed("s3", 3, at))
            assert len(told) == len(set(told))
            assert [one for one in told if one in closed] == closed
            ended = True
            await asyncio.gather(*churning)

    asyncio.run(main())


def test_combined_filters_look_at_a_bounded_number_a_call_and_go_on(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where few of many match, a page may be short or empty and goes on: nothing is lost, nothing told twice, and no
    call looks at more than the bound."""
    monkeypatch.setattr(SCAN_MAX, 4)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, running(service):
            wanted, users, limit = [], 0, 2
            for number in range(93):
                matches, odd = number % 31 == 0, number % 2 == 1
                user, request = ("u" if matches or odd else "x"), ("r" if matches or not odd else "x")
                made = await service.create_checkpoint(request, user, SESSIONS[number % 4])
                wanted += [made] if matches else []
                users += user == "u"
            found = await pages(lambda at: service.list_pending("u", None, "r", limit=limit, cursor=at))
            assert [one for page in found for one in page] == sorted(wanted, key=place)
            assert any(not page for page in found[:-1])
            assert len(found) >= users / service.log.partitions / (4 + limit)
            told = await walk(lambda at: service.list_pending("u", "s0", "r", limit=limit, cursor=at))
            assert told == ids(of_session(wanted, "s0"))

    asyncio.run(main())


def test_a_later_one_is_not_told_before_an_earlier_one_that_is_long_to_find(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one partition has many others in front of its match, the other partition's later match waits for it."""
    monkeypatch.setattr(SCAN_MAX, 4)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, running(service):
            near, far = sessions(service)
            for _ in range(20):
                await service.create_checkpoint("x", "u", far)
                await service.create_checkpoint("r", "x", far)
            made = [await service.create_checkpoint("r", "u", far)]
            await service.create_checkpoint("x", "x", far)
            await until_later(service, made[0])
            made.append(await service.create_checkpoint("r", "u", near))
            assert await walk(lambda at: service.list_pending("u", request_id="r", limit=2, cursor=at)) == ids(made)

    asyncio.run(main())


def test_a_page_ends_at_its_bound_of_bytes(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large interrupts make short pages, of one at least, and without the last one always below the bound; walked
    through they are all told once, in order."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, running(service):
            made = [
                await service.create_interrupt("checkpoint", "r", "u", SESSIONS[number % 4], data={"a": "x" * 999})
                for number in range(9)
            ]
            made.sort(key=place)
            for one in made:
                await service.create_checkpoint("another", "u", one.session_id)
            lists: list[tuple[Ask, list[FlowInterrupt]]] = [
                (lambda at: service.list_pending(request_id="r", cursor=at), made),
                (lambda at: service.list_pending(session_id="s0", request_id="r", cursor=at), of_session(made, "s0")),
            ]
            for bound, longest in ((1, 1), (1_100, 1), (3_000, 3), (10_000_000, 9)):
                monkeypatch.setattr(BYTES_MAX, bound)
                for ask, expected in lists:
                    found = await pages(ask)
                    assert [one for page in found for one in page] == expected
                    most = min(longest, len(expected))
                    assert most - 1 <= max(map(len, found)) <= most

    asyncio.run(main())


def test_a_page_of_one_partition_is_one_round_trip_and_of_all_two(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many interrupts are on it, on the first page and on the next ones, closed or pending."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            there = await populate(service)
            await worker.fold()
            await worker.end()
            cursor = (await service.list_pending(limit=9)).next_cursor
            await service.list_closed("s0")  # from now on the server knows both scripts
            calls = counting(monkeypatch, Lanes, "call")

            async def cost(asked: Awaitable[Any], expected: list[FlowInterrupt]) -> int:
                calls.clear()
                assert await asked == expected
                return len(calls)

            assert await cost(service.get_pending_for_session("s0"), of_session(there.pending, "s0")) == 1
            assert await cost(service.list_pending(session_id="s0", limit=1), of_session(there.pending, "s0")[:1]) == 1
            assert await cost(service.list_closed("s0"), of_session(there.closed, "s0")[::-1]) == 1
            assert await cost(service.list_pending(limit=1_000), there.pending) == 2
            assert await cost(service.list_pending(limit=9, cursor=cursor), there.pending[9:18]) == 2
            assert await cost(service.list_pending("u0", request_id="r0"), there.filtered("u0", None, "r0")) == 2
            assert await cost(service.list_pending("nobody"), []) == 1

    asyncio.run(main())


async def wrong_cursors(service: InterruptService) -> list[tuple[Any, str]]:
    """Cursors that can't be used for the first two of all, and what is said."""
    foreign = [
        (await service.list_pending(limit=2, session_id="s0")).next_cursor,
        (await service.list_pending("u", limit=2)).next_cursor,
        (await service.list_pending(limit=2, kinds=["checkpoint"])).next_cursor,
        (await service.list_closed("s0", limit=2)).next_cursor,
        encode_cursor(fingerprint(["pending", [[f"kind:{kind.value}" for kind in InterruptKind]]]), {99: 1}),
    ]
    assert None not in foreign
    none = ["", "nonsense", "ü", "x" * 20_000, 7, b"", "gqo", encode_cursor(0, {0: -1})]
    return [(cursor, "belongs to another list") for cursor in foreign] + [(cursor, "is none") for cursor in none]


def test_a_cursor_that_is_none_or_another_list_s_is_refused(url: str, namespace: str) -> None:
    """Whatever else is passed as a cursor is a `ValidationError` that names the argument, and never a wrong page."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, running(service):
            made = [await service.create_checkpoint("r", "u", "s0") for _ in range(8)]
            for one in made[:4]:
                await service.cancel(one.id)
            for cursor, said in await wrong_cursors(service):
                with pytest.raises(ValidationError, match=f"cursor: .*{said}") as refused:
                    await service.list_pending(limit=2, cursor=cursor)
                assert refused.value.field == "cursor"

    asyncio.run(main())


def test_a_cursor_fits_the_same_kinds_in_any_order(url: str, namespace: str) -> None:
    """Kinds are a set: said in another order, twice or by an old name, they are the same list."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=2) as service, running(service):
            made = [await service.create_checkpoint("r", "u", SESSIONS[number % 4]) for number in range(5)]
            first = await service.list_pending(kinds=["checkpoint", "agent_review"], limit=2)
            more = ["critic_review", InterruptKind.CHECKPOINT, "agent_review"]
            rest = await service.list_pending(kinds=more, cursor=first.next_cursor)
            assert first + rest == sorted(made, key=place)

    asyncio.run(main())
