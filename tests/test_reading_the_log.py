"""Reading the log itself: histories, ranges, the last position, and tails that survive their server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from interrupts import InterruptResponse, InterruptService, Position, RecordedEvent, ValidationError, connect
from interrupts.limits import READ_COUNT_MAX
from tests.conftest import whole_log
from tests.servers import RedisServer, until

YES = InterruptResponse(approved=True)


async def create(service: InterruptService, count: int, session: str = "s") -> list[str]:
    """So many creations in one session, one after the other in its partition; their positions."""
    return [
        str((await service.create_confirmation("r", "u", session, f"m{number}")).position) for number in range(count)
    ]


def test_a_history_tells_what_happened_when_and_by_whom(url: str, namespace: str) -> None:
    """`history` has the interrupt's own events, oldest first, with all that a reader needs to understand them."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            await create(service, 1)
            asked = await service.create_confirmation(
                "r", "u", "s", "Go on?", envelope_id="e", action_data={"a": 1}, idempotency_key="k"
            )
            done = await service.respond(asked.id, InterruptResponse(approved=True), actor="bot", command_id="c")
            assert done is not None
            created, resolved = await service.history(asked.id)
            assert (created.type, resolved.type) == ("interrupt.created", "interrupt.resolved")
            assert (created.at, resolved.at) == (asked.created_at, done.resolved_at)
            assert (created.position, resolved.position) == (asked.position, done.position)
            assert (created.version, resolved.version) == (1, 2)
            for event in (created, resolved):
                assert (event.interrupt_id, event.kind) == (asked.id, asked.kind)
                assert (event.session_id, event.request_id, event.user_id) == ("s", "r", "u")
            assert (created.actor, resolved.actor, resolved.command_id) == (None, "bot", "c")
            assert created.content == {"message": "Go on?", "data": {"a": 1}}
            assert resolved.content == {"response": {"approved": True}}
            assert (created.terms["ttl_ms"], created.terms["envelope_id"]) == (3_600_000, "e")
            assert resolved.terms == {}
            assert resolved.to_dict()["at"] == resolved.at.isoformat().replace("+00:00", "Z")
            log = await service.log.range(service.log.partition_of("s"))
            assert [event.sequence for event in log] == [1, 2, 3]
            assert [msgspec.structs.replace(event, sequence=None) for event in log[1:]] == [created, resolved]

    asyncio.run(main())


