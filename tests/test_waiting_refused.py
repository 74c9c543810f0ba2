"""What can't be waited for: what there is not, what is no id, and for a time that is none."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from interrupts import connect
from interrupts.errors import NotFoundError, ValidationError
from tests.conftest import whole_log
from tests.waiting import ask, hung_up, run


@pytest.mark.parametrize("unknown", ["1b0e" + "0" * 28, "", "x", "0" * 31, "G" * 32, "é", "0" * 5_000])
def test_what_there_is_not_can_not_be_waited_for(url: str, namespace: str, unknown: str) -> None:
    """Whatever the text: not found, and nobody waits on."""

    async def main() -> None:
        async with connect(url, namespace=namespace) as service:
            waits: list[Any] = [service.wait(unknown), service.wait_any([unknown]), service.wait_all([unknown], 5)]
            for wait in waits:
                with pytest.raises(NotFoundError):
                    await wait
            assert hung_up(service) == []

    run(main())


TIMEOUTS: list[Any] = [-1, -0.001, timedelta(seconds=-1), math.nan, math.inf, 1e300, "5", True, [], timedelta.max]


@pytest.mark.parametrize("timeout", TIMEOUTS, ids=repr)
def test_what_is_no_time_is_refused(namespace: str, timeout: Any) -> None:
    """By its name, before anything is done."""

    async def main() -> None:
        async with connect("memory://", namespace=namespace) as service:
            asked = await ask(service)
            calls: list[Any] = [service.wait(asked.id, timeout), service.ask("timeout", "r", "u", "s", timeout=timeout)]
            for call in (*calls, service.wait_any([asked.id], timeout), service.wait_all([asked.id], timeout)):
                with pytest.raises(ValidationError) as refused:
                    await call
                assert refused.value.field == "timeout"
            assert len(await whole_log(service)) == 1

    run(main())


def test_something_else_in_place_of_an_id_is_refused(namespace: str) -> None:
    """The interrupt itself above all: it is said what to give."""

    async def main() -> None:
        async with connect("memory://", namespace=namespace) as service:
            asked = await ask(service)
            for wrong in (asked, None, 7, b"x", [asked.id]):
                given: Any = wrong
                with pytest.raises(ValidationError, match=r"give the interrupt's id, not") as refused:
                    await service.wait(given)
                assert refused.value.field == "interrupt_id"

    run(main())
