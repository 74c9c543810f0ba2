"""A lane with a key that somebody else has written: nothing of it is changed, and the others go on as before."""

from __future__ import annotations

import pytest

from interrupts import UnavailableError
from interrupts.store.deliveries import BROKEN, Add, Found, Sent, Settled
from interrupts.store.lane_looks import LANE_KEYS, Listed
from tests.lanes_clocked import BODY, CLAIM_MS, HOOK, OTHER, START_MS, Clock, lanes
from tests.reacting import run


@pytest.mark.parametrize("broken", LANE_KEYS)
def test_only_the_lane_that_is_damaged_suffers(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Whichever of its keys it is: it is told, and the place moves, so that one lane holds up no other."""

    async def main() -> None:
        async with lanes(url, namespace, Clock(monkeypatch)) as lane:
            key = f"{lane.keys.lanes(0)}{HOOK}:{broken}"
            await lane.given_up("8-0")
            (until,) = await lane.add("9-0", claim_ms=CLAIM_MS)
            await lane.raw("DEL", key)
            await lane.raw("SET", key, "somebody else's")
            adds = [Add("1-0", HOOK, 0, BODY), Add("1-0", OTHER, CLAIM_MS, BODY), Add("2-0", HOOK, 9, BODY)]
            portion = lane.portion(*adds)
            before = {name: held for name, held in (await lane.everything()).items() if HOOK.encode() in name}
            (written,) = await lane.write(portion)
            assert (written.news, written.until) == (0, [BROKEN, START_MS + CLAIM_MS, BROKEN])
            assert lane.at[0] == portion.at
            found = await lane.fetch((HOOK, 9, 9), (OTHER, 0, 9))
            assert found == {HOOK: Found(None, []), OTHER: Found(START_MS + CLAIM_MS, [])}
            assert set(await lane.all.waiting_for(0)) == {HOOK, OTHER}
            said = [
                Sent(0, HOOK, "9-0", "again", until, tries=b"t"),
                Sent(0, OTHER, "1-0", "ok", 0),
                Sent(0, HOOK, "8-0", "ok", 0),
            ]
            nothing = Settled(False, 0, 0, broken=True)
            assert await lane.all.sent(said) == [nothing, Settled(True, 0, 0), nothing]
            with pytest.raises(UnavailableError, match="WRONGTYPE"):
                await lane.all.resend(0, HOOK, "again", [("8-0", BODY)])
            assert await lane.all.known_of(0, HOOK, ["8-0", "9-0"]) == []
            await lane.add("4-0", hook=OTHER)
            damaged, other = await lane.all.listed([(0, HOOK), (0, OTHER)])
            assert (damaged, other.waiting) == (Listed({}, [], frozenset(), []), {"4-0": START_MS})
            after = {name: held for name, held in (await lane.everything()).items() if HOOK.encode() in name}
            assert after == before
            assert await lane.raw("GET", key) == b"somebody else's"
            await lane.all.purge(0, HOOK)
            assert await lane.add("3-0") == [0]

    run(main())
