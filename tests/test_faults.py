"""Faults on the way: a frozen server, a lost script cache, a cancelled caller. Small here, large in `test_drills`.

Each scenario does its work through the fault and then reads the log, which must tell each thing exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest

from interrupts import FlowInterrupt, InterruptResponse, InterruptService, InterruptStatus, UnavailableError, connect
from interrupts.store.lanes import UnreachableError
from interrupts.store.server import Server
from tests.conftest import World, whole_log
from tests.servers import RedisServer, until

ATTEMPT_S = 0.2
TURNS = 24
"""Turns of the event loop from before a call has begun to after it is done."""
YES = InterruptResponse(approved=True)


class Unanswered:
    """Counts the attempts that got no answer, of all services in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        attempt = Server._attempt

        async def counted(server: Server, slot: int, commands: list[Any]) -> list[Any]:
            try:
                return await attempt(server, slot, commands)
            except UnreachableError:
                self.count += 1
                raise

        monkeypatch.setattr(Server, "_attempt", counted)


def freeze_at_append(service: InterruptService, server: RedisServer) -> None:
    """The server freezes when this service's next append is about to be sent: what was read before stays read."""
    appends, add = service._log._appends, service._log._appends.add

    def frozen(*args: Any, **kwargs: Any) -> None:
        appends.add = add  # type: ignore[method-assign]
        server.freeze()
        add(*args, **kwargs)

    appends.add = frozen  # type: ignore[method-assign]


async def create(service: InterruptService, number: int, key: str | None = None) -> FlowInterrupt:
    """One confirmation, in a session of its own."""
    return await service.create_confirmation("r", "u", f"s{number}", "Go on?", idempotency_key=key)


async def assert_told_once(service: InterruptService, created: int, closed: int) -> None:
    """The log has this many creations and closings, no two about the same thing, and no gap in its numbers."""
    events = await whole_log(service)
    assert all(count == 1 for count in Counter((event.interrupt_id, event.version) for event in events).values())
    assert Counter(event.version for event in events) == Counter({1: created, 2: closed}), events
    for partition in range(service.log.partitions):
        sequences = [event.sequence for event in await service.log.range(partition)]
        assert sequences == list(range(1, len(sequences) + 1))


async def frozen_during_creates(server: RedisServer, unanswered: Unanswered, count: int) -> None:
    """Attempts time out while the server is frozen, and are repeated; thawed, it also gets what it had not read."""
    world = World()
    async with connect(server.url, namespace="creates", attempt_timeout_s=ATTEMPT_S, webhook_service=world) as service:
        await create(service, 0)
        server.freeze()
        calls = [asyncio.ensure_future(create(service, number, f"k{number}")) for number in range(count)]
        calls += [asyncio.ensure_future(create(service, number)) for number in range(count)]
        seen = unanswered.count
        await until(lambda: unanswered.count > seen, "an attempt times out")
        server.thaw()
        created = await asyncio.gather(*calls)
        assert all(interrupt.status is InterruptStatus.PENDING for interrupt in created)
        assert [await service.get_interrupt(interrupt.id) for interrupt in created] == created
        assert await create(service, 0, "k0") == created[0]
        await assert_told_once(service, 1 + 2 * count, 0)
        assert Counter(world.announced()) == {"interrupt.confirmation_needed": 1 + 2 * count}


async def frozen_during_answers(server: RedisServer, unanswered: Unanswered, count: int) -> None:
    """As above, for answers that were read and decided just before."""
    world = World()
    async with connect(server.url, namespace="answers", attempt_timeout_s=ATTEMPT_S, webhook_service=world) as service:
        created = await asyncio.gather(*(create(service, number) for number in range(count)))
        freeze_at_append(service, server)
        seen = unanswered.count
        calls = [asyncio.ensure_future(service.respond(interrupt.id, YES, command_id="c")) for interrupt in created]
        await until(lambda: unanswered.count > seen, "an attempt times out")
        server.thaw()
        answered = await asyncio.gather(*calls)
        for interrupt in answered:
            assert interrupt is not None
            assert interrupt.status is InterruptStatus.RESOLVED
            assert await service.get_interrupt(interrupt.id) == interrupt
            assert await service.respond(interrupt.id, YES, command_id="c") == interrupt
        await assert_told_once(service, count, count)
        assert Counter(world.announced()) == {"interrupt.confirmation_needed": count, "interrupt.resolved": count}


async def frozen_too_long(server: RedisServer, call_timeout_s: float) -> None:
    """The calls give up; the same commands again, after the thaw, find what may have been done, or do it."""
    async with connect(server.url, attempt_timeout_s=ATTEMPT_S, call_timeout_s=call_timeout_s) as service:
        waiting = await create(service, 0)
        server.freeze()
        with pytest.raises(UnavailableError) as lost:
            await create(service, 1, "k")
        assert lost.value.may_have_happened
        server.thaw()
        first = await create(service, 1, "k")
        assert await create(service, 1, "k") == first
        freeze_at_append(service, server)
        with pytest.raises(UnavailableError) as lost:
            await service.respond(waiting.id, YES, command_id="c")
        assert lost.value.may_have_happened
        server.thaw()
        answered = await service.respond(waiting.id, YES, command_id="c")
        assert answered is not None
        assert (answered.status, answered.version) == (InterruptStatus.RESOLVED, 2)
        await assert_told_once(service, 2, 1)


