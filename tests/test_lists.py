"""The lists against a plain loop over the same interrupts: filters, order, what is closed, how many there are."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

import pytest

from interrupts import (
    Counts,
    InterruptKind,
    InterruptService,
    InterruptServiceProtocol,
    InterruptStatus,
    Page,
    ValidationError,
    connect,
)
from tests.conftest import until_expired
from tests.folding import AT_ONCE, YES, ids, place, populate
from tests.only_folding import running

SESSIONS = [f"s{number}" for number in range(4)]
KINDS: list[tuple[Any, set[InterruptKind] | None]] = [
    (None, None),
    ([InterruptKind.CONFIRMATION], {InterruptKind.CONFIRMATION}),
    (("checkpoint", InterruptKind.TIMEOUT), {InterruptKind.CHECKPOINT, InterruptKind.TIMEOUT}),
    (["critic_review", "agent_review"], {InterruptKind.AGENT_REVIEW}),
    (list(InterruptKind), set(InterruptKind)),
]


def test_every_combination_of_filters_finds_what_a_plain_loop_finds(url: str, namespace: str) -> None:
    """User, session, request and kinds, alone and together, known and unknown: the same interrupts, oldest first."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service, running(service):
            there = await populate(service)
            users, sessions, requests = (None, "u0", "nobody"), (None, "s0"), (None, "r0")
            seen = 0
            for user, session, request, (kinds, meant) in itertools.product(users, sessions, requests, KINDS):
                found = await service.list_pending(user, session, request, kinds)
                assert found == there.filtered(user, session, request, meant), (user, session, request, kinds)
                assert found.next_cursor is None
                seen += len(found)
            assert seen > len(there.pending)

    asyncio.run(main())


def test_the_named_lists_are_the_general_one_s(url: str, namespace: str) -> None:
    """A session's list, of all kinds or some, and a request's first one agree with the plain loop."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service, running(service):
            there = await populate(service)
            for session, (kinds, meant) in itertools.product([*SESSIONS, "unknown"], KINDS):
                found = await service.get_pending_for_session(session, kinds)
                assert found == there.filtered(session_id=session, kinds=meant)
                assert found.next_cursor is None
            for request in ("r0", "r1", "r2", "unknown"):
                first = next(iter(there.filtered(request_id=request)), None)
                assert await service.get_pending_for_request(request) == first

    asyncio.run(main())


@pytest.mark.parametrize("partitions", [1, 16])
def test_creation_order_is_kept_within_one_millisecond(url: str, namespace: str, partitions: int) -> None:
    """Many creations in the same millisecond: a session's list has the order of the log, the whole list that of all
    logs together, and asked again it is the same."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=partitions) as service, running(service):
            create = (service.create_checkpoint("r", "u", SESSIONS[number % 4]) for number in range(80))
            made = await asyncio.gather(*create)
            assert len({one.created_at for one in made}) < len(made) / 2
            for number, session in enumerate(SESSIONS):
                assert await service.get_pending_for_session(session) == made[number::4]
            assert await service.list_pending() == sorted(made, key=place) == await service.list_pending()

    asyncio.run(main())


def test_a_kind_s_old_name_lists_its_new_ones(url: str, namespace: str) -> None:
    """What was created as `critic_review` or as `agent_review` is listed under both names, once."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, running(service):
            old = await service.create_interrupt("critic_review", "r", "u", "s")
            new = await service.create_agent_review("r", "u", "s", "Look at this.")
            await service.create_checkpoint("r", "u", "s")
            for kinds in (["critic_review"], ["agent_review"], ["critic_review", InterruptKind.AGENT_REVIEW]):
                assert await service.list_pending(kinds=kinds) == [old, new]
                assert await service.get_pending_for_session("s", kinds) == [old, new]

    asyncio.run(main())


def test_a_request_s_next_one_follows_when_the_first_is_closed_or_overdue(url: str, namespace: str) -> None:
    """The oldest that still waits, whichever session it is in; None when none does."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, running(service):
            overdue = await service.create_confirmation("r", "u", "s0", "?", ttl=AT_ONCE)
            await until_expired(service, overdue.id)
            first = await service.create_confirmation("r", "u", "s1", "?")
            await service.create_confirmation("another", "u", "s1", "?")
            second = await service.create_confirmation("r", "u", "s2", "?")
            assert await service.get_pending_for_request("r") == first
            await service.respond(first.id, YES)
            assert await service.get_pending_for_request("r") == second
            await service.cancel(second.id)
            assert await service.get_pending_for_request("r") is None

    asyncio.run(main())


