"""Waiting for the first of several, and for all of them; asking, which creates and waits."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from interrupts import ConflictError, InterruptStatus, connect
from interrupts.errors import NotFoundError, ValidationError, WaitTimeoutError
from interrupts.ids import new_id
from interrupts.limits import WAIT_MANY_MAX
from tests.conftest import until_expired, whole_log
from tests.waiting import YES, ask, asleep, begun, hung_up, run, types

MANY = 300
SHORT = timedelta(milliseconds=1)


def test_the_first_that_closes_ends_the_wait_for_any(url: str, namespace: str) -> None:
    """Whichever of them it is and however it closes; nobody waits for the others any more, which are as they were."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = [await ask(one, f"s{number}") for number in range(6)]
            ids = [interrupt.id for interrupt in asked]
            for first in (3, 0, 5):
                task = asyncio.create_task(one.wait_any([ids[n] for n in range(6) if asked[n].is_pending]))
                await asleep(one, sum(interrupt.is_pending for interrupt in asked))
                close = two.respond(ids[first], YES) if first else two.cancel(ids[first])
                closed = await close
                assert closed is not None
                assert await task == closed
                asked[first] = closed
                assert hung_up(one) == []
            assert [await two.get_interrupt(one_id) for one_id in ids] == asked

    run(main())