def test_a_range_is_paged_by_position(url: str, namespace: str) -> None:
    """Going on from the last position of each page gives every event once, in order."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            positions = await create(service, 25)
            partition = service.log.partition_of("s")
            seen: list[str] = []
            after: Position | str | None = None
            while page := await service.log.range(partition, after=after, limit=10):
                assert len(page) <= 10
                seen += [event.position for event in page]
                after = page[-1].position if len(seen) < 20 else Position.parse(page[-1].position)
            assert seen == positions
            assert await service.log.last(partition) == Position.parse(positions[-1])
            assert str(await service.log.last((partition + 1) % service.log.partitions)).endswith(":0-0")

    asyncio.run(main())


def test_a_range_is_bounded_by_time(url: str, namespace: str) -> None:
    """`since` and `until` are times of the log, both included; a time without a zone is UTC."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            partition = service.log.partition_of("s")
            while len({event.at for event in await whole_log(service)}) < 4:
                await create(service, 5)
            events = await whole_log(service)
            second, third = sorted({event.at for event in events})[1:3]
            within = [event for event in events if second <= event.at <= third]
            assert await service.log.range(partition, since=second, until=third) == within
            assert await service.log.range(partition, since=second.replace(tzinfo=None), until=third) == within
            zone = second.astimezone(tz=None)
            assert await service.log.range(partition, since=zone, until=second, limit=1) == within[:1]
            long_ago, far_off = datetime(1960, 1, 1, tzinfo=UTC), events[-1].at + timedelta(days=1)
            assert await service.log.range(partition, since=long_ago, until=far_off) == events
            assert await service.log.range(partition, since=far_off) == []
            assert await service.log.range(partition, since=third, until=second) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("field", "partition", "options"),
    [
        ("limit", 0, {"limit": 0}),
        ("limit", 0, {"limit": -1}),
        ("limit", 0, {"limit": READ_COUNT_MAX + 1}),
        ("limit", 0, {"limit": True}),
        ("limit", 0, {"limit": 1.5}),
        ("after", 0, {"after": "0:1-1", "since": datetime(2026, 1, 1, tzinfo=UTC)}),
        ("position", 0, {"after": "1:1-1"}),
        ("position", 0, {"after": "1-1"}),
        ("position", 0, {"after": "$"}),
        ("partition", -1, {}),
        ("partition", 16, {}),
        ("partition", True, {}),
        ("partition", "0", {}),
    ],
    ids=str,
)
def test_a_range_that_can_not_be_meant_is_refused(
    url: str, namespace: str, field: str, partition: Any, options: dict[str, Any]
) -> None:
    """Limits beyond the bound, foreign positions and unknown partitions are refused by name."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            with pytest.raises(ValidationError) as refused:
                await service.log.range(partition, **options)
            assert refused.value.field == field

    asyncio.run(main())


class Tail:
    """A tail that runs beside a test, and what it has told."""

    def __init__(self, events: AsyncGenerator[RecordedEvent, None]) -> None:
        self.seen: list[str] = []
        self._task = asyncio.ensure_future(self._follow(events))

    async def _follow(self, events: AsyncGenerator[RecordedEvent, None]) -> None:
        async with aclosing(events):
            async for event in events:
                self.seen += [event.position]

    async def told(self, known: list[str]) -> None:
        """Waits until it has told as much as is known, and sees that it is just that."""
        await until(lambda: self._task.done() or len(self.seen) >= len(known), "the tail tells what there is")
        if self._task.done():
            self._task.result()
        assert self.seen == known

    async def end(self) -> None:
        """As a consumer ends it that is cancelled."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def test_a_tail_sees_what_another_service_appends(url: str, namespace: str) -> None:
    """Events come as they are appended, by whomever, after the position that was asked for, and from no other."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as another:
            first, *known = await create(service, 3)
            partition = service.log.partition_of("s")
            tail = Tail(service.log.tail(partition, after=first))
            await tail.told(known)
            known += await create(another, 3)
            other = next(f"o{n}" for n in range(99) if another.log.partition_of(f"o{n}") != partition)
            await create(another, 1, other)
            known += await create(another, 1)
            await tail.told(known)
            await tail.end()

    asyncio.run(main())


def test_a_tail_goes_on_after_its_server_was_restarted(own_server: RedisServer) -> None:
    """Nothing is skipped and nothing told twice, though the server is killed while the tail waits."""

    async def main() -> None:
        async with connect(own_server.url, attempt_timeout_s=0.5) as service:
            known = await create(service, 2)
            partition = service.log.partition_of("s")
            tail = Tail(service.log.tail(partition, after=f"{partition}:0-0"))
            for _ in range(3):
                await tail.told(known)
                own_server.kill()
                own_server.start()
                known += await create(service, 3)
            await tail.told(known)
            await tail.end()

    asyncio.run(main())


def test_numbers_have_no_gap_and_positions_only_grow(url: str, namespace: str) -> None:
    """In each partition, sequence numbers count from 1 without a gap, and positions strictly increase."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:

            async def pause(service: InterruptService, session: str) -> None:
                asked = await service.create_confirmation("r", "u", session, "Go on?")
                await service.respond(asked.id, YES)

            await asyncio.gather(*(pause(service, f"s{n % 40}") for n, service in enumerate([one, two] * 100)))
            for partition in range(one.log.partitions):
                events = await one.log.range(partition)
                assert [event.sequence for event in events] == list(range(1, len(events) + 1))
                positions = [Position.parse(event.position) for event in events]
                assert all(before < after for before, after in itertools.pairwise(positions))
            assert len(await whole_log(one)) == 400

    asyncio.run(main())


def test_numbers_and_positions_go_on_after_everything_was_trimmed(url: str, namespace: str) -> None:
    """XTRIM of the whole log loses no interrupt, and neither number nor position starts again."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await service.create_confirmation("r", "u", "s", "Go on?")
            await create(service, 4)
            partition = service.log.partition_of("s")
            keys = service._log.keys
            await service._log.server.command(keys.slots[partition], "XTRIM", keys.logs[partition], "MAXLEN", 0)
            assert await service.log.range(partition) == []
            assert await service.get_interrupt(asked.id) == asked
            assert await service.respond(asked.id, YES)
            (created, resolved) = await service.history(asked.id)
            assert Position.parse(resolved.position) > Position.parse(created.position)
            (last,) = await service.log.range(partition)
            assert (last.sequence, last.position) == (6, resolved.position)

    asyncio.run(main())