def test_a_session_s_closed_ones_come_newest_first_on_pages(url: str, namespace: str) -> None:
    """Answered, called off and expired ones of the session alone, by their end, in pages of any length."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service, running(service):
            there = await populate(service)
            for session in SESSIONS:
                newest_first = [one for one in reversed(there.closed) if one.session_id == session]
                assert await service.list_closed(session) == newest_first
                for limit in (1, 3, len(newest_first)):
                    page = await service.list_closed(session, limit)
                    found = list(page)
                    while page.next_cursor is not None:
                        page = await service.list_closed(session, limit, page.next_cursor)
                        assert len(page) <= limit
                        found += page
                    assert found == newest_first
            assert await service.list_closed("unknown") == []

    asyncio.run(main())


def test_a_session_s_closed_list_keeps_the_newest_only(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the first closed leave the list, each session's for itself; the interrupts stay."""
    monkeypatch.setattr("projections.closed.CLOSED_PER_SESSION_MAX", 3)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, running(service):
            made = [await service.create_checkpoint("r", "u", session) for session in ("a", "b") * 5]
            for interrupt in made[:-2]:
                await service.cancel(interrupt.id)
            assert ids(await service.list_closed("a")) == ids([made[6], made[4], made[2]])
            assert ids(await service.list_closed("b")) == ids([made[7], made[5], made[3]])
            assert await service.get_interrupt(made[0].id) is not None

    asyncio.run(main())


def test_the_counts_are_those_of_a_plain_loop(url: str, namespace: str) -> None:
    """By kind and status, with the overdue ones among the pending and told apart, and the oldest that still waits."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, running(service):
            assert await service.counts() == Counts({})
            there = await populate(service)
            expected = Counter((one.kind, one.status) for one in (*there.pending, *there.closed, *there.overdue))
            before = await service.create_checkpoint("r", "u", "s0")
            expected[before.kind, before.status] += 1
            counts = await service.counts()
            after = await service.create_checkpoint("r", "u", "s0")
            oldest = there.pending[0].created_at
            assert (counts.overdue, counts.oldest_pending_at) == (len(there.overdue), oldest)
            assert counts.oldest_pending_age_s is not None
            least, most = ((one.created_at - oldest).total_seconds() for one in (before, after))
            assert least <= counts.oldest_pending_age_s <= most
            for kind, status in itertools.product(InterruptKind, InterruptStatus):
                assert counts.of(status, kind) == counts.of(status.value, kind.value) == expected[kind, status]
            for status in InterruptStatus:
                assert counts.of(status) == sum(expected[kind, status] for kind in InterruptKind)

    asyncio.run(main())


def test_counts_without_anything_pending_have_no_age(url: str, namespace: str) -> None:
    """Where all is closed or overdue, no oldest one is told."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, running(service):
            closed = await service.create_checkpoint("r", "u", "s0")
            await service.cancel(closed.id)
            overdue = await service.create_confirmation("r", "u", "s1", "?", ttl=AT_ONCE)
            await until_expired(service, overdue.id)
            counts = await service.counts()
            assert (counts.oldest_pending_at, counts.oldest_pending_age_s, counts.overdue) == (None, None, 1)
            assert (counts.of("pending"), counts.of("cancelled")) == (1, 1)
            await service.expire_pending()
            counts = await service.counts()
            assert (counts.of("pending"), counts.of("expired"), counts.overdue) == (0, 1, 0)

    asyncio.run(main())


def test_what_can_t_be_asked_for_is_refused_by_name(url: str, namespace: str) -> None:
    """Each argument of a list, with what it can't be: a `ValidationError` that names it."""
    wrong: dict[str, tuple[str, list[Any]]] = {
        "limit": ("limit", [0, -1, 1_001, True, "5", None]),
        "kinds": ("kinds", [[], "confirmation", 7]),
        "kind": ("kinds", [["none of ours"], [None]]),
        **{name: (name, ["", " ", 7, "x" * 513, "a\nb"]) for name in ("user_id", "session_id", "request_id")},
        "wait": ("wait", [None, 1, "no"]),
    }

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            for field, (name, values) in wrong.items():
                for value in values:
                    with pytest.raises(ValidationError, match=f"^{field}: ") as refused:
                        await service.list_pending(**{name: value})
                    assert refused.value.field == field
            for named in (service.get_pending_for_session, service.list_closed, service.get_pending_for_request):
                with pytest.raises(ValidationError, match="_id: is empty"):
                    await named("")

    asyncio.run(main())


def test_the_service_is_one_by_its_protocol() -> None:
    """`isinstance` says so, now that it lists; and a page is a list like any other."""
    assert isinstance(InterruptService(), InterruptServiceProtocol)
    assert Page([1, 2], "more") == [1, 2]
