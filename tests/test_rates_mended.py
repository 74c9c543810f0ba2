"""Putting right what is counted of users, while creations and folding go on, and while others do the same."""

from __future__ import annotations

import asyncio

import pytest

from interrupts import connect
from projections import PROJECTIONS
from projections.rebuild import rebuild
from projections.verify import verify
from tests.following import assert_right, create, fold_all, some_more
from tests.servers import until
from tests.tallies import reserved
from tests.test_rates_verify import BLOWS, PARTITIONS, RATES, WIDE, on_counts, one_more
from tests.view_standing import until_folded
from workers import running

UNDER_LOAD = ("too few", "a tally is gone", "a group too many", "all counts are gone")
"""What is wrong also if something is counted in the same moment."""


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users are compared a few at a time, and the log is read a few events at a time."""
    monkeypatch.setattr("projections.rates_check.USERS_AT_ONCE", 2)
    monkeypatch.setattr("projections.view_check.READ_EVENTS", 20)


@pytest.mark.usefixtures("flow")
def test_counts_are_put_right_while_creations_and_folding_go_on(url: str, namespace: str) -> None:
    """Damaged again and again, compared and mended under load: at the end all is as the log says, each counted once."""

    async def main() -> None:
        async with (
            connect(url, namespace=namespace, partitions=PARTITIONS, limits=WIDE) as others,
            connect(url, namespace=namespace) as service,
            running(service),
        ):
            await some_more(others, 12)
            made, ended = 0, False

            async def churn(number: int) -> None:
                nonlocal made
                while not ended:
                    await create(others, made + number)
                    made += 1

            churning = [asyncio.create_task(churn(number)) for number in range(3)]
            try:
                for name in UNDER_LOAD:
                    seen = made
                    await BLOWS[name][0](service)
                    assert (await rebuild(service, "rates")).mended >= 1
                    assert (await verify(service)).differences == []
                    await until(lambda seen=seen: made > seen, "others create")  # type: ignore[misc]
            finally:
                ended = True
                await asyncio.gather(*churning)
            assert others._gate is not None
            await others._gate.drain()
            await until_folded(service, PROJECTIONS)
            await assert_right(service, PROJECTIONS)
            assert (await verify(service)).equal
            assert [await reserved(service, user) for user in ("u", "u0", "u1")] == [{}] * 3

    asyncio.run(main())


@pytest.mark.usefixtures("flow")
def test_two_rebuilds_at_once_are_as_good_as_one(url: str, namespace: str) -> None:
    """Each finds what the other has put right, or does it."""

    async def main() -> None:
        async with connect(url, namespace=namespace, partitions=PARTITIONS) as service:
            await some_more(service)
            await fold_all(service, RATES)
            await one_more(service)
            await on_counts(service, "DEL", user="u1")
            done = await asyncio.gather(*(rebuild(service, "rates") for _ in range(3)))
            assert 2 <= sum(one.mended for one in done) <= 6
            await assert_right(service, RATES)
            assert (await verify(service, ["rates"])).differences == []

    asyncio.run(main())
