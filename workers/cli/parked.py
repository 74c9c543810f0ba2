"""`parked`: what groups of reactions have given up for now, and what is to become of it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec

from interrupts.limits import LIST_LIMIT_MAX
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected
from workers.cli.screen import note, say, show_table, write_json
from workers.cli.text import content_text, counted, moment, plain
from workers.group_pages import known_groups
from workers.group_standing import group_standings
from workers.parked import Moved, ParkedEvent, drop_parked, parked, replay_parked

HEAD = ("group", "position", "event", "session", "parked", "attempts", "error", "content")


class Which(msgspec.Struct, frozen=True):
    """Which parked events of a group are meant: some positions, one session, or everything."""

    group: str
    positions: Sequence[str] = ()
    session_id: str | None = None
    everything: bool = False


async def list_parked(
    where: Where, group: str | None, session_id: str | None, limit: int, cursor: str | None, *, as_json: bool
) -> Code:
    """One page. Where it goes on is said on stderr, or in the document. Raises as `workers.parked` does."""
    async with connected(where) as service:
        page = await parked(service, group, session_id=session_id, limit=limit, cursor=cursor)
    if as_json:
        write_json(page)
        return Code.DONE
    if page.parked:
        show_table(HEAD, list(map(_row, page.parked)), right=("attempts",))
    else:
        note("Nothing is parked.")
    if page.next_cursor is not None:
        note(f"There is more. Go on with the same filters and: --cursor {plain(page.next_cursor)}")
    return Code.DONE


async def count_parked(where: Where, which: Which) -> int:
    """How many events are meant. Raises as `workers.parked` does."""
    async with connected(where) as service:
        if which.everything:
            (standing,) = await group_standings(service, which.group)
            return standing.parked
        await known_groups(service, which.group)
        if which.session_id is None:
            return len(set(which.positions))
        count, cursor = 0, None
        while True:
            page = await parked(service, which.group, session_id=which.session_id, limit=LIST_LIMIT_MAX, cursor=cursor)
            count, cursor = count + len(page.parked), page.next_cursor
            if cursor is None:
                return count


async def replay_them(where: Where, which: Which, *, as_json: bool) -> Code:
    """Has them handled again. Raises as `workers.parked` does."""
    return await _move(where, which, replay_parked, "will be handled again", as_json=as_json)


async def drop_them(where: Where, which: Which, *, as_json: bool) -> Code:
    """Drops them. Raises as `workers.parked` does."""
    return await _move(where, which, drop_parked, "dropped", as_json=as_json)


async def _move(
    where: Where, which: Which, move: Callable[..., Coroutine[Any, Any, Moved]], what: str, *, as_json: bool
) -> Code:
    """`FAILED` if it was not done with all that were named."""
    async with connected(where) as service:
        moved = await move(
            service, which.group, which.positions, session_id=which.session_id, everything=which.everything
        )
    if as_json:
        write_json(moved)
    else:
        say(f"{counted(moved.done, 'event')} {what}")
    if moved.not_parked:
        note(f"not parked, or not any more: {plain(' '.join(moved.not_parked))}")
    if moved.no_room:
        note(
            f"{counted(moved.no_room, 'event')} stay parked: the group has so much to handle that there is no room. "
            "Call this again when its worker has done some of it."
        )
    return Code.FAILED if moved.not_parked or moved.no_room else Code.DONE


def _row(one: ParkedEvent) -> list[str]:
    event = one.event
    return [
        *(one.group, one.position, "(unreadable)" if event is None else event.type),
        "" if event is None else event.session_id,
        *(moment(one.parked_at), str(one.attempts), one.error),
        "" if event is None else content_text(event.content),
    ]
