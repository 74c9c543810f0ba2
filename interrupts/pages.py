"""Pages of lists: with a cursor for programs, with a number for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Generic, TypeVar

import msgspec

from interrupts.checks import shown
from interrupts.errors import ValidationError
from interrupts.limits import LIST_LIMIT_MAX, PAGE_DEPTH_MAX
from interrupts.model import InterruptKind, InterruptStatus

T = TypeVar("T")


class Page(list[T]):
    """A list that goes on at `next_cursor`: None at the end. A page may be short, or empty, and not the last."""

    def __init__(self, items: Iterable[T] = (), next_cursor: str | None = None) -> None:
        super().__init__(items)
        self.next_cursor = next_cursor


class PaginationParams(msgspec.Struct, frozen=True):
    """Which page, from 1, and how long pages are."""

    page: int = 1
    per_page: int = 20


class PaginatedResult(msgspec.Struct, Generic[T]):
    """One page by its number. `total` is what the view has; if not `total_is_exact`, there may be more or fewer."""

    items: list[T]
    total: int
    page: int
    per_page: int
    has_next: bool
    total_is_exact: bool = True


class Counts(msgspec.Struct, frozen=True):
    """How many interrupts there are. `overdue` ones read as expired already and are counted as pending still."""

    by: dict[InterruptKind, dict[InterruptStatus, int]]
    overdue: int = 0
    oldest_pending_at: datetime | None = None
    oldest_pending_age_s: float | None = None

    def of(self, status: InterruptStatus | str, kind: InterruptKind | str | None = None) -> int:
        """The number with this status, of one kind or of all."""
        kinds = self.by if kind is None else [InterruptKind(kind)]
        return sum(self.by.get(each, {}).get(InterruptStatus(status), 0) for each in kinds)


def check_pagination(params: PaginationParams) -> PaginationParams:
    """A page that can be asked for. Raises `ValidationError`."""
    for field, value, most in (("page", params.page, None), ("per_page", params.per_page, LIST_LIMIT_MAX)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
            bound = "from 1" if most is None else f"from 1 to {most}"
            raise ValidationError(f"{field}: {shown(value)} is not a number {bound}.", field=field)
    if params.page * params.per_page > PAGE_DEPTH_MAX:
        raise ValidationError(
            f"page: number {shown(params.page)} is too deep. Page numbers reach {PAGE_DEPTH_MAX:,} interrupts; go on "
            "from a page's cursor instead, or ask more narrowly.",
            field="page",
        )
    return params
