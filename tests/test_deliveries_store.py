"""What is to be sent is written down: once, in one step with the place in the log, and as far as there is room.

(How it is fetched: `test_deliveries_fetched`; what comes of it: `test_deliveries_sent`; any sequence of all of it:
`test_deliveries_state_machine`.)
"""

from __future__ import annotations

import pytest

from interrupts.limits import WORKER_LEASE_S
from interrupts.store.deliveries import NO_ROOM, Add, Written
from interrupts.views import Checkpoint
from tests.lanes_clocked import BODY, CLAIM_MS, GROUP, HOOK, LEFT_OUT, OTHER, OWNER, START_MS, Clock, lanes, left_out
from tests.reacting import run


def test_deliveries_are_written_down_with_the_place_and_its_reader(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are claimed wait until the claim ends; the others may be sent at once. The counts are of bytes."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            first = lane.portion(Add("1-0", HOOK, CLAIM_MS, b"one"), Add("1-0", OTHER, 0, b"other"))
            second = lane.portion(Add("9-0", HOOK, 7, b""), partition=1)
            written = await lane.write(first, second)
            assert written == [Written(0, [START_MS + CLAIM_MS, 0]), Written(0, [START_MS + 7])]
            kept = await lane.kept()
            assert (kept.waiting, kept.bodies) == ({"1-0": START_MS + CLAIM_MS}, {"1-0": b"one"})
            assert kept.stats == {"bytes": 3}
            kept = await lane.kept(OTHER)
            assert (kept.waiting, kept.bodies, kept.stats) == ({"1-0": START_MS}, {"1-0": b"other"}, {"bytes": 5})
            assert (await lane.kept(partition=1)).waiting == {"9-0": START_MS + 7}
            assert set(await lane.all.waiting_for(0)) == {HOOK, OTHER}
            assert await lane.all.waiting_for(1) == [HOOK]
            names = ("at", "owner", "until", "token")
            card = await lane.raw("HMGET", lane.keys.group(0, GROUP), *names)
            until = str(START_MS + round(WORKER_LEASE_S * 1000))
            assert card == [first.at.encode(), OWNER.encode(), until.encode(), first.token.encode()]

    run(main())


def test_what_waits_already_waits_once_and_as_it_was(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that is handed over once more is not claimed away from whoever has it; what was given up waits again."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.add("1-0", claim_ms=CLAIM_MS, body=b"one")
            before = await lane.kept()
            assert await lane.add("1-0", claim_ms=9, body=b"another") == [0]
            assert await lane.kept() == before
            await lane.given_up("2-0", body=b"first")
            assert (await lane.kept()).failed.keys() == {"2-0"}
            assert await lane.add("2-0", body=b"second") == [0]
            kept = await lane.kept()
            assert (kept.failed, kept.waiting["2-0"], kept.tries) == ({}, START_MS, {})
            assert kept.bodies == {"1-0": b"one", "2-0": b"second"}
            assert kept.stats["bytes"] == 9

    run(main())


def test_a_portion_said_again_changes_nothing_and_has_the_same_reply(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reply was lost: what it has claimed is its own, what it found claimed by others, or without room, is not."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.add("1-0", claim_ms=9 * CLAIM_MS)
            await lane.raw("HSET", f"{lane.keys.group(0, GROUP)}:held", "0-5", "0 w ", "0-6", "0 w ")
            adds = [Add(f"{n}-0", HOOK, CLAIM_MS if n < 3 else 0, b"body", 3) for n in range(1, 5)]
            portion, other = (
                lane.portion(*adds, done=["0-5"]),
                lane.portion(Add("1-0", OTHER, 9 * CLAIM_MS, b"b"), partition=1),
            )
            written = await lane.write(portion, other)
            before = await lane.everything()
            lane.clock.ms += CLAIM_MS - 1
            assert await lane.all.deliver(GROUP, OWNER, LEFT_OUT, [portion, other]) == written
            assert await lane.everything() == before
            assert written[0].until == [0, START_MS + CLAIM_MS, 0, NO_ROOM]
            assert await lane.raw("HKEYS", f"{lane.keys.group(0, GROUP)}:held") == [b"0-6"]

    run(main())


@pytest.mark.parametrize("taken", [False, True], ids=["by nobody", "by another"])
def test_a_portion_said_again_too_late_has_nothing(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """Its claim has run out: the delivery is anybody's, or somebody's."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            portion = lane.portion(Add("1-0", HOOK, CLAIM_MS, b"body"))
            await lane.write(portion)
            lane.clock.ms += CLAIM_MS
            if taken:
                assert len(await lane.take()) == 1
            before = await lane.everything()
            assert await lane.all.deliver(GROUP, OWNER, LEFT_OUT, [portion]) == [Written(0, [0])]
            assert await lane.everything() == before

    run(main())


def test_a_place_that_has_moved_writes_nothing(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither deliveries nor a place nor what is dealt with; the other partitions of the call are written."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            held = f"{lane.keys.group(0, GROUP)}:held"
            await lane.raw("HSET", held, "0-5", "0 w ")
            stale = lane.portion(Add("1-0", HOOK, 9, b"stale"), done=["0-5"])
            await lane.add("2-0")
            before = await lane.everything()
            assert await lane.write(stale) == [Written(None, [0])]
            assert await lane.everything() == before
            fresh = lane.portion(Add("3-0", HOOK, 9, b"fresh"), partition=1)
            assert await lane.write(stale, fresh) == [Written(None, [0]), Written(0, [START_MS + 9])]
            assert await lane.raw("HKEYS", held) == [b"0-5"]
            assert (await lane.kept()).waiting.keys() == {"2-0"}
            assert (await lane.kept(partition=1)).waiting.keys() == {"3-0"}
            # A group that nobody has made known has no place at all.
            await lane.raw("DEL", lane.keys.group(1, GROUP))
            lane.at[1] = Checkpoint()
            assert await lane.write(lane.portion(Add("4-0", HOOK, 9, b"b"), partition=1)) == [Written(None, [0])]

    run(main())


def test_events_handed_over_once_more_are_dealt_with_and_news_is_told(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the step that writes their deliveries down."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            held = f"{lane.keys.group(0, GROUP)}:held"
            await lane.raw("HSET", held, "1-0", "0 w ", "2-0", "0 w ")
            await lane.raw("HSET", lane.keys.group(0, GROUP), "news", 7)
            (written,) = await lane.write(lane.portion(Add("1-0", HOOK, 0, b"b"), done=["1-0", "8-0"]))
            assert written == Written(7, [0])
            assert await lane.raw("HKEYS", held) == [b"2-0"]

    run(main())


def test_what_has_no_room_is_given_up_without_its_body(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted once, and kept as what was given up; room comes when something is delivered."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            assert await lane.add("1-0", "2-0", "3-0", waiting_max=2) == [0, 0, NO_ROOM]
            assert await lane.add("3-0", claim_ms=9, waiting_max=2) == [NO_ROOM]
            kept = await lane.kept()
            assert (set(kept.waiting), kept.failed) == ({"1-0", "2-0"}, {"3-0": START_MS})
            assert (set(kept.bodies), kept.tries) == ({"1-0", "2-0"}, {"3-0": left_out()})
            assert kept.stats == {"bytes": 2 * len(BODY), "left_out": 1}
            assert await lane.add("1-0", waiting_max=2) == [0]  # what waits has its room
            assert await lane.add("1-0", hook=OTHER, waiting_max=2) == [0]
            assert (await lane.say("ok", "1-0", 0)).done
            assert await lane.add("3-0", waiting_max=2) == [0]
            kept = await lane.kept()
            assert (set(kept.waiting), kept.failed, kept.tries) == ({"2-0", "3-0"}, {}, {})
            assert (kept.stats["bytes"], kept.stats["left_out"]) == (2 * len(BODY), 1)

    run(main())


def test_each_endpoint_has_its_own_room(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many may wait is said of each, in each partition, and each time anew."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            room = {(0, HOOK): 1, (0, OTHER): 2, (1, OTHER): 3, (1, HOOK): 0}
            portions = []
            for partition in range(2):
                some = [(hook, most) for (where, hook), most in room.items() if where == partition]
                adds = [Add(f"{n}-0", hook, 0, BODY, most) for n in range(1, 5) for hook, most in some]
                portions.append(lane.portion(*adds, partition=partition))
            written = await lane.write(*portions)
            assert [one.until.count(NO_ROOM) for one in written] == [3 + 2, 1 + 4]
            for (partition, hook), most in room.items():
                kept = await lane.kept(hook, partition)
                ids = [f"{n}-0" for n in range(1, 5)]
                assert (sorted(kept.waiting), sorted(kept.failed)) == (ids[:most], ids[most:])
            assert await lane.add("5-0", waiting_max=1) == [NO_ROOM]
            assert await lane.add("5-0", "6-0", waiting_max=2) == [0, NO_ROOM]

    run(main())


def test_no_more_is_kept_of_what_was_left_out_than_of_anything_given_up(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are forgotten, with their bodies; that is counted."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_FAILED_MAX", 2)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.given_up("1-0", body=b"long")
            await lane.add("2-0", body=b"x")
            for number in range(3, 7):
                lane.clock.ms += 1
                assert await lane.add(f"{number}-0", waiting_max=1) == [NO_ROOM]
            kept = await lane.kept()
            assert set(kept.failed) == {"5-0", "6-0"} == set(kept.tries)
            assert kept.bodies == {"2-0": b"x"}
            assert (kept.stats["bytes"], kept.stats["left_out"], kept.stats["dropped"]) == (1, 4, 3)

    run(main())
