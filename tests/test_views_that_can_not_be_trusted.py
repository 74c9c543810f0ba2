"""Views that nobody folds, that stand still, that are not the log's or not known: an error that says what to do, and
never a list that looks fine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from interrupts import (
    Counts,
    InterruptService,
    UnavailableError,
    ViewBehindError,
    ViewStoppedError,
    connect,
)
from interrupts.codec import Line
from interrupts.views import CLOSED, COUNTS, PENDING
from projections import PROJECTIONS
from projections.changes import Changes
from projections.pending import Pending
from projections.store import Views
from tests.folding import SHORT_S, by_hand, every_list

BAD = "a request that can't be folded"


class Refusing(Pending):
    """What is pending, by code that has a fault."""

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """Refuses a certain request."""
        if any(line.event.request_id == BAD for line in lines):
            raise LookupError("no such request")
        super().fold(lines, changes)


async def everything_refused(service: InterruptService, error: type[Exception], **options: Any) -> list[Any]:
    """What every list is refused with."""
    refusals = []
    for call in every_list(service):
        with pytest.raises(error) as refused:
            await call(**options)
        refusals.append(refused.value)
    return refusals


@pytest.mark.parametrize("folded_before", [True, False], ids=["views there", "none yet"])
def test_without_a_worker_a_list_says_that_none_is_running(url: str, namespace: str, folded_before: bool) -> None:
    """After a write, and for a service that wrote nothing: `ViewBehindError` with its facts, and what to start."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as service,
            connect(url, namespace=namespace, view_wait_s=SHORT_S) as another,
            by_hand(service) as worker,
        ):
            partition = service.log.partition_of("s0")
            if folded_before:
                await service.create_checkpoint("r", "u", "s0")
                await worker.fold()
            for _ in range(3):
                await service.create_checkpoint("r", "u", "s0")
            for asked in (service, another):
                refusals = await everything_refused(asked, ViewBehindError)
                assert [error.view for error in refusals] == ["pending"] * 5 + ["closed", "counts"]
                for error in refusals:
                    facts = (error.partition, error.events, error.worker_running, error.may_have_happened)
                    assert facts == (partition, 3, False, False)
                    assert isinstance(error, UnavailableError)
                    assert error.http_status == 503
                    said = "3 events behind", "No projection worker is running", "python -m workers run"
                    for part in (*said, "workers.running(service)", "wait=False", f"partition {partition}"):
                        assert part in str(error)

    asyncio.run(main())


def test_views_that_are_up_to_date_need_no_worker(url: str, namespace: str) -> None:
    """In an empty namespace, and where everything was folded before the last worker left, lists are right."""

    async def main() -> None:
        async with connect(url, namespace=namespace, view_wait_s=SHORT_S) as service, by_hand(service) as worker:
            told = [await call() for call in every_list(service)]
            assert told[:2] + told[3:] == [[], [], None, [], [], Counts({})]
            assert (told[2].items, told[2].total, told[2].total_is_exact) == ([], 0, True)
            made = await service.create_checkpoint("r", "u", "s0")
            await worker.fold()
            assert await service.list_pending() == [made] == await service.get_pending_for_session("s0")

    asyncio.run(main())


def test_a_position_that_the_log_does_not_have_is_an_error(url: str, namespace: str) -> None:
    """One from before a rollback, or of another namespace: nothing to wait for, said at once, with both places."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            made = await service.create_checkpoint("r", "u", "s0")
            await worker.fold()
            partition = service.log.partition_of("s0")
            ahead = f"{partition}:{10**14}-0"
            for error in await everything_refused(service, ViewStoppedError, after=ahead):
                assert (error.partition, error.reason) == (partition, "rolled_back")
                for said in (f"ends at {made.position}", f"before {ahead}", "not of this namespace"):
                    assert said in str(error)

    asyncio.run(main())


def test_a_worker_that_is_behind_is_told_from_none(url: str, namespace: str) -> None:
    """While one is there and does not come so far, or still builds the view: the error says that one is running."""

    async def main() -> None:
        async with connect(url, namespace=namespace, view_wait_s=SHORT_S) as service, by_hand(service) as worker:
            await worker.attend()
            await service.create_checkpoint("r", "u", "s0")
            partition = service.log.partition_of("s0")
            for view in (PENDING, CLOSED, COUNTS):
                await Views(service.store).begin(partition, view.name, view.version)
            for error in await everything_refused(service, ViewBehindError):
                assert (error.partition, error.events, error.worker_running) == (partition, 1, True)
                assert "1 event behind" in str(error)
                assert "is running and has not come so far" in str(error)
                assert "No projection worker" not in str(error)
            assert await service.list_pending(wait=False) == []

    asyncio.run(main())


@pytest.mark.parametrize("wrote", [True, False], ids=["for the writer", "for a reader"])
def test_a_view_that_stands_still_is_an_error_with_its_cause(url: str, namespace: str, wrote: bool) -> None:
    """A projection that raises stops its own view before that event: what it would not show is refused, with the
    event, the fault and the way out. Other views go on, and `wait=False` gives what was folded."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace) as writer,
            connect(url, namespace=namespace) as reader,
            by_hand(writer, [Refusing(), *PROJECTIONS[1:]]) as worker,
        ):
            service = writer if wrote else reader
            await worker.attend()
            first = await writer.create_checkpoint("r", "u", "s")
            await worker.fold()
            bad = await writer.create_checkpoint(BAD, "u", "s")
            await writer.create_checkpoint("r", "u", "s")
            await worker.fold()
            for call in (service.list_pending, service.counts):
                with pytest.raises(ViewStoppedError) as stopped:
                    await call()
                error = stopped.value
                facts = (error.view, error.partition, error.reason, error.http_status, error.may_have_happened)
                assert facts == ("pending", service.log.partition_of("s"), "event", 503, False)
                for said in ("LookupError: no such request", bad.position, "python -m workers skip", "2 events behind"):
                    assert said is not None
                    assert said in str(error)
            assert await service.list_pending(wait=False) == [first]
            assert await service.list_closed("s") == []

    asyncio.run(main())


