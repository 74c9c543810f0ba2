"""What may be sent is fetched: the longest waiting first, for a while, as far as there is room, and by one only."""

from __future__ import annotations

import pytest

from interrupts.store.deliveries import Add, Due, Found
from tests.lanes_clocked import BODY, CLAIM_MS, HOOK, OTHER, START_MS, Clock, lanes
from tests.reacting import run


def test_what_is_due_is_fetched_the_longest_waiting_first(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As much as there is room for, each endpoint by itself; it is claimed, and it is told when there is more."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            for number in (3, 1, 2):
                await lane.add(f"{number}-0", body=b"%d" % number)
                lane.clock.ms += 1
            (until,) = await lane.add("4-0", claim_ms=50)
            await lane.say("again", "4-0", until, due_ms=10, tries=b"tried")
            await lane.add("5-0", hook=OTHER)
            now = lane.clock.ms
            found = await lane.fetch((HOOK, 2, 7), (OTHER, 0, 7), ("wh_none", 5, 7))
            assert found[HOOK] == Found(START_MS + 2, [Due("3-0", now + 7, b"", b"3"), Due("1-0", now + 7, b"", b"1")])
            assert found[OTHER] == Found(now, [])
            assert found["wh_none"] == Found(None, [])
            found = await lane.fetch((HOOK, 2, 7))
            assert found[HOOK] == Found(now + 7, [Due("2-0", now + 7, b"", b"2")])
            lane.clock.ms += 6
            assert await lane.take() == []
            lane.clock.ms += 1
            assert [one.stream_id for one in await lane.take()] == ["1-0", "2-0", "3-0"]  # anybody's once more
            lane.clock.ms += 3
            assert await lane.take() == [Due("4-0", lane.clock.ms + CLAIM_MS, b"tried", BODY)]

    run(main())


def test_one_call_fetches_of_several_partitions(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each lane has its own reply, in the order in which they were asked for, and none more than the most."""
    monkeypatch.setattr("interrupts.store.deliveries.FETCH_MAX", 2)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.add("1-0", "2-0", "3-0")
            await lane.write(lane.portion(Add("4-0", OTHER, 0, BODY), partition=1))
            asked = [(1, OTHER, 1, 7), (0, HOOK, 9, 8), (1, HOOK, 1, 9)]
            now_ms, (other, found, none) = await lane.all.fetch(asked)
            assert now_ms == START_MS
            assert other == Found(START_MS + 7, [Due("4-0", START_MS + 7, b"", BODY)])
            assert [(one.stream_id, one.until) for one in found.due] == [(f"{n}-0", START_MS + 8) for n in (1, 2)]
            assert (found.next_ms, none) == (START_MS, Found(None, []))
            assert (await lane.all.waiting_for(0), await lane.all.waiting_for(1)) == ([HOOK], [OTHER])

    run(main())


def test_one_call_fetches_about_so_many_bytes(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is due as before, and that is told. One that is larger alone goes alone."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_READ_BYTES_MAX", 5)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.add("1-0", "2-0", "3-0", body=b"four")
            await lane.add("4-0", body=b"four", hook=OTHER)
            found = await lane.fetch((HOOK, 9, CLAIM_MS), (OTHER, 9, CLAIM_MS))
            assert [one.stream_id for one in found[HOOK].due] == ["1-0", "2-0"]
            assert (found[HOOK].next_ms, found[OTHER]) == (START_MS, Found(START_MS, []))
            assert [one.stream_id for one in await lane.take()] == ["3-0"]
            await lane.add("5-0", "6-0", body=b"more than five")
            assert [one.stream_id for one in await lane.take()] == ["5-0"]
            assert [one.stream_id for one in await lane.take()] == ["6-0"]

    run(main())


def test_one_without_its_body_counts_as_so_many_bytes(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As 65,536 of them: it is made again by whoever has fetched it."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_BYTES_MAX", len(BODY))

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.add("1-0", "2-0", "3-0", "4-0")
            assert (await lane.kept()).bodies == {"1-0": BODY}
            for limit, ids in ((len(BODY) + 65_537, ["1-0", "2-0", "3-0"]), (65_536, ["4-0"])):
                monkeypatch.setattr("interrupts.store.deliveries.HOOK_READ_BYTES_MAX", limit)
                assert [one.stream_id for one in await lane.take()] == ids
            lane.clock.ms += CLAIM_MS
            monkeypatch.setattr("interrupts.store.deliveries.HOOK_READ_BYTES_MAX", len(BODY) + 65_536)
            assert [one.stream_id for one in await lane.take()] == ["1-0", "2-0"]
            monkeypatch.setattr("interrupts.store.deliveries.HOOK_READ_BYTES_MAX", 65_536)
            found = await lane.fetch((HOOK, 9, CLAIM_MS))
            assert (found[HOOK].next_ms, [one.stream_id for one in found[HOOK].due]) == (lane.clock.ms, ["3-0"])

    run(main())


def test_an_endpoint_is_listed_as_long_as_something_waits_for_it(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever fetches and finds nothing takes it off the list; what waits without a body is fetched like the rest."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            (until,) = await lane.add("1-0", claim_ms=CLAIM_MS)
            assert await lane.take() == []
            assert await lane.all.waiting_for(0) == [HOOK]
            await lane.say("ok", "1-0", until)
            assert await lane.take(0) == []
            assert await lane.all.waiting_for(0) == []
            await lane.add("2-0", "3-0")
            await lane.raw("HDEL", f"{lane.keys.lanes(0)}{HOOK}:bodies", "2-0")
            assert [(one.stream_id, one.body) for one in await lane.take()] == [("2-0", b""), ("3-0", BODY)]
            assert (await lane.kept()).waiting == dict.fromkeys(["2-0", "3-0"], START_MS + CLAIM_MS)
            assert await lane.all.waiting_for(0) == [HOOK]

    run(main())
