"""What there is no room for the body of waits without it: it is made again from the log by whoever sends it."""

from __future__ import annotations

import pytest

from interrupts.store.deliveries import NO_ROOM, Due, Settled
from tests.lanes_clocked import BODY, CLAIM_MS, HOOK, OTHER, START_MS, Clock, lanes, left_out
from tests.reacting import run

ROOM = 2 * len(BODY)


@pytest.mark.parametrize("claim_ms", [0, CLAIM_MS], ids=["waits", "claimed"])
def test_what_has_no_room_for_its_body_waits_without_it(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, claim_ms: int
) -> None:
    """Nothing is given up, or counted as left out; it is fetched without a body, and settled like any other."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_BYTES_MAX", ROOM)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            ends = START_MS + claim_ms
            assert await lane.add("1-0", "2-0", "3-0", claim_ms=claim_ms) == [ends if claim_ms else 0] * 3
            assert await lane.add("3-0", claim_ms=9) == [0]  # it waits already
            assert await lane.add("1-0", hook=OTHER) == [0]
            assert (await lane.kept(OTHER)).bodies == {"1-0": BODY}  # which has its own room
            kept = await lane.kept()
            assert kept.waiting == dict.fromkeys(["1-0", "2-0", "3-0"], ends)
            assert (kept.failed, kept.tries, kept.stats) == ({}, {}, {"bytes": ROOM})
            assert kept.bodies == {"1-0": BODY, "2-0": BODY}
            lane.clock.ms = ends
            until = ends + CLAIM_MS
            bodies = {"1-0": BODY, "2-0": BODY, "3-0": b""}
            assert await lane.take() == [Due(one, until, b"", body) for one, body in bodies.items()]
            assert await lane.say("again", "3-0", until, tries=b"t", due_ms=5) == Settled(True, 0, 0)
            lane.clock.ms += 5
            assert await lane.take() == [Due("3-0", lane.clock.ms + CLAIM_MS, b"t", b"")]
            assert (await lane.kept()).stats["bytes"] == ROOM
            assert await lane.say("ok", "3-0", until, result=b"fine") == Settled(True, 0, 0)
            kept = await lane.kept()
            assert (set(kept.waiting), kept.tries, kept.results) == ({"1-0", "2-0"}, {}, [b"fine"])
            assert (kept.bodies, kept.stats["bytes"], kept.stats["delivered"]) == ({"1-0": BODY, "2-0": BODY}, ROOM, 1)
            assert "left_out" not in kept.stats

    run(main())


def test_room_comes_when_something_is_delivered(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the body of what is written down then. A smaller one finds room where a larger one has not."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_BYTES_MAX", ROOM)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.add("1-0")
            assert await lane.add("2-0", body=BODY + b".") == [0]
            assert await lane.add("3-0") == [0]
            kept = await lane.kept()
            assert (kept.bodies, kept.stats) == ({"1-0": BODY, "3-0": BODY}, {"bytes": ROOM})
            assert (await lane.say("ok", "1-0", 0)).done
            assert await lane.add("4-0") == [0]
            kept = await lane.kept()
            assert (kept.bodies, kept.stats["bytes"]) == ({"3-0": BODY, "4-0": BODY}, ROOM)
            assert set(kept.waiting) == {"2-0", "3-0", "4-0"}

    run(main())


def test_without_its_body_it_takes_the_room_of_one_that_waits(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only when as many wait as may is one given up, whatever its body."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_BYTES_MAX", 0)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            assert await lane.add("1-0", "2-0", "3-0", waiting_max=2) == [0, 0, NO_ROOM]
            kept = await lane.kept()
            assert (set(kept.waiting), kept.bodies) == ({"1-0", "2-0"}, {})
            assert (kept.failed, kept.tries) == ({"3-0": START_MS}, {"3-0": left_out()})
            assert (kept.stats["left_out"], kept.stats["bytes"]) == (1, 0)

    run(main())


def test_what_is_given_up_without_its_body_is_sent_again_with_one_that_is_said(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or written down anew, when its event is handed over once more. The bytes that are counted are those there are."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_BYTES_MAX", 0)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.given_up("1-0", "2-0")
            kept = await lane.kept()
            assert (kept.waiting, set(kept.failed), set(kept.tries)) == ({}, {"1-0", "2-0"}, {"1-0", "2-0"})
            assert (kept.bodies, kept.stats["bytes"], kept.stats["given_up"]) == ({}, 0, 2)
            assert await lane.all.resend(0, HOOK, "again", [("1-0", b""), ("1-0", BODY)]) == [3, 1]
            assert await lane.add("2-0", claim_ms=CLAIM_MS) == [START_MS + CLAIM_MS]
            kept = await lane.kept()
            assert (kept.waiting, kept.failed, kept.tries) == ({"1-0": START_MS, "2-0": START_MS + CLAIM_MS}, {}, {})
            assert (kept.bodies, kept.stats["bytes"]) == ({"1-0": BODY}, len(BODY))
            assert await lane.take() == [Due("1-0", START_MS + CLAIM_MS, b"", BODY)]

    run(main())
