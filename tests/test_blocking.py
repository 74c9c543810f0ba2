"""The service without async: the same methods, from any thread, and no way to block oneself for ever."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from interrupts import (
    AuthorizationError,
    BlockingInterruptService,
    ConflictError,
    InterruptResponse,
    InterruptService,
    InterruptStatus,
    ValidationError,
    ViewBehindError,
    connect,
    connect_blocking,
)
from interrupts.blocking import BlockingLogReader
from interrupts.store.reader import LogReader
from tests.conftest import World
from workers import running

YES = InterruptResponse(approved=True)
THREADS = 16
CALLS = 20


def _public(cls: type) -> dict[str, Any]:
    return {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}


def _hints(method: Any) -> list[tuple[str, Any, Any]]:
    parameters = inspect.signature(method).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


@pytest.mark.parametrize(
    ("blocking", "original", "left_out", "added"),
    [
        (BlockingInterruptService, InterruptService, {"aclose"}, {"hold"}),
        (BlockingLogReader, LogReader, {"partition_of"}, set()),
    ],
    ids=["service", "log"],
)
def test_it_has_every_method_of_the_service(
    blocking: type, original: type, left_out: set[str], added: set[str]
) -> None:
    """Names, parameters, defaults and docstrings are the service's. Closing is the block's own business, `partition_of`
    never waits and is the reader's own, and `hold` is what async code writes as `async with`."""
    ours, theirs = _public(blocking), _public(original)
    methods = {name: method for name, method in theirs.items() if inspect.isfunction(method)}
    own = {name for name, method in ours.items() if inspect.isfunction(method)}
    assert set(methods) - left_out == own - added
    assert added <= own
    for name in methods.keys() - left_out:
        assert _hints(ours[name]) == _hints(methods[name]), name
        assert ours[name].__doc__, name
        assert ours[name].__name__ == name


def test_the_two_ways_to_connect_take_the_same() -> None:
    """`connect_blocking` has the parameters of `connect`."""
    assert inspect.signature(connect_blocking).parameters == inspect.signature(connect).parameters


def test_a_pause_without_async(url: str, namespace: str) -> None:
    """Create, read, answer, cancel, expire and the log, each as a plain call."""
    with connect_blocking(url, namespace=namespace) as service:
        asked = service.create_confirmation("r", "u", "s", "Go on?")
        assert service.get_interrupt(asked.id) == asked
        answered = service.respond(asked.id, YES, "u")
        assert answered is not None
        assert answered.status is InterruptStatus.RESOLVED
        assert service.cancel("0" * 32) is None
        assert service.expire_pending() == 0
        assert [event.version for event in service.history(asked.id)] == [1, 2]
        partition = service.log.partition_of("s")
        assert partition in range(service.log.partitions)
        assert [event.interrupt_id for event in service.log.range(partition)] == [asked.id] * 2
        assert str(service.log.last(partition)) == answered.position


def test_refusals_pass_through(url: str, namespace: str) -> None:
    """A typed error is raised in the caller's thread, with its facts."""
    with connect_blocking(url, namespace=namespace) as service:
        asked = service.create_confirmation("r", "u", "s", "Go on?")
        with pytest.raises(AuthorizationError):
            service.respond(asked.id, YES, "another")
        cancelled = service.cancel(asked.id)
        with pytest.raises(ConflictError) as lost:
            service.respond(asked.id, YES)
        assert (lost.value.code, lost.value.interrupt) == ("cancelled", cancelled)
        with pytest.raises(ValidationError, match="limit"):
            service.log.range(0, limit=0)
    with pytest.raises(ValidationError, match="namespace"), connect_blocking(url, namespace="not one"):
        pass
    with pytest.raises(KeyError, match="our own"), connect_blocking(url, namespace=namespace):
        raise KeyError("our own")


def test_lists_without_async_with_the_workers_in_the_same_block(url: str, namespace: str) -> None:
    """`hold(workers.running)` runs them in the service's thread for as long as the block lasts: every list shows what
    was just written, from any thread, and afterwards no worker is left."""
    with connect_blocking(url, namespace=namespace) as service:
        with service.hold(running) as projecting, ThreadPoolExecutor(THREADS) as pool:

            def work(thread: int) -> None:
                session = f"s{thread}"
                asked = service.create_confirmation("r", session, session, "Go on?")
                assert service.get_pending_for_session(session) == [asked]
                assert service.list_pending(session) == [asked]
                assert service.list_pending_page(user_id=session).items == [asked]
                answered = service.respond(asked.id, YES)
                assert service.list_closed(session) == [answered]

            list(pool.map(work, range(THREADS)))
            assert service.get_pending_for_request("r") is None
            assert service.counts().of("resolved") == THREADS
            assert projecting.folded == 2 * THREADS
            with pytest.raises(ValidationError, match="limit"):
                service.list_pending(limit=0)
        service.create_checkpoint("r", "u", "s0")
        assert service.list_pending(wait=False) == []
    with connect_blocking(url, namespace=namespace, view_wait_s=0.05) as service:
        with pytest.raises(ViewBehindError, match="No projection worker"):
            service.list_pending()
        with pytest.raises(KeyError, match="our own"), service.hold(running):
            raise KeyError("our own")


