"""Pages by number: slices of the list with a total, which is exact or says that it is not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interrupts import InterruptKind, PaginationParams, ValidationError, connect
from tests.folding import populate
from tests.only_folding import running

SESSIONS = [f"s{number}" for number in range(4)]
SCAN_MAX = "interrupts.listing.PAGE_SCAN_MAX"


def test_pages_by_number_are_slices_of_the_list(url: str, namespace: str) -> None:
    """Page after page, of any length and any list: the slice, the exact total, and whether one follows."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service, running(service):
            there = await populate(service)
            filters: list[dict[str, Any]] = [{}, {"session_id": "s1"}, {"user_id": "u0", "kinds": list(InterruptKind)}]
            for asked in filters:
                expected = there.filtered(**asked)
                for per_page in (1, 7, len(expected), 1_000):
                    for page in (1, 2, -(-len(expected) // per_page), 9):
                        found = await service.list_pending_page(PaginationParams(page, per_page), **asked)
                        assert found.items == expected[(page - 1) * per_page : page * per_page]
                        assert (found.page, found.per_page) == (page, per_page)
                        assert (found.total, found.total_is_exact) == (len(expected), True)
                        assert found.has_next == (len(expected) > page * per_page)
            assert (await service.list_pending_page()).items == there.pending[:20]

    asyncio.run(main())


@pytest.mark.parametrize("scan", [3, 1_000])
def test_a_page_with_items_behind_it_says_so(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, scan: int
) -> None:
    """However many others lie between a page's last item and the next one, `has_next` is true."""
    monkeypatch.setattr(SCAN_MAX, scan)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, running(service):
            between = ["another"] * 20
            for user in ("u", *between, "u"):
                await service.create_checkpoint("r", user, "s")
            for _ in between:  # neither of the two filters is the rare one
                await service.create_checkpoint("r", "u", "elsewhere")
            found = await service.list_pending_page(PaginationParams(1, 1), user_id="u", session_id="s")
            assert (len(found.items), found.has_next) == (1, True)

    asyncio.run(main())


def test_totals_are_exact_for_one_filter_whatever_is_overdue(url: str, namespace: str) -> None:
    """By user, session, request, kinds or none: what waits, without what is overdue although nobody expired it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=4) as service, running(service):
            there = await populate(service)
            filters: list[dict[str, Any]] = [{}, {"kinds": ["timeout", "checkpoint"]}, {"kinds": ["confirmation"]}]
            filters += [{"user_id": f"u{number}"} for number in range(3)]
            filters += [{"session_id": session} for session in SESSIONS]
            filters += [{"request_id": f"r{number}"} for number in range(3)]
            filters += [{"user_id": "nobody"}, {"user_id": "u1", "request_id": "r1"}]
            for asked in filters:
                found = await service.list_pending_page(**asked)
                assert (found.total, found.total_is_exact) == (len(there.filtered(**asked)), True)

    asyncio.run(main())


def test_a_total_of_several_filters_beyond_the_bound_says_that_it_is_not_exact(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many are looked at: the total is then a lower bound, and said to be; one filter's stays exact."""
    monkeypatch.setattr(SCAN_MAX, 5)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, running(service):
            for _ in range(12):
                await service.create_checkpoint("r", "u", "s")
            found = await service.list_pending_page(PaginationParams(1, 10), user_id="u", session_id="s")
            assert (len(found.items), found.total, found.total_is_exact) == (10, 5, False)
            found = await service.list_pending_page(PaginationParams(1, 10), user_id="u")
            assert (found.total, found.total_is_exact) == (12, True)

    asyncio.run(main())


def test_pages_that_can_t_be_asked_for_are_refused(url: str, namespace: str) -> None:
    """Numbers below 1, pages too long or too deep: named, with the bound; the deepest one is empty and fine."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            wrong: dict[str, list[Any]] = {
                "page": [(0, 1), (-1, 1), (True, 1), ("1", 1), (11, 1_000), (10_001, 1)],
                "per_page": [(1, 0), (1, True), (1, 1_001), (1, None)],
            }
            for field, params in [(field, params) for field, refused in wrong.items() for params in refused]:
                with pytest.raises(ValidationError, match=f"^{field}: ") as error:
                    await service.list_pending_page(PaginationParams(*params))
                assert error.value.field == field
            deepest = await service.list_pending_page(PaginationParams(10, 1_000))
            assert (deepest.items, deepest.total, deepest.has_next) == ([], 0, False)

    asyncio.run(main())
