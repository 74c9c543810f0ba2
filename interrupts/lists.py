"""The lists: what is pending, what is closed, how many there are. They are read from the views, never from the log.

Each method takes `after`: an interrupt, an event, a position (or several) that the list has to show, wherever it was
written; what this process has written itself its lists show anyway. `wait=False` takes the views as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interrupts.checks import check_id, check_kind, shown
from interrupts.errors import ValidationError
from interrupts.keys import Keys
from interrupts.limits import LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, PAGE_ROUNDS_MAX, PENDING_OF_SESSION_MAX
from interrupts.listing import Asked, Listing
from interrupts.merging import Item
from interrupts.model import FlowInterrupt, InterruptKind
from interrupts.pages import Counts, Page, PaginatedResult, PaginationParams, check_pagination
from interrupts.positions import Position, time_of
from interrupts.recorded import RecordedEvent
from interrupts.views import BY_KIND, BY_REQUEST, BY_SESSION, BY_USER, CLOSED, COUNTS, PENDING

Where = str | Position | FlowInterrupt | RecordedEvent
After = Where | Iterable[Where] | None
Kinds = Sequence[InterruptKind | str] | None
FIRST_PAGE = PaginationParams()


class Lists:
    """The reading half of the service. Lists need a projection worker, here or in another process.

    All raise `ViewBehindError` if the view does not come to show what it must in time, as when no worker is running;
    `ViewStoppedError` if it stands still; `ValidationError`; `UnavailableError`.
    """

    _listing: Listing
    _keys: Keys

    async def list_pending(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        request_id: str | None = None,
        kinds: Kinds = None,
        limit: int = LIST_LIMIT_DEFAULT,
        cursor: str | None = None,
        *,
        after: After = None,
        wait: bool = True,
    ) -> Page[FlowInterrupt]:
        """What is pending, oldest first; with several filters, what meets all of them.

        It goes on at the page's `next_cursor`, with the same filters, until that is None. Whatever was there all along
        is on exactly one page.
        """
        asked = self._pending(user_id, session_id, request_id, kinds, after, wait=wait)
        return Page(*await self._listing.page(asked, _limit(limit), cursor))

    async def list_pending_page(
        self,
        params: PaginationParams = FIRST_PAGE,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        request_id: str | None = None,
        kinds: Kinds = None,
        after: After = None,
        wait: bool = True,
    ) -> PaginatedResult[FlowInterrupt]:
        """A page by its number, and how many there are: exactly for one filter, else up to a bound, which is said."""
        check_pagination(params)
        asked = self._pending(user_id, session_id, request_id, kinds, after, wait=wait)
        total, exact = await self._listing.total(asked)
        numbers: dict[int, int] | None = {}
        before, upto = (params.page - 1) * params.per_page, params.page * params.per_page
        items: list[Item] = []
        for _ in range(PAGE_ROUNDS_MAX):
            if len(items) > upto or numbers is None:
                break
            told = await self._listing.ids(asked, min(upto + 1 - len(items), LIST_LIMIT_MAX), numbers)
            numbers = told.numbers
            items += told.items
        found = await self._listing.read(items[before:upto])
        return PaginatedResult(
            found, total, params.page, params.per_page, numbers is not None or len(items) > upto, exact
        )

    async def get_pending_for_request(
        self, request_id: str, *, after: After = None, wait: bool = True
    ) -> FlowInterrupt | None:
        """The oldest one that is pending for a request, or None."""
        asked = self._pending(None, None, check_id("request_id", request_id), None, after, wait=wait)
        cursor: str | None = None
        while True:
            found, cursor = await self._listing.page(asked, 1, cursor)
            if found or cursor is None:
                return found[0] if found else None

    async def get_pending_for_session(
        self, session_id: str, kinds: Kinds = None, *, after: After = None, wait: bool = True
    ) -> Page[FlowInterrupt]:
        """All that is pending in a session, oldest first. Only with very many does it end with a `next_cursor`."""
        asked = self._pending(None, check_id("session_id", session_id), None, kinds, after, wait=wait)
        found: list[FlowInterrupt] = []
        cursor: str | None = None
        while True:
            more, cursor = await self._listing.page(asked, LIST_LIMIT_MAX, cursor)
            found += more
            if cursor is None or len(found) >= PENDING_OF_SESSION_MAX:
                return Page(found, cursor)

    async def list_closed(
        self,
        session_id: str,
        limit: int = LIST_LIMIT_DEFAULT,
        cursor: str | None = None,
        *,
        after: After = None,
        wait: bool = True,
    ) -> Page[FlowInterrupt]:
        """What is closed in a session, the last closed first; of each session only so many are kept in the list."""
        check_id("session_id", session_id)
        partition = self._keys.partition_of_session(session_id)
        asked = Asked(CLOSED, [partition], [[BY_SESSION + session_id]], self._needed(after), _flag("wait", wait))
        return Page(*await self._listing.page(asked, _limit(limit), cursor))

    async def counts(self, *, after: After = None, wait: bool = True) -> Counts:
        """How many there are by kind and status, and how old the oldest pending one is."""
        partitions = range(self._keys.partitions)
        asked = Asked(COUNTS, partitions, [], self._needed(after), _flag("wait", wait))
        by, overdue = await self._listing.counts(asked)
        pending = self._pending(None, None, None, None, after, wait=wait)
        told, now_ms = await self._listing.oldest(pending)
        if told is None:
            return Counts(by, overdue)
        return Counts(by, overdue, time_of(told), max(0, now_ms - told) / 1000)

    def _pending(
        self,
        user_id: str | None,
        session_id: str | None,
        request_id: str | None,
        kinds: Kinds,
        after: After,
        *,
        wait: bool,
    ) -> Asked:
        groups: list[list[str]] = []
        if session_id is not None:
            groups.append([BY_SESSION + check_id("session_id", session_id)])
        if request_id is not None:
            groups.append([BY_REQUEST + check_id("request_id", request_id)])
        if user_id is not None:
            groups.append([BY_USER + check_id("user_id", user_id)])
        if kinds is not None or not groups:
            groups.append([BY_KIND + kind for kind in _kinds(kinds)])
        whole = range(self._keys.partitions)
        partitions = whole if session_id is None else [self._keys.partition_of_session(session_id)]
        return Asked(PENDING, partitions, groups, self._needed(after), _flag("wait", wait))

    def _needed(self, after: After) -> dict[int, tuple[int, int]]:
        """By partition the place that the view must have reached. Positions of other partitions do not matter."""
        if after is None:
            return {}
        found: dict[int, tuple[int, int]] = {}
        for given in after if isinstance(after, Iterable) and not isinstance(after, str) else [after]:
            position = _position(given)
            if position.partition >= self._keys.partitions:
                raise ValidationError(f"after: {position} is in no partition of this namespace.", field="after")
            place = position.ms, position.number
            found[position.partition] = max(place, found.get(position.partition, place))
        return found


def _position(given: object) -> Position:
    """The position that is meant: itself, or that of an interrupt or event."""
    try:
        return Position.parse(getattr(given, "position", given))  # type: ignore[arg-type] # it refuses all else
    except ValidationError as error:
        raise ValidationError(f"after: {error}", field="after") from None


def _kinds(kinds: Kinds) -> list[InterruptKind]:
    if kinds is None:
        return list(InterruptKind)
    if isinstance(kinds, str) or not isinstance(kinds, Iterable):
        raise ValidationError("kinds: give a list of kinds.", field="kinds")
    wanted = sorted({check_kind(kind) for kind in kinds})
    if not wanted:
        raise ValidationError("kinds: the list is empty. Leave it out for all kinds.", field="kinds")
    return wanted


def _limit(limit: object) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIST_LIMIT_MAX:
        raise ValidationError(f"limit: {shown(limit)} is not a number from 1 to {LIST_LIMIT_MAX}.", field="limit")
    return limit


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValidationError(f"{name}: must be True or False, not {type(value).__name__}.", field=name)
