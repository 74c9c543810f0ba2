"""Errors: their facts and statuses, what a server that is away or full leaves behind, and what they never show."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.exceptions import NoScriptError, ResponseError

import interrupts
from interrupts import (
    AuthenticationError,
    AuthorizationError,
    ConflictError,
    CorruptLogError,
    FlowInterrupt,
    InterruptKind,
    InterruptResponse,
    InterruptsError,
    NotConfirmedError,
    NotFoundError,
    UnavailableError,
    UnsuitableServerError,
    ValidationError,
    connect,
)
from interrupts.scripts import script
from interrupts.store.lanes import UnreachableError
from interrupts.store.server import Confirmation, Server, Written
from tests.conftest import whole_log
from tests.servers import RedisServer, free_port, until
from tests.test_faults import Unanswered, freeze_at_append

STATUSES: dict[type[InterruptsError], int] = {
    InterruptsError: 500,
    NotFoundError: 404,
    ValidationError: 400,
    AuthenticationError: 401,
    AuthorizationError: 403,
    ConflictError: 409,
    UnavailableError: 503,
    NotConfirmedError: 503,
    UnsuitableServerError: 503,
    CorruptLogError: 500,
}
THERE = FlowInterrupt("i", InterruptKind.TIMEOUT, "r", "u", "s")
SECRET = "s3cr3t-of-ours"
YES = InterruptResponse(approved=True)


def test_every_error_has_its_http_status_and_is_exported() -> None:
    """The contract's five statuses, 503 for a server's faults, and all under one base in `interrupts`."""
    for error, status in STATUSES.items():
        assert error.http_status == status
        assert getattr(interrupts, error.__name__) is error
        assert error.__name__ in interrupts.__all__
        assert issubclass(error, InterruptsError)


@pytest.mark.parametrize(
    "error",
    [
        ValidationError("m", field="f"),
        ConflictError("m", interrupt=THERE, code="expired"),
        UnavailableError("m", may_have_happened=True),
        NotConfirmedError("m", interrupt=THERE),
        UnsuitableServerError("m"),
        *(sort("m") for sort in (NotFoundError, AuthenticationError, AuthorizationError, CorruptLogError)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_keep_their_facts_when_pickled_and_copied(error: InterruptsError) -> None:
    """Through a process pool or a task queue, an error arrives as it was."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert str(twin) == "m"
        assert vars(twin) == vars(error)


def test_a_server_that_is_not_there_says_so(tmp_path: Any) -> None:
    """Nobody listens: unavailable, and nothing can have happened."""

    async def main() -> None:
        for url in (f"redis://127.0.0.1:{free_port()}", f"unix://{tmp_path}/none.sock"):
            with pytest.raises(UnavailableError) as away:
                async with connect(url, call_timeout_s=0.1):
                    pass
            assert not away.value.may_have_happened
            assert "Nothing was written" in str(away.value)

    asyncio.run(main())


def test_a_server_killed_before_the_call_has_written_nothing(own_server: RedisServer) -> None:
    """Killed between connect and create: whatever the error says may have happened, it may say; later it works."""

    async def main() -> None:
        async with connect(own_server.url, call_timeout_s=0.1) as service:
            first = await service.create_confirmation("r", "u", "s", "?")
            own_server.kill()
            with pytest.raises(UnavailableError) as away:
                await service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
            said = "Nothing was written" if not away.value.may_have_happened else "may have happened"
            assert said in str(away.value)
            own_server.start()
            assert await service.get_interrupt(first.id) == first
            await service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
            assert len(await whole_log(service)) == 2

    asyncio.run(main())


