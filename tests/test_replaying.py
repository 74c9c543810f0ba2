"""Replaying: what is chosen goes, in the order of its times, to whoever is named."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interrupts import ValidationError
from interrupts.positions import time_of
from tests.conftest import whole_log
from tests.parking import Notes, bus_of, placed, store
from tests.raw import raw, write_entry
from tests.reacting import run
from tests.replays import at, chosen, filled, ms
from tests.servers import RedisServer, sessions
from workers.group_standing import group_standings
from workers.replay_choice import Choice
from workers.replaying import ToLines, replay


def test_a_file_has_all_events_by_time_and_each_partition_in_order(shared_server: RedisServer, namespace: str) -> None:
    """However many there are; nothing is looked at twice."""

    async def main() -> None:
        async with store(shared_server, namespace, 4) as service:
            everything = await filled(service)
            told = await chosen(service)
            assert sorted(told) == sorted(everything)
            assert [ms(position) for position in told] == sorted(ms(position) for position in told)
            for partition in range(4):
                mine = [position for position in told if position.startswith(f"{partition}:")]
                assert mine == [position for position in everything if position.startswith(f"{partition}:")]
            done = await replay(service, Choice(), None)
            assert (done.looked_at, done.events, done.finished) == (len(everything), len(everything), True)
            assert done.types == {
                "interrupt.created": 24,
                "interrupt.resolved": 12,
                "shop.order.placed": 12,
            }

    run(main())


def test_pages_of_any_size_tell_the_same(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large events are."""

    async def main() -> None:
        async with store(shared_server, namespace, 2) as service:
            await filled(service)
            whole = await chosen(service, patterns=["interrupt.resolved"])
            for first, most, size in ((1, 1, 1), (2, 3, 10**9), (7, 500, 2_000)):
                monkeypatch.setattr("workers.replay_reading.PAGE_FIRST", first)
                monkeypatch.setattr("workers.replay_reading.PAGE_MAX", most)
                monkeypatch.setattr("workers.replay_reading.PAGE_BYTES", size)
                assert await chosen(service, patterns=["interrupt.resolved"]) == whole

    run(main())


def test_filters_hold_together(shared_server: RedisServer, namespace: str) -> None:
    """Type patterns, session, request, user, kind and interrupt; of several patterns or kinds one is enough."""

    async def main() -> None:
        async with store(shared_server, namespace, 2) as service:
            await filled(service)
            log = await whole_log(service)
            session = sessions(service)[0]
            (one, *_) = [event.interrupt_id for event in log if event.interrupt_id]
            cases: list[tuple[dict[str, Any], Any]] = [
                ({"patterns": ["shop.*"]}, lambda event: event.type == "shop.order.placed"),
                ({"patterns": ["interrupt.created", "shop.order.*"]}, lambda event: event.type != "interrupt.resolved"),
                ({"session_id": session}, lambda event: event.session_id == session),
                ({"request_id": "req-1"}, lambda event: event.request_id == "req-1"),
                ({"user_id": "grace"}, lambda event: event.user_id == "grace"),
                ({"kinds": ["checkpoint", "confirmation"]}, lambda event: event.kind == "checkpoint"),
                ({"interrupt_id": one}, lambda event: event.interrupt_id == one),
                (
                    {"user_id": "ada", "patterns": ["interrupt.*"], "session_id": session},
                    lambda event: event.user_id == "ada" and event.session_id == session and event.interrupt_id,
                ),
            ]
            for choice, wanted in cases:
                expected = [event.position for event in log if wanted(event)]
                assert expected
                assert sorted(await chosen(service, **choice)) == sorted(expected)

    run(main())


def test_it_begins_and_ends_where_it_is_told(shared_server: RedisServer, namespace: str) -> None:
    """With the event at a position, or of a time; partitions that are not named begin and end by the time."""

    async def main() -> None:
        async with store(shared_server, namespace, 2) as service:
            everything = await filled(service)
            zero = [position for position in everything if position.startswith("0:")]
            one = [position for position in everything if position.startswith("1:")]
            both = await chosen(service, start=at(zero[4], one[7]), until=at(zero[9], one[8]))
            assert sorted(both) == sorted(zero[4:10] + one[7:9])
            middle = ms(zero[5])
            since = await chosen(service, start=time_of(middle))
            assert set(since) == {position for position in everything if ms(position) >= middle}
            upto = await chosen(service, until=time_of(middle))
            assert set(upto) == {position for position in everything if ms(position) <= middle}
            alone = await chosen(service, start=at(zero[5]))
            assert set(alone) == {*zero[5:], *(position for position in one if ms(position) >= middle)}
            assert await chosen(service, start=datetime.now(UTC) + timedelta(days=1)) == []

    run(main())


@pytest.mark.parametrize(
    "wrong",
    [
        {"patterns": ["*.created"]},
        {"kinds": ["pause"]},
        {"interrupt_id": "x"},
        {"session_id": ""},
        {"start": []},
        {"start": at("0:1-1", "0:2-2")},
        {"until": at("9:1-1")},
    ],
    ids=str,
)
def test_what_can_not_be_meant_is_refused(wrong: dict[str, Any], shared_server: RedisServer, namespace: str) -> None:
    """By name."""

    async def main() -> None:
        async with store(shared_server, namespace) as service:
            with pytest.raises(ValidationError):
                await chosen(service, **wrong)

    run(main())


def test_what_can_not_be_read_is_left_out_and_told(shared_server: RedisServer, namespace: str) -> None:
    """Everything else is replayed."""

    async def main() -> None:
        async with store(shared_server, namespace, 1) as service:
            (first,) = await placed(service, "s1")
            wrong = await write_entry(service, 2, '["interrupt.nonsense","x","y","z","w"]')
            worse = await write_entry(service, 3, "nonsense")
            (last,) = await placed(service, "s1")
            told: list[str] = []
            file = io.BytesIO()
            done = await replay(service, Choice(), ToLines(nullcontext(file)), tell=told.append)
            assert [json.loads(line)["position"] for line in file.getvalue().splitlines()] == [first, last]
            assert (done.unreadables, done.events, done.looked_at) == (2, 2, 4)
            assert sorted(one.position for one in done.unreadable) == sorted([wrong, worse])
            assert len(told) == 2

    run(main())


def test_what_is_no_event_at_all_is_left_out_as_well(shared_server: RedisServer, namespace: str) -> None:
    """Although it has no number; how far a group is can still be told."""

    async def main() -> None:
        async with store(shared_server, namespace, 1) as service:
            async with bus_of(Notes()).running(service):
                pass
            log = service.store.keys.logs[0]
            (there,) = await placed(service, "s1")
            await raw(service, "XADD", log, "*", "strange", "thing")
            file = io.BytesIO()
            done = await replay(service, Choice(), ToLines(nullcontext(file)))
            assert (done.events, done.unreadables) == (1, 1)
            assert json.loads(file.getvalue())["position"] == there
            assert (await group_standings(service))[0].behind >= 1

    run(main())
