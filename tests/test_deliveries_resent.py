"""What was given up is sent again or dropped, and a lane can be looked at, and forgotten as a whole."""

from __future__ import annotations

import pytest

from interrupts.store.deliveries import Settled
from interrupts.store.lane_looks import Listed
from tests.lanes_clocked import BODY, CLAIM_MS, HOOK, OTHER, START_MS, Clock, lanes
from tests.reacting import run

NOT_DONE = Settled(False, 0, 0)


def test_what_was_given_up_is_sent_again_from_its_first_try(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the body that is there or the one that is said; what waits already is left as it is."""
    monkeypatch.setattr("interrupts.store.deliveries.RELEASE_BATCH_MAX", 2)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.given_up("1-0", "2-0", "3-0")
            await lane.raw("HDEL", f"{lane.keys.lanes(0)}{HOOK}:bodies", "3-0")
            await lane.raw("HINCRBY", f"{lane.keys.lanes(0)}{HOOK}:stats", "bytes", -len(BODY))
            (until,) = await lane.add("4-0", claim_ms=CLAIM_MS, body=b"four")
            await lane.take(0)
            lane.clock.ms += 1
            some = [("1-0", b""), ("2-0", b"longer"), ("3-0", b""), ("4-0", b"other"), ("5-0", b""), ("6-0", b"six")]
            became = await lane.all.resend(0, HOOK, "again", [*some, ("1-0", b"")])
            assert became == [1, 1, 3, 2, 0, 1, 2]
            kept = await lane.kept()
            assert kept.waiting == dict.fromkeys(["1-0", "2-0", "6-0"], START_MS + 1) | {"4-0": until}
            assert (set(kept.failed), set(kept.tries)) == ({"3-0"}, {"3-0"})
            assert kept.bodies == {"1-0": BODY, "2-0": b"longer", "4-0": b"four", "6-0": b"six"}
            assert kept.stats["bytes"] == len(BODY) + 13
            assert {one.tries for one in await lane.take()} == {b""}

    run(main())


def test_what_was_given_up_is_forgotten_when_it_is_dropped(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is, and nobody is told that something waits."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.given_up("1-0", "2-0")
            await lane.add("3-0")
            dropped = await lane.all.resend(0, HOOK, "drop", [("1-0", b""), ("3-0", b""), ("9-0", b""), ("1-0", b"")])
            assert dropped == [1, 2, 0, 0]
            kept = await lane.kept()
            assert (set(kept.failed), set(kept.waiting)) == ({"2-0"}, {"3-0"})
            assert (set(kept.bodies), set(kept.tries), kept.stats["bytes"]) == (
                {"2-0", "3-0"},
                {"2-0"},
                2 * len(BODY),
            )
            await lane.say("ok", "3-0", 0)
            await lane.take()
            await lane.all.resend(0, HOOK, "drop", [("2-0", b"")])
            assert await lane.all.waiting_for(0) == []
            await lane.given_up("4-0")
            await lane.take()
            await lane.all.resend(0, HOOK, "again", [("4-0", b"")])
            assert await lane.all.waiting_for(0) == [HOOK]

    run(main())


def test_a_lane_can_be_looked_at_and_forgotten(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there of it; of each delivery what its tries have come to and the first line of its body."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.given_up("1-0", body=b'"given.up"\nbody')
            lane.clock.ms += 1
            await lane.given_up("0-7")
            lane.clock.ms += 5
            await lane.add("3-0", body=b'"waits"\nbody\nmore')
            (until,) = await lane.add("4-0", claim_ms=9)
            await lane.say("again", "4-0", until, due_ms=20, tries=b"tried")
            await lane.add("5-0", "6-0")
            await lane.say("ok", "5-0", 0, result=b"r1")
            await lane.say("ok", "6-0", 0, result=b"r2")
            waiting = {"3-0": START_MS + 6, "4-0": START_MS + 26}
            tried = frozenset(["0-7", "1-0", "4-0"])
            listed = Listed(waiting, ["1-0", "0-7"], tried, [b"r2", b"r1"])
            nothing = Listed({}, [], frozenset(), [])
            assert await lane.all.listed([(0, HOOK)]) == [listed]
            assert await lane.all.listed_anywhere([(1, HOOK), (0, HOOK), (0, OTHER)]) == [nothing, listed, nothing]
            assert await lane.all.failed_ids(0, HOOK) == ["1-0", "0-7"]
            known = [(b"t", b'"given.up"'), (b"", b""), (b"tried", b'"a.b.c"'), (b"", b'"waits"')]
            assert await lane.all.known_of(0, HOOK, ["1-0", "9-0", "4-0", "3-0"]) == known
            assert await lane.all.known_of(0, HOOK, []) == []
            assert await lane.all.body(0, HOOK, "3-0") == b'"waits"\nbody\nmore'
            assert await lane.all.body(0, HOOK, "9-0") is None
            await lane.add("6-0", hook=OTHER)
            await lane.all.purge(0, HOOK)
            assert await lane.kept() == ({}, {}, {}, {}, [], {})
            assert await lane.all.stats(0, HOOK) == {"waiting": 0, "failed": 0}
            assert await lane.all.waiting_for(0) == [OTHER]
            assert set((await lane.kept(OTHER)).waiting) == {"6-0"}
            # What was at work meanwhile is of no lane any more.
            assert await lane.say("ok", "3-0", 0, result=b"r") == NOT_DONE
            assert await lane.kept() == ({}, {}, {}, {}, [], {})

    run(main())