def test_a_server_killed_while_it_has_the_call_may_have_written(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt was sent, and no answer came: `may_have_happened`."""
    unanswered = Unanswered(monkeypatch)

    async def main() -> None:
        async with connect(own_server.url, attempt_timeout_s=0.2, call_timeout_s=1) as service:
            asked = await service.create_confirmation("r", "u", "s", "?")
            freeze_at_append(service, own_server)
            call = asyncio.ensure_future(service.respond(asked.id, YES))
            await until(lambda: unanswered.count > 0, "the attempt times out")
            own_server.kill()
            with pytest.raises(UnavailableError, match="may have happened") as away:
                await call
            assert away.value.may_have_happened

    asyncio.run(main())


class Scripted:
    """A route to a server that answers as it is told, the last answer again and again."""

    one_server = True

    def __init__(self, *answers: list[Any] | Exception) -> None:
        self.answers = list(answers)

    async def lanes(self, slot: int) -> Any:
        """Itself."""
        return self

    async def call(self, commands: Any, timeout_s: float) -> list[Any]:
        """The next answer."""
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def recover(self) -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


LOST = UnreachableError("no answer", sent=True)
REFUSED = UnreachableError("connection refused", sent=False)
DONE = [[1, 0, 1]]


@pytest.mark.parametrize(
    ("answers", "may_have_happened"),
    [
        ([REFUSED], False),
        ([LOST, REFUSED], True),
        ([LOST, [ResponseError("OOM")]], True),
        ([[ResponseError("OOM")]], False),
        ([LOST, [NoScriptError("NOSCRIPT")], REFUSED], True),
        ([LOST, [NoScriptError("NOSCRIPT")], [ResponseError("OOM")]], True),
        ([[NoScriptError("NOSCRIPT")], REFUSED], False),
        ([[NoScriptError("NOSCRIPT")], LOST, REFUSED], True),
        ([[ResponseError("BUSY running a script")], REFUSED], False),
    ],
    ids=str,
)
def test_what_may_have_happened_is_never_forgotten(answers: list[Any], may_have_happened: bool) -> None:
    """An attempt whose answer was lost may be written, whatever later attempts of the same call are told."""

    async def main() -> None:
        server = Server(Scripted(*answers), call_timeout_s=0.1)
        with pytest.raises(UnavailableError) as away:
            await server.run(script("append"), 0, [], [])
        assert away.value.may_have_happened is may_have_happened

    asyncio.run(main())


def test_a_write_whose_confirmation_failed_is_not_called_unwritten() -> None:
    """The script has run and its WAIT was cut off: not confirmed, which is never "nothing was written"."""

    async def main() -> None:
        replies = [*DONE, ResponseError("UNBLOCKED force unblock from blocking operation")]
        wait = Confirmation(("WAIT", 1, 100), 1)
        server = Server(Scripted(replies, REFUSED), call_timeout_s=0.1, confirmation=wait)
        assert await server.run(script("append"), 0, [], []) == Written(DONE[0], False, False)

    asyncio.run(main())


def test_a_full_server_refuses_and_writes_nothing(own_server: RedisServer) -> None:
    """Out of memory: unavailable, nothing written, nothing half written; with room again, it goes on."""

    async def main() -> None:
        async with connect(own_server.url) as service:
            asked = await service.create_confirmation("r", "u", "s", "?")
            before = own_server.command("DBSIZE"), await whole_log(service)
            own_server.command("CONFIG", "SET", "maxmemory", "1mb")
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: service.create_confirmation("r", "u", "s", "?", idempotency_key="k"),
                lambda: service.respond(asked.id, YES, command_id="c"),
                lambda: service.cancel(asked.id),
            ]
            for call in calls:
                with pytest.raises(UnavailableError, match=r"maxmemory.*Nothing was written") as full:
                    await call()
                assert not full.value.may_have_happened
            assert await service.get_interrupt(asked.id) == asked
            assert (own_server.command("DBSIZE"), await whole_log(service)) == before
            own_server.command("CONFIG", "SET", "maxmemory", "0")
            assert await service.create_confirmation("r", "u", "s", "?", idempotency_key="k")
            assert await service.respond(asked.id, YES, command_id="c")

    asyncio.run(main())


def test_no_message_shows_a_password(own_server: RedisServer) -> None:
    """Wrong password, missing password, nobody there: the sentence helps, and the password is not in it."""
    own_server.command("CONFIG", "SET", "requirepass", "another password")
    here, nowhere = f"127.0.0.1:{own_server.port}", f"127.0.0.1:{free_port()}"
    urls = [f"redis://{at}{where}" for at in (f":{SECRET}@", f"u:{SECRET}@") for where in (here, nowhere)]
    urls += [f"redis://{here}?password={SECRET}", f"redis://{here}", f"redis+cluster://:{SECRET}@{nowhere}"]
    urls += [f"redis+sentinel://:{SECRET}@{nowhere}/group"]

    async def main() -> None:
        for url in urls:
            with pytest.raises(UnavailableError) as away:
                async with connect(url, call_timeout_s=0.1):
                    pass
            assert SECRET not in f"{away.value} {away.value!r} {away.value.__cause__!r}"
            assert not away.value.may_have_happened

    asyncio.run(main())