def test_many_threads_share_one_service(url: str, namespace: str) -> None:
    """Calls from any number of threads at once: each gets its own reply, and each command happened once."""
    barrier = threading.Barrier(THREADS)

    def work(service: BlockingInterruptService, thread: int) -> list[str]:
        barrier.wait()
        ids = []
        for number in range(CALLS):
            session = f"s{thread}-{number}"
            asked = service.create_confirmation("r", "u", session, "Go on?")
            assert asked.session_id == session
            answered = service.respond(asked.id, YES)
            assert answered is not None
            assert answered.id == asked.id
            ids.append(asked.id)
        return ids

    with connect_blocking(url, namespace=namespace) as service, ThreadPoolExecutor(THREADS) as pool:
        ids = [one for part in pool.map(work, [service] * THREADS, range(THREADS)) for one in part]
        events = [event for partition in range(service.log.partitions) for event in service.log.range(partition)]
        assert sorted(event.interrupt_id for event in events) == sorted(ids * 2)
        assert len(set(ids)) == THREADS * CALLS


def test_threads_that_race_have_one_winner(url: str, namespace: str) -> None:
    """Of many threads that answer the same interrupt, one wins and the others are told."""
    with connect_blocking(url, namespace=namespace) as service, ThreadPoolExecutor(THREADS) as pool:
        asked = service.create_confirmation("r", "u", "s", "Go on?")

        def answer(thread: int) -> bool:
            try:
                return service.respond(asked.id, YES, actor=f"t{thread}") is not None
            except ConflictError as lost:
                return lost.interrupt is None

        assert list(pool.map(answer, range(THREADS))).count(True) == 1


def test_it_refuses_to_block_its_own_thread(url: str, namespace: str) -> None:
    """A port that runs in the service's loop may not wait for that loop: a clear error instead of a dead end."""
    refusals: list[str] = []

    class Webhook(World):
        """A webhook that calls back."""

        async def emit_event(self, event_type: str, data: dict[str, Any], request_id: str | None = None) -> int:
            """Asks the service about what it is just being told."""
            with pytest.raises(RuntimeError) as refused:
                service.get_interrupt(data["id"])
            refusals.append(str(refused.value))
            return 1

    with connect_blocking(url, namespace=namespace, webhook_service=Webhook()) as service:
        service.create_confirmation("r", "u", "s", "Go on?")
    assert ["own thread" in refusal for refusal in refusals] == [True]


def test_after_its_block_it_says_so(url: str, namespace: str) -> None:
    """A call on a closed service is a clear RuntimeError, and its thread is gone."""
    with connect_blocking(url, namespace=namespace) as service:
        asked = service.create_confirmation("r", "u", "s", "Go on?")
        reader = service.log
    calls: list[Any] = [
        lambda: service.get_interrupt(asked.id),
        lambda: service.create_confirmation("r", "u", "s", "Go on?"),
        lambda: reader.range(0),
        lambda: next(reader.tail(0)),
    ]
    for call in calls:
        with pytest.raises(RuntimeError, match="closed"):
            call()
    assert "interrupts" not in {thread.name for thread in threading.enumerate()}


def test_a_tail_is_a_plain_loop(url: str, namespace: str) -> None:
    """`for event in service.log.tail(...)` gets what is there, then what another thread appends; leaving ends it."""
    with connect_blocking(url, namespace=namespace) as service:
        asked = service.create_confirmation("r", "u", "s", "Go on?")
        partition = service.log.partition_of("s")
        seen = []
        answers = threading.Thread(target=lambda: service.respond(asked.id, YES))
        for event in service.log.tail(partition, after=f"{partition}:0-0"):
            seen.append(event.type)
            if len(seen) == 1:
                answers.start()
            else:
                break
        answers.join()
        assert seen == ["interrupt.created", "interrupt.resolved"]
        with pytest.raises(ValidationError, match="position"):
            next(service.log.tail(partition, after="nonsense"))