@pytest.mark.parametrize("folded_before", [True, False], ids=["in use", "being built"])
def test_a_hole_in_the_log_is_an_error_with_its_cause(url: str, namespace: str, folded_before: bool) -> None:
    """Where an event is missing that was never folded, the views stand still before the next one, and say so; those
    that were in use already, and those that were never complete."""

    async def main() -> None:
        async with connect(url, namespace=namespace, view_wait_s=SHORT_S) as service, by_hand(service) as worker:
            await worker.attend()
            made = [await service.create_checkpoint("r", "u", "s0")]
            await (worker.fold() if folded_before else worker.attend())
            made += [await service.create_checkpoint("r", "u", "s0") for _ in range(2)]
            partition = service.log.partition_of("s0")
            keys = service.store.keys
            gone = (made[1].position or "").partition(":")[2]
            await service.store.server.command(keys.slots[partition], "XDEL", keys.logs[partition], gone, writes=True)
            await worker.fold()
            for error in await everything_refused(service, ViewStoppedError):
                assert (error.partition, error.reason) == (partition, "hole")
                for said in ("number 3 follows number 1", "workers rebuild", "workers skip", f"{made[2].position}"):
                    assert said in str(error)
            assert await service.list_pending(wait=False) == (made[:1] if folded_before else [])

    asyncio.run(main())


@pytest.mark.parametrize("grown", ["", "again", "with another event in its place"])
def test_a_log_that_was_rolled_back_is_an_error(url: str, namespace: str, grown: str) -> None:
    """A log without the events that a view was folded from, whatever has come since: refused with what to do, also
    for who would not wait; other partitions' lists are fine."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            await worker.attend()
            for _ in range(3):
                await service.create_checkpoint("r", "u", "s0")
            elsewhere = await service.create_checkpoint("r", "u", "s1")
            await worker.fold()
            partition, keys = service.log.partition_of("s0"), service.store.keys
            slot, log = keys.slots[partition], keys.logs[partition]
            entries = await service.store.server.command(slot, "XRANGE", log, "-", "+")
            if grown == "with another event in its place":
                entries[-1][1][3] = entries[0][1][3]
            else:
                del entries[-1]
            await service.store.server.command(slot, "DEL", log, writes=True)
            for stream_id, fields in entries:
                await service.store.server.command(slot, "XADD", log, stream_id, *fields, writes=True)
            if grown == "again":
                for _ in range(2):
                    await service.create_checkpoint("r", "u", "s0")
            for wait in (True, False):
                for error in await everything_refused(service, ViewStoppedError, wait=wait):
                    assert (error.partition, error.reason) == (partition, "rolled_back")
                    assert f"python -m workers rebuild {error.view}" in str(error)
            assert await service.get_pending_for_session("s1") == [elsewhere]

    asyncio.run(main())


@pytest.mark.parametrize("version", [0, 99])
def test_a_view_of_another_version_is_an_error(url: str, namespace: str, version: int) -> None:
    """What an older or a newer library has folded is not read: refused with both numbers, also without waiting."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service, by_hand(service) as worker:
            await service.create_checkpoint("r", "u", "s0")
            await worker.fold()
            partition, command = service.log.partition_of("s0"), service.store.server.command
            slot = service.store.keys.slots[partition]
            for view in (PENDING, CLOSED, COUNTS):
                card = service.store.keys.card(partition, view.name)
                live = (await command(slot, "HGET", card, "live")).decode()
                await command(slot, "HSET", card, f"{live}:version", version, writes=True)
            for wait in (True, False):
                for error in await everything_refused(service, ViewStoppedError, wait=wait):
                    assert (error.partition, error.reason) == (partition, "version")
                    assert f"has version {version}, and this library reads version 1" in str(error)

    asyncio.run(main())