async def flushed_under_load(server: RedisServer, workers: int, flushes: int) -> int:
    """The server forgets its scripts again and again while workers create and answer; how much they got done."""
    async with connect(server.url, namespace="flushed") as service:
        done, ended = 0, False

        async def work(worker: int) -> None:
            nonlocal done
            while not ended:
                interrupt = await create(service, worker)
                assert await service.respond(interrupt.id, YES)
                done += 1

        tasks = [asyncio.ensure_future(work(worker)) for worker in range(workers)]
        for _ in range(flushes):
            seen = done
            await asyncio.to_thread(server.command, "SCRIPT", "FLUSH", "SYNC")
            await until(lambda seen=seen: done > seen, "work goes on after the flush")  # type: ignore[misc]
        ended = True
        await asyncio.gather(*tasks)
        await assert_told_once(service, done, done)
        return done


async def cancelled_at_every_turn(url: str, namespace: str, rounds: int) -> Counter[int]:
    """Callers are cancelled one turn of the loop later each time; how many events each of them left."""
    async with connect(url, namespace=namespace) as service:
        left: Counter[int] = Counter()
        for number in range(rounds):
            turn, session = number % TURNS, f"s{number}"
            await _cancel_after(turn, create(service, number, "k"))
            again = await create(service, number, "k")
            assert (again.status, again.version) == (InterruptStatus.PENDING, 1)
            await _cancel_after(turn, create(service, number))
            await _cancel_after(turn, service.respond(again.id, YES, command_id="c"))
            answered = await service.respond(again.id, YES, command_id="c")
            assert answered is not None
            assert answered.status is InterruptStatus.RESOLVED
            assert [event.version for event in await service.history(again.id)] == [1, 2]
            await service._log.drain()
            log = await service.log.range(service.log.partition_of(session), since=again.created_at)
            events = [event for event in log if event.session_id == session]
            left[len(events) - 2] += 1
        return left


async def _cancel_after(turns: int, call: Any) -> None:
    task = asyncio.ensure_future(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def test_a_server_frozen_during_creates_tells_each_once(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A create that is attempted twice is one event, and its reply is the interrupt."""
    asyncio.run(frozen_during_creates(own_server, Unanswered(monkeypatch), 20))


def test_a_server_frozen_during_answers_tells_each_once(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that is attempted twice is one event, and whoever sent it has won, not lost against itself."""
    asyncio.run(frozen_during_answers(own_server, Unanswered(monkeypatch), 20))


def test_a_call_that_gave_up_can_be_repeated(own_server: RedisServer) -> None:
    """After `may_have_happened`, the same key or command id gives one event, whatever became of the first attempt."""
    asyncio.run(frozen_too_long(own_server, 3 * ATTEMPT_S))


def test_a_read_that_got_no_answer_wrote_nothing(own_server: RedisServer) -> None:
    """Whatever reads can't have happened in part: unavailable, without `may_have_happened`."""

    async def main() -> None:
        async with connect(own_server.url, attempt_timeout_s=0.1, call_timeout_s=0.2) as service:
            waiting = await create(service, 0)
            own_server.freeze()
            reads = (service.get_interrupt(waiting.id), service.history(waiting.id), service.log.range(0))
            for away in await asyncio.gather(*reads, return_exceptions=True):
                assert isinstance(away, UnavailableError)
                assert not away.may_have_happened

    asyncio.run(main())


def test_a_late_answer_never_meets_the_wrong_question(own_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a frozen server still has to say to an abandoned call is not taken for the next call's reply."""
    unanswered = Unanswered(monkeypatch)

    async def main() -> None:
        async with connect(own_server.url, attempt_timeout_s=ATTEMPT_S) as service:
            one, two = await create(service, 1), await create(service, 2)
            own_server.freeze()
            abandoned = asyncio.ensure_future(service.get_interrupt(one.id))
            await until(lambda: unanswered.count > 0, "an attempt times out")
            abandoned.cancel()
            call = asyncio.ensure_future(service.get_interrupt(two.id))
            for _ in range(TURNS):
                await asyncio.sleep(0)
            own_server.thaw()
            assert await call == two
            assert await service.get_interrupt(one.id) == one

    asyncio.run(main())


def test_a_lost_script_cache_is_not_noticed(shared_server: RedisServer) -> None:
    """SCRIPT FLUSH under load causes no error and no double."""
    assert asyncio.run(flushed_under_load(shared_server, 10, 10)) >= 10


def test_a_cancelled_caller_leaves_at_most_one_event(url: str, namespace: str) -> None:
    """Wherever a call is cut off, it was done once or not at all, and its repetition agrees with it."""
    assert set(asyncio.run(cancelled_at_every_turn(url, namespace, 2 * TURNS))) <= {0, 1}
