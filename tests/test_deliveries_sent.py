"""What comes of deliveries is written down by whoever has them; what is given up is kept, as far as there is room.

(How they come to be there: `test_deliveries_store`; how they are sent again: `test_deliveries_resent`.)
"""

from __future__ import annotations

import pytest

from interrupts.store.deliveries import Sent, Settled
from tests.lanes_clocked import BODY, CLAIM_MS, HOOK, OTHER, START_MS, Clock, lanes
from tests.reacting import run

NOT_DONE, DONE = Settled(False, 0, 0), Settled(True, 0, 0)


@pytest.mark.parametrize("what", ["again", "fail", "back"])
def test_only_who_has_a_delivery_changes_it(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A claim that has run out and was not taken by anybody else is still one's own; said again it changes nothing."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            (mine,) = await lane.add("1-0", claim_ms=CLAIM_MS)
            lane.clock.ms += CLAIM_MS
            (theirs,) = await lane.take()
            before = await lane.everything()
            for until in (mine, 0, theirs.until + 1):
                assert await lane.say(what, "1-0", until, tries=b"mine", result=b"r", due_ms=3) == NOT_DONE
            assert await lane.say(what, "2-0", theirs.until, tries=b"mine") == NOT_DONE
            assert await lane.say(what, "1-0", theirs.until, hook=OTHER, tries=b"mine") == NOT_DONE
            assert await lane.everything() == before
            lane.clock.ms += 2 * CLAIM_MS
            assert (await lane.say(what, "1-0", theirs.until, tries=b"theirs", due_ms=3)).done
            after = await lane.everything()
            assert after != before
            lane.clock.ms += 1
            assert await lane.say(what, "1-0", theirs.until, tries=b"theirs", due_ms=3) == NOT_DONE
            assert await lane.everything() == after

    run(main())


@pytest.mark.parametrize("where", ["one's own", "another's", "nobody's", "given up"])
def test_what_was_delivered_is_gone_whoever_says_so(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Also by one who was frozen, and late: it has arrived. It is counted once."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            (mine,) = await lane.add("1-0", claim_ms=CLAIM_MS, body=b"one")
            await lane.add("2-0", claim_ms=CLAIM_MS, body=b"stays")
            if where == "given up":
                assert (await lane.say("fail", "1-0", mine, tries=b"t")).done
            elif where != "one's own":
                lane.clock.ms += CLAIM_MS
                assert [one.stream_id for one in await lane.take(1)] == ["1-0"]
                lane.clock.ms += CLAIM_MS * (where == "nobody's")
            counts = (await lane.kept()).stats
            assert await lane.say("ok", "1-0", mine, result=b"fine", took_ms=5) == DONE
            kept = await lane.kept()
            assert (set(kept.waiting), kept.failed, kept.bodies) == ({"2-0"}, {}, {"2-0": b"stays"})
            assert (kept.tries, kept.results) == ({}, [b"fine"])
            added = {"bytes": 5, "delivered": 1, "took_ms": 5, "within:8": 1, "delivered_at": lane.clock.ms}
            expected = counts | added
            expected.pop("failing_since", None)
            assert kept.stats == expected
            before = await lane.everything()
            lane.clock.ms += 1
            assert await lane.say("ok", "1-0", mine, result=b"fine", took_ms=5) == NOT_DONE
            assert await lane.everything() == before

    run(main())


def test_what_failed_is_sent_again_later_and_in_the_end_given_up(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its tries have come to is kept, and for how long all have failed is told until one has not."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            (until,) = await lane.add("1-0", claim_ms=CLAIM_MS)
            assert await lane.say("again", "1-0", until, due_ms=30, tries=b"first") == DONE
            assert (await lane.kept()).waiting == {"1-0": START_MS + 30}
            lane.clock.ms += 29
            assert await lane.take() == []
            lane.clock.ms += 1
            (due,) = await lane.take()
            assert due.tries == b"first"
            assert await lane.say("fail", "1-0", due.until, tries=b"second") == Settled(True, 30, 0)
            kept = await lane.kept()
            assert (kept.waiting, kept.failed) == ({}, {"1-0": START_MS + 30})
            assert (kept.tries, kept.bodies, kept.results) == ({"1-0": b"second"}, {"1-0": BODY}, [])
            counts = {"failed_tries": 2, "given_up": 1, "failed_at": START_MS + 30, "failing_since": START_MS}
            assert kept.stats == counts | {"bytes": len(BODY)}
            (until,) = await lane.add("2-0", claim_ms=CLAIM_MS)
            await lane.say("ok", "2-0", until, took_ms=1)
            assert "failing_since" not in (await lane.kept()).stats
            (until,) = await lane.add("3-0", claim_ms=CLAIM_MS)
            lane.clock.ms += 9
            assert await lane.say("again", "3-0", until, tries=b"t") == DONE
            await lane.all.no_more_failing(0, HOOK)
            assert "failing_since" not in (await lane.kept()).stats
            (due,) = await lane.take()
            assert await lane.say("again", "3-0", due.until, tries=b"t") == DONE

    run(main())


def test_what_was_not_sent_is_given_back(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as no try, and is due when it is said."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            (until,) = await lane.add("1-0", claim_ms=CLAIM_MS)
            assert await lane.say("back", "1-0", until, due_ms=40, tries=b"t", result=b"r", took_ms=9) == DONE
            kept = await lane.kept()
            assert (kept.waiting, kept.tries, kept.results) == ({"1-0": START_MS + 40}, {}, [])
            assert kept.stats == {"bytes": len(BODY)}

    run(main())


def test_beyond_so_many_the_oldest_are_forgotten(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what was given up, which is told and counted, and of the results. Their bytes are free again."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_FAILED_MAX", 2)
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_RESULTS_MAX", 3)

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            dropped = []
            for number in range(1, 6):
                (until,) = await lane.add(f"{number}-0", claim_ms=CLAIM_MS, body=b"x" * number)
                dropped.append((await lane.say("fail", f"{number}-0", until, tries=b"t")).dropped)
                await lane.add(f"{number}-1")
                await lane.say("ok", f"{number}-1", 0, result=b"r%d" % number)
                lane.clock.ms += 1
            kept = await lane.kept()
            assert dropped == [0, 0, 1, 1, 1]
            assert (set(kept.failed), set(kept.tries)) == ({"4-0", "5-0"}, {"4-0", "5-0"})
            assert (kept.bodies, kept.results) == ({"4-0": b"xxxx", "5-0": b"xxxxx"}, [b"r5", b"r4", b"r3"])
            assert (kept.stats["bytes"], kept.stats["dropped"], kept.stats["given_up"]) == (9, 3, 5)
            assert await lane.all.failed_ids(0, HOOK) == ["4-0", "5-0"]

    run(main())


def test_the_body_of_what_is_given_up_is_kept_while_there_is_room(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it is for what is to be sent. Without its body a delivery is kept all the same, and can be made again."""
    monkeypatch.setattr("interrupts.store.deliveries.HOOK_BYTES_MAX", 4 * len(BODY))

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            await lane.given_up("1-0", "2-0")
            (until,) = await lane.add("3-0", claim_ms=CLAIM_MS)
            assert (await lane.say("fail", "3-0", until, tries=b"t")).done
            kept = await lane.kept()
            assert (set(kept.failed), set(kept.tries)) == ({"1-0", "2-0", "3-0"}, {"1-0", "2-0", "3-0"})
            assert (set(kept.bodies), kept.stats["bytes"]) == ({"1-0", "2-0"}, 2 * len(BODY))
            assert await lane.all.resend(0, HOOK, "again", [("3-0", b""), ("3-0", BODY)]) == [3, 1]
            assert set((await lane.kept()).bodies) == {"1-0", "2-0", "3-0"}

    run(main())


def test_answers_are_counted_by_powers_of_two(url: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In that of the least one that is larger, up to the longest that an answer may take."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            edges = [edge for power in range(18) for edge in (2**power - 1, 2**power)]
            ids = [f"{number}-0" for number in range(len(edges))]
            await lane.add(*ids)
            outcomes = [Sent(0, HOOK, one, "ok", 0, took_ms=edge) for one, edge in zip(ids, edges, strict=True)]
            assert await lane.all.sent(outcomes) == [DONE] * len(ids)
            stats = await lane.all.stats(0, HOOK)
            counted = {name: count for name, count in stats.items() if name.startswith("within:")}
            assert counted == {"within:1": 1, "within:262144": 1} | {f"within:{2**power}": 2 for power in range(1, 18)}
            assert (stats["took_ms"], stats["delivered"]) == (sum(edges), len(edges))
            assert (stats["waiting"], stats["failed"], stats["bytes"]) == (0, 0, 0)

    run(main())


def test_outcomes_of_several_partitions_go_in_one_call(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own reply, in the order in which they were said."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            (until,) = await lane.add("1-0", claim_ms=CLAIM_MS)
            await lane.raw("HSET", f"{lane.keys.lanes(1)}{HOOK}:stats", "failing_since", START_MS - 7)
            await lane.raw("ZADD", f"{lane.keys.lanes(1)}{HOOK}:waiting", 5, "2-0", 6, "3-0")
            said = [
                Sent(1, HOOK, "2-0", "again", 5, tries=b"t"),
                Sent(0, HOOK, "1-0", "back", until),
                Sent(1, HOOK, "3-0", "ok", 1),
                Sent(0, HOOK, "9-0", "ok", 1),
            ]
            assert await lane.all.sent(said) == [Settled(True, 7, 0), DONE, DONE, NOT_DONE]

    run(main())


def test_outcomes_of_one_call_come_one_after_the_other(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What failed after something has arrived is the first one to fail; the results stand in their order."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            ids = ["1-0", "2-0", "3-0", "4-0"]
            first, *_ = await lane.add(*ids, claim_ms=CLAIM_MS)
            await lane.say("again", "1-0", first, due_ms=9 * CLAIM_MS, tries=b"t")
            lane.clock.ms += 70
            said = [
                Sent(0, HOOK, "2-0", "again", first, 5, b"t"),
                Sent(0, HOOK, "3-0", "ok", first, 0, b"", b"r1", 3),
                Sent(0, HOOK, "3-0", "ok", first, 0, b"", b"twice", 3),
                Sent(0, HOOK, "1-0", "ok", 0, 0, b"", b"r2", 3),
                Sent(0, HOOK, "4-0", "fail", first, 0, b"t"),
            ]
            assert await lane.all.sent(said) == [Settled(True, 70, 0), DONE, NOT_DONE, DONE, DONE]
            kept = await lane.kept()
            assert kept.results == [b"r2", b"r1"]
            assert (set(kept.waiting), set(kept.failed), set(kept.bodies)) == ({"2-0"}, {"4-0"}, {"2-0", "4-0"})
            assert kept.stats["failing_since"] == START_MS + 70
            counted = {"delivered": 2, "took_ms": 6, "within:4": 2, "failed_tries": 3, "bytes": 2 * len(BODY)}
            assert counted.items() <= kept.stats.items()

    run(main())
