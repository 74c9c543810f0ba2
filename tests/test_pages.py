"""Pages: what can be asked for, and what they are."""

from __future__ import annotations

from typing import Any

import pytest

from interrupts.errors import ValidationError
from interrupts.limits import LIST_LIMIT_MAX, PAGE_DEPTH_MAX
from interrupts.model import InterruptKind, InterruptStatus
from interrupts.pages import Counts, Page, PaginationParams, check_pagination

DEEPEST = PAGE_DEPTH_MAX // LIST_LIMIT_MAX


@pytest.mark.parametrize(
    ("page", "per_page"), [(1, 1), (1, 20), (DEEPEST, LIST_LIMIT_MAX), (PAGE_DEPTH_MAX, 1), (1, LIST_LIMIT_MAX)]
)
def test_pages_within_the_depth_can_be_asked_for(page: int, per_page: int) -> None:
    """Numbers from 1, up to the deepest interrupt that numbers reach."""
    params = PaginationParams(page, per_page)
    assert params is check_pagination(params)


def test_the_first_page_is_the_default() -> None:
    """Who says nothing gets the first twenty."""
    assert PaginationParams(1, 20) == check_pagination(PaginationParams())


@pytest.mark.parametrize("value", [0, -1, True, False, 1.0, "1", None, float("nan"), [1], "x" * 500])
@pytest.mark.parametrize("field", ["page", "per_page"])
def test_what_is_no_page_is_refused(field: str, value: Any) -> None:
    """Only whole numbers from 1, of a size that there is; the refusal names the field and stays short."""
    with pytest.raises(ValidationError) as caught:
        check_pagination(PaginationParams(**{field: value}))
    assert field == caught.value.field
    assert len(str(caught.value)) < 300


def test_a_page_that_is_too_long_is_refused() -> None:
    """As long as the longest list, no longer."""
    with pytest.raises(ValidationError, match=f"from 1 to {LIST_LIMIT_MAX}") as caught:
        check_pagination(PaginationParams(1, LIST_LIMIT_MAX + 1))
    assert caught.value.field == "per_page"


@pytest.mark.parametrize("value", [10**400, 10**5000], ids=["long", "too long to be printed"])
@pytest.mark.parametrize("field", ["page", "per_page"])
def test_a_huge_number_is_refused_in_few_words(field: str, value: int) -> None:
    """However large, it is refused as any other, and not printed in full."""
    with pytest.raises(ValidationError) as caught:
        check_pagination(PaginationParams(**{field: value}))
    assert field == caught.value.field
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("page", "per_page"), [(PAGE_DEPTH_MAX + 1, 1), (DEEPEST + 1, LIST_LIMIT_MAX), (10**9, 20)])
def test_a_page_that_is_too_deep_is_refused(page: int, per_page: int) -> None:
    """Numbers count from the beginning each time, so they end somewhere; cursors do not, and the refusal says so."""
    with pytest.raises(ValidationError, match="cursor") as caught:
        check_pagination(PaginationParams(page, per_page))
    assert caught.value.field == "page"


def test_a_page_is_a_list_that_knows_where_it_goes_on() -> None:
    """It compares and counts as a list; `next_cursor` is None at the end."""
    assert Page([1, 2], "x") == [1, 2]
    assert Page([1, 2], "x").next_cursor == "x"
    assert Page[int]() == []
    assert Page[int]().next_cursor is None


def test_counts_add_up_over_kinds() -> None:
    """Of one kind or of all, by name or by enum; what was never counted is 0."""
    kind = InterruptKind.CHECKPOINT
    counts = Counts(
        {
            kind: {InterruptStatus.PENDING: 2, InterruptStatus.EXPIRED: 1},
            InterruptKind.TIMEOUT: {InterruptStatus.PENDING: 3},
        }
    )
    assert 5 == counts.of(InterruptStatus.PENDING) == counts.of("pending")
    assert 2 == counts.of("pending", kind) == counts.of("pending", "checkpoint")
    assert 0 == counts.of("resolved") == counts.of("pending", "confirmation") == counts.of("expired", "timeout")
