"""A rebuild that can't be: it says why, and leaves the live view as it was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from interrupts import InterruptService, UnavailableError, ValidationError, ViewStoppedError, connect
from interrupts.views import View
from projections import PROJECTIONS
from projections.pending import Pending
from projections.rebuild import rebuild
from projections.store import Views
from tests.raw import Refusing, cards, folded, go_back, remember, small_steps, write_entry
from tests.servers import RedisServer
from workers import running

HANGS_S = 3.0
"""What takes so long has no end; it takes milliseconds."""


async def untouched(service: InterruptService, projections: Sequence[Any], reason: str, said: str) -> None:
    """A rebuild with the first of these is refused, twice alike, and the live view stays as it was."""
    before = [card.live for card in await cards(service, "pending")]
    for _ in range(2):
        with pytest.raises(ViewStoppedError, match=said) as refused:
            await rebuild(service, "pending", projections=projections)
        assert (refused.value.view, refused.value.partition, refused.value.reason) == ("pending", 0, reason)
    assert [card.live for card in await cards(service, "pending")] == before


def test_an_event_that_can_not_be_folded_stops_the_rebuild_and_not_the_live_view(url: str, namespace: str) -> None:
    """The error says which event and why; the lists go on as before; once the fold is mended, it goes on from there."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service, running(service):
            made = [await service.create_checkpoint("r", "u", "s") for _ in range(3)]
            assert await service.list_pending() == made
            refusing = Refusing(Pending(), made[1].id)
            said = rf"{made[1].position}.*ValueError: this one is too much.*live one was not changed"
            await untouched(service, [refusing], "event", said)
            assert await service.list_pending() == made
            assert (await rebuild(service, "pending")).events == 2
            assert await service.list_pending() == made

    asyncio.run(main())


def test_an_event_that_can_not_be_read_stops_the_rebuild(url: str, namespace: str) -> None:
    """What a newer library wrote is not passed over."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            made = await service.create_checkpoint("r", "u", "s")
            await folded(service, PROJECTIONS)
            position = await write_entry(service, 2, '["interrupt.moved"]')
            await untouched(service, PROJECTIONS, "event", rf"{position}: An event of type 'interrupt.moved'")
            assert await service.list_pending(wait=False) == [made]

    asyncio.run(main())


@pytest.mark.parametrize("where", ["live", "building"])
def test_a_younger_version_is_left_alone(url: str, namespace: str, where: str) -> None:
    """A library that was not updated changes nothing of what a younger one made or makes."""

    class Younger(Pending):
        view = View("pending", 2)

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=1) as service:
            made = [await service.create_checkpoint("r", "u", "s") for _ in range(3)]
            if where == "building":
                with pytest.raises(ViewStoppedError):
                    await rebuild(service, "pending", projections=[Refusing(Younger(), made[1].id)])
            else:
                await rebuild(service, "pending", projections=[Younger()])
            before = await cards(service, "pending")
            await untouched(service, PROJECTIONS, "version", "younger version than this library's 1")
            assert await cards(service, "pending") == before
            assert (await rebuild(service, "pending", projections=[Younger()])).view == "pending"

    asyncio.run(main())


def test_a_view_that_there_is_not_is_refused_with_those_that_are(url: str, namespace: str) -> None:
    """A slip of the finger builds nothing."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            with pytest.raises(ValidationError, match=r"no 'pendign'\. There are: pending, closed, counts") as refused:
                await rebuild(service, "pendign")
            assert refused.value.field == "view"

    asyncio.run(main())


def test_without_a_server_the_rebuild_says_so_and_goes_on_later(
    own_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that goes away meanwhile is the library's own error; when it is back, what was folded is not again."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace, partitions=1, call_timeout_s=0.1) as service:
            made = [await service.create_checkpoint("r", "u", "s") for _ in range(20)]
            with pytest.raises(UnavailableError):
                await rebuild(service, "pending", report=lambda _: own_server.kill())
            own_server.start()
            done = await rebuild(service, "pending")
            assert 0 < done.events < len(made)
            assert await service.list_pending() == made

    asyncio.run(main())


def test_a_log_that_goes_back_meanwhile_is_said_and_the_next_rebuild_begins_anew(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun on events that are no more is not gone on with."""
    small_steps(monkeypatch)

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as service:
            made = [await service.create_checkpoint("r", "u", "s") for _ in range(4)]
            dumps = await remember(service)
            for _ in range(30):
                await service.create_checkpoint("r", "u", "s")
            apply, applied = Views.apply, 0

            async def then_back(views: Views, sections: Any) -> Any:
                nonlocal applied
                applied += 1
                if applied == 2:
                    await go_back(service, dumps)
                return await apply(views, sections)

            monkeypatch.setattr(Views, "apply", then_back)
            with pytest.raises(ViewStoppedError, match="rolled back") as refused:
                async with asyncio.timeout(HANGS_S):
                    await rebuild(service, "pending")
            assert refused.value.reason == "rolled_back"
        async with connect(shared_server.url, namespace=namespace) as service:
            assert (await rebuild(service, "pending")).events == len(made)
            assert await service.list_pending() == made

    asyncio.run(main())


def test_what_was_begun_on_events_that_are_no_more_is_given_up(
    shared_server: RedisServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted, then the log went back behind what was folded: the next rebuild begins with the first event."""
    small_steps(monkeypatch)

    def interrupted(_: object) -> None:
        raise InterruptedError

    async def main() -> None:
        async with connect(shared_server.url, namespace=namespace, partitions=1) as before:
            made = [await before.create_checkpoint("r", "u", "s") for _ in range(4)]
            dumps = await remember(before)
            for _ in range(16):
                await before.create_checkpoint("r", "u", "s")
            with pytest.raises(InterruptedError):
                await rebuild(before, "pending", report=interrupted)
            await go_back(before, dumps)
        async with connect(shared_server.url, namespace=namespace) as service:
            async with asyncio.timeout(HANGS_S):
                assert (await rebuild(service, "pending")).events == len(made)
            assert await service.list_pending() == made

    asyncio.run(main())
