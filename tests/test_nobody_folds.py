"""Workers that are there and do not fold what is asked for: other views, other versions, or a key in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from interrupts import InterruptService, ValidationError, ViewBehindError, ViewStoppedError, connect
from interrupts.codec import Line
from interrupts.store import lookup
from interrupts.views import BY_SESSION, PENDING, View
from projections import PROJECTIONS, Projection
from projections.changes import Changes
from projections.pending import Pending
from projections.projection import check_projections
from projections.store import Views
from tests.present import present
from tests.servers import RedisServer
from workers import running


class Other:
    """A projection of one's own, which counts events."""

    view = View("other", 1)

    def fold(self, lines: Sequence[Line], changes: Changes) -> None:
        """One more each."""
        changes.count("events", "all", len(lines))


class Younger(Pending):
    """The same view in another version."""

    view = View(PENDING.name, PENDING.version + 1)


async def create(service: InterruptService, session: str) -> None:
    """One that is pending."""
    await service.create_clarification("r", "u", session, "q")


def test_a_worker_for_other_views_does_not_make_an_old_list_look_fine(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is there, and nobody folds this view: a reader who wrote nothing is told, once that lasts."""
    monkeypatch.setattr(lookup, "VIEW_OLD_S", -1.0)  # any event that waits, waits too long

    async def main() -> None:
        async with (
            connect(url, namespace=namespace) as writer,
            connect(url, namespace=namespace, view_wait_s=0.1) as reader,
        ):
            async with running(writer):
                await create(writer, "s")
                assert len(await writer.list_pending(session_id="s")) == 1
            async with running(writer, projections=[Other()]):
                await create(writer, "s")
                with pytest.raises(ViewBehindError) as behind:
                    await reader.list_pending(session_id="s")
                assert behind.value.worker_running
                assert len(await reader.list_pending(session_id="s", wait=False)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("first", [[Other()], [*PROJECTIONS, Other()], [Younger(), *PROJECTIONS[1:]]])
def test_workers_that_do_different_things_leave_nothing_undone(
    first: list[Projection], url: str, namespace: str
) -> None:
    """Beside a worker with other views or versions, every partition of these views is folded."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace) as service,
            running(service),
            running(service, projections=first),
        ):
            assert len({worker.partition(":")[2] for worker in await present(service)}) == 2
            for number in range(40):
                await create(service, f"s{number}")
            if not isinstance(first[0], Younger):
                assert len(await service.list_pending(limit=100)) == 40
            assert len(await service.list_closed("s0")) == 0

    asyncio.run(main())


def test_a_key_that_is_not_ours_is_said_to_everybody_who_reads(shared_server: RedisServer, namespace: str) -> None:
    """The card says why the view stands still; once the key is gone, it goes on by itself."""

    async def main() -> None:
        url = shared_server.url
        async with connect(url, namespace=namespace) as service, connect(url, namespace=namespace) as reader:
            keys = service.store.keys
            async with running(service):
                await create(service, "s")
                partition = service.log.partition_of("s")
                (standing,) = await Views(service.store).standings([PENDING.name], [partition])
                assert standing.card.live is not None
                session = next(f"x{n}" for n in range(999) if service.log.partition_of(f"x{n}") == partition)
                broken = keys.generation(partition, PENDING.name, standing.card.live.number) + BY_SESSION + session
                shared_server.command("SET", broken, "not ours")
                await create(service, session)
                with pytest.raises(ViewStoppedError) as stopped:
                    await service.list_pending(session_id="s")
                assert stopped.value.reason == "key"
                assert "rebuild pending" in str(stopped.value)
                with pytest.raises(ViewStoppedError):
                    await reader.list_pending(session_id="s")
                shared_server.command("DEL", broken)
                async with asyncio.timeout(20):
                    while True:
                        try:
                            assert len(await service.list_pending(session_id=session)) == 1
                            break
                        except ViewStoppedError:
                            await asyncio.sleep(0.05)

    asyncio.run(main())


WRONG: list[tuple[Any, Any]] = [("", 1), ("a:1", 1), ("a*", 1), ("A", 1), ("a", 0), ("a", "one"), ("a", True), (7, 1)]


@pytest.mark.parametrize(("name", "version"), WRONG)
def test_a_view_whose_name_or_version_can_not_be_is_refused(name: Any, version: Any) -> None:
    """Its keys could be taken for another's."""
    projection = Other()
    projection.view = View(name, version)
    with pytest.raises(ValidationError) as refused:
        check_projections([projection])
    assert refused.value.field == "projections"


def test_two_views_of_one_name_are_refused(namespace: str) -> None:
    """They would fold into the same keys."""

    async def main() -> None:
        async with connect("memory://", namespace=namespace) as service:
            with pytest.raises(ValidationError, match="two with the name 'other'"):
                async with running(service, projections=[Other(), Other()]):
                    raise AssertionError

    asyncio.run(main())
