"""The wiring: which roles can be run, what is refused by name, and the one that is there keeps to the protocol."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import InterruptService, ValidationError, connect
from tests.conftest import World
from tests.present import present
from tests.servers import until
from workers.roles import ROLES
from workers.serve import serve
from workers.settings import Settings
from workers.wiring import loaded, makers


def refused(settings: Settings, *names: str) -> str:
    """What is said where these names are asked for."""
    with pytest.raises(ValidationError) as error:
        makers(InterruptService(), settings, names)
    assert error.value.field == "roles"
    return str(error.value)


def test_all_roles_are_those_that_can_run() -> None:
    """In their order; what lacks a setting is left out, and that is said."""
    world = World()
    made = makers(InterruptService(logger=world), Settings(), ())
    assert list(made) == [role for role in ROLES if role in made]
    assert "projections" in made
    assert "reactions" not in made
    left_out = [fields for level, event, fields in world.lines if (level, event) == ("info", "workers.left_out")]
    assert {"projections", *(fields["role"] for fields in left_out)} | set(made) == set(ROLES)
    assert any(fields["role"] == "reactions" and "INTERRUPTS_HANDLERS" in fields["because"] for fields in left_out)


def test_a_role_that_there_is_not_is_refused_with_those_there_are() -> None:
    """By its name."""
    assert "'projector' is none" in refused(Settings(), "projections", "projector")
    assert "There are projections, expiry, commands, reactions" in refused(Settings(), "projector")


def test_reactions_without_handlers_are_refused_when_they_are_asked_for() -> None:
    """Somebody relies on them."""
    assert "INTERRUPTS_HANDLERS" in refused(Settings(), "reactions")


def test_what_a_process_can_not_serve_is_refused_before_anything_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role that there is not; a store that is another process's memory; none at all."""
    with pytest.raises(ValidationError, match="projector"):
        asyncio.run(serve(Settings(url="redis://127.0.0.1:1"), ["projector"]))
    with pytest.raises(ValidationError, match="one process's memory"):
        asyncio.run(serve(Settings(url="memory://")))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValidationError, match="INTERRUPTS_REDIS_URL: it is not set"):
        asyncio.run(serve(Settings()))


def test_a_handler_is_found_by_its_name() -> None:
    """In a module, also deeper in it."""
    assert loaded("tests.conftest:World") is World
    assert loaded("tests.conftest:World.ports") is World.ports


@pytest.mark.parametrize("name", ["tests.nowhere:bus", "tests.conftest:nothing", "tests.conftest:World.nothing"])
def test_a_handler_that_is_not_there_is_refused_by_name(name: str) -> None:
    """With the setting that names it."""
    with pytest.raises(ValidationError, match="INTERRUPTS_HANDLERS") as error:
        loaded(name)
    assert name in str(error.value)


def test_projections_are_a_role(url: str, namespace: str) -> None:
    """Ready when lists are right; asked, it ends, and the others know at once."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            made = await service.create_checkpoint("r", "u", "s")
            role = makers(service, Settings(), ["projections"])["projections"]()
            assert not role.ready
            running = asyncio.create_task(role.run())
            await until(lambda: role.ready, "it is ready")
            assert role.numbers() == {"folded": 1, "partitions": 16, "standing_still": 0}
            assert await service.list_pending() == [made]
            assert len(await present(service)) == 1
            role.stop()
            role.stop()
            await running
            assert await present(service) == []

    asyncio.run(main())


def test_projections_that_are_asked_before_they_run_do_nothing() -> None:
    """Not even join."""

    async def main() -> None:
        service = InterruptService()
        role = makers(service, Settings(), ["projections"])["projections"]()
        role.stop()
        await role.run()
        assert await present(service) == []
        await service.aclose()

    asyncio.run(main())


def test_projections_whose_beat_ends_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or they would hold no partition, fold nothing, and look alive."""
    monkeypatch.setattr("workers.projecting.WORKER_BEAT_S", 0.01)

    async def main() -> None:
        service = InterruptService()
        role = makers(service, Settings(), ["projections"])["projections"]()
        running = asyncio.create_task(role.run())
        await until(lambda: role.ready, "it is ready")
        monkeypatch.setattr("workers.projecting.share", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await running
        assert await present(service) == []
        await service.aclose()

    asyncio.run(main())