@pytest.mark.parametrize("timeout", [0, 5, None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_is_closed_already_is_returned_at_once(
    url: str, namespace: str, timeout: float | None, place: int
) -> None:
    """Wherever it stands among those that wait, and even if there is no time at all."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            ids = [(await ask(service, f"s{number}")).id for number in range(3)]
            answered = await service.respond(ids[place], YES)
            assert await service.wait_any(ids, timeout) == answered
            assert hung_up(service) == []

    run(main())


def test_of_several_closed_ones_the_first_to_be_closed_is_returned(url: str, namespace: str) -> None:
    """By the time at which they were closed, not by their place in the list."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = [await ask(service, f"s{number}") for number in range(3)]
            ids = [interrupt.id for interrupt in asked]
            late = await ask(service, ttl=SHORT)
            await until_expired(service, late.id)
            ended = [await service.cancel(ids[1])]
            clock = await ask(service, ttl=timedelta(milliseconds=2))  # by then the server shows another millisecond
            await until_expired(service, clock.id)
            ended.append(await service.respond(ids[2], YES))
            assert await service.wait_any(ids) == ended[0]
            assert await service.wait_any(ids[::-1], 0) == ended[0]
            assert await service.wait_any([ids[2], ids[2]]) == ended[1]

    run(main())


def test_all_are_waited_for_and_come_in_the_order_of_their_ids(url: str, namespace: str) -> None:
    """Answered in another order, called off or expired; one that is asked for twice comes twice."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = [await ask(one, f"s{number}") for number in range(4)]
            asked.append(await ask(one, "s4", ttl=timedelta(milliseconds=100)))
            ids = [interrupt.id for interrupt in asked] + [asked[0].id]
            task = asyncio.create_task(one.wait_all(ids))
            for number in (2, 0, 3):
                await two.respond(ids[number], YES)
            await until_expired(two, ids[4])
            await two.get_interrupt(ids[1])
            assert not task.done()
            await two.cancel(ids[1])
            told = await task
            assert [interrupt.id for interrupt in told] == ids
            assert [interrupt.status.value for interrupt in told] == [
                *("resolved", "cancelled", "resolved", "resolved", "expired", "resolved")
            ]
            assert told == [await two.get_interrupt(one_id) for one_id in ids]
            assert hung_up(one) == []

    run(main())


def test_many_are_waited_for_at_once(url: str, namespace: str) -> None:
    """Hundreds, answered while they are waited for."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:
            asked = await asyncio.gather(*(ask(one, f"s{number}") for number in range(MANY)))
            task = asyncio.create_task(one.wait_all([interrupt.id for interrupt in asked]))
            answered = await asyncio.gather(*(two.respond(interrupt.id, YES) for interrupt in asked))
            assert await task == list(answered)

    run(main())


def test_when_the_time_is_up_all_wait_on(url: str, namespace: str) -> None:
    """For any and for all: a WaitTimeoutError, nothing written, nothing left behind."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = [await ask(service, f"s{number}") for number in range(4)]
            ids = [interrupt.id for interrupt in asked]
            for timeout in (0, 0.02, SHORT):
                with pytest.raises(WaitTimeoutError):
                    await service.wait_any(ids, timeout)
                with pytest.raises(WaitTimeoutError):
                    await service.wait_all(ids, timeout)
                assert hung_up(service) == []
            await service.respond(ids[0], YES)
            with pytest.raises(WaitTimeoutError):
                await service.wait_all(ids, 0)
            assert [await service.get_interrupt(one_id) for one_id in ids[1:]] == asked[1:]
            assert len(await whole_log(service)) == 5

    run(main())


def test_one_unknown_id_ends_the_wait_and_leaves_nothing(url: str, namespace: str) -> None:
    """Not found, before anything else happens to those that there are."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            asked = await ask(service)
            for ids in ([asked.id, new_id("s")], ["?", asked.id], [new_id("t"), asked.id]):
                for call in (service.wait_any, service.wait_all):
                    with pytest.raises(NotFoundError):
                        await call(ids, 60)
                    assert hung_up(service) == []

    run(main())


def test_what_is_no_list_of_ids_is_refused(namespace: str) -> None:
    """None at all, too many, one id instead of a list, something else in it: by name, and nothing waits."""

    async def main() -> None:
        async with connect("memory://", namespace=namespace) as service:
            asked = await ask(service)
            one = asked.id
            many: list[Any] = [[], (), [one] * (WAIT_MANY_MAX + 1), one, {one}, None, 5, asked, iter([one])]
            for call in (service.wait_any, service.wait_all):
                for wrong in many:
                    with pytest.raises(ValidationError) as refused:
                        await call(wrong)
                    assert refused.value.field == "interrupt_ids"
                for wrong in ([asked], [one, None], [one, asked], [[one]], [b"x"]):
                    given: Any = wrong
                    with pytest.raises(ValidationError) as refused:
                        await call(given)
                    assert refused.value.field == "interrupt_id"
            assert not service._waiters._bells

    run(main())


def test_asking_creates_one_and_gives_what_becomes_of_it(url: str, namespace: str) -> None:
    """All that a creation takes; the answer, the cancellation, or that nobody came in time."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            call = service.ask("confirmation", "r", "u", "s", "e", None, "Go on?", {"n": 1}, timeout=60, ttl_seconds=90)
            (task,) = await begun(service, call)
            (created,) = await whole_log(service)
            assert created.terms["ttl_ms"] == 90_000
            answered = await service.respond(created.interrupt_id, YES)
            assert await task == answered
            assert answered is not None
            assert (answered.message, answered.data, answered.envelope_id) == ("Go on?", {"n": 1}, "e")
            late = await service.ask("timeout", "r", "u", "s", ttl=timedelta(milliseconds=50))
            assert late.status is InterruptStatus.EXPIRED
            assert await types(service, late.id) == ["interrupt.created", "interrupt.expired"]
            with pytest.raises(WaitTimeoutError) as over:
                await service.ask("timeout", "r", "u", "s", timeout=0.01)
            assert over.value.interrupt is not None
            assert over.value.interrupt.is_pending

    run(main())


def test_asking_again_with_the_same_key_goes_on_waiting_for_the_same(url: str, namespace: str) -> None:
    """After the first who asked is gone: one interrupt; the answer of meanwhile at once; another body is refused."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as one, connect(url, namespace=namespace) as two:

            def asking(service: Any, question: str = "?", **options: Any) -> Any:
                return service.ask("clarification", "r", "u", "s", question=question, idempotency_key="k", **options)

            (gone,) = await begun(one, asking(one))
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            assert hung_up(one) == []
            (created,) = await whole_log(one)
            waiters = await begun(one, asking(one), asking(one, timeout=60))
            waiters += await begun(two, asking(two))
            answered = await two.cancel(created.interrupt_id, "off")
            assert await asyncio.gather(*waiters) == [answered] * 3
            assert await asking(two, timeout=0) == answered
            with pytest.raises(ConflictError) as refused:
                await asking(one, "another")
            assert refused.value.code == "idempotency"
            assert len(await whole_log(one)) == 2

    run(main())
