"""How Python calls the scripts of groups, and the same calls in the words of the headers."""

from __future__ import annotations

from interrupts.limits import HELD_MAX, LEASE_S, PARKED_MAX
from interrupts.store.groups import Groups, Step
from interrupts.views import Checkpoint
from tests.headers import Call
from tests.recording import KEYS, LEASE, Recorder

GROUP = "g"
OWNER = "somebody"
LEASE_MS = round(LEASE_S * 1000)
AT = Checkpoint("5-0", 5, b'["event 5"]')
CHANGES = [("hold", "5-1", "1 w no"), ("done", "5-1", ""), ("park", "5-2", "{}")]


def card(partition: int) -> str:
    """What is known of the group there."""
    return KEYS.group(partition, GROUP)


async def enlist(server: Recorder) -> list[Call]:
    """Makes a group known."""
    asked = [(3, "now"), (0, "beginning"), (15, "17"), (1, "5-0")]
    for partition, start in asked:
        await Groups(server, KEYS).enlist(GROUP, partition, start)
    return [{"head": [{"log": KEYS.logs[p], "card": card(p), "start": start}]} for p, start in asked]


async def lease(server: Recorder) -> list[Call]:
    """Takes a partition, and gives it back."""
    groups = Groups(server, KEYS)
    await groups.lease(GROUP, 3, OWNER)
    await groups.give_back(GROUP, 3, OWNER)
    return [{"head": [{"card": card(3), "owner": OWNER, "lease_ms": ms}]} for ms in (LEASE_MS, 0)]


async def progress(server: Recorder) -> list[Call]:
    """Writes steps down: on one server all in one call, in a cluster each in a call of its own."""
    groups = Groups(server, KEYS)
    steps = [
        Step(3, LEASE, 1, AT, "6-0", list(CHANGES)),
        Step(0, LEASE, 1, None, "", []),
        Step(15, LEASE, 1, AT, "7-0", CHANGES[:1]),
    ]
    together = [steps] if server.route.one_server else [[step] for step in steps]
    calls: list[Call] = []
    for some in together:
        await groups.progress(GROUP, some)
        calls.append(
            {
                "head": [{"lease_ms": LEASE_MS, "parked_max": PARKED_MAX}],
                "partition": [
                    {
                        "card": card(step.partition),
                        "held": f"{card(step.partition)}:held",
                        "parked": f"{card(step.partition)}:parked",
                        "lease": step.lease,
                        "step": step.number,
                        "at": "" if step.at is None else step.at.encode(),
                        "begun": step.begun,
                        "changes": len(step.changes),
                    }
                    for step in some
                ],
                "change": [
                    {"what": what, "id": stream_id, "text": text}
                    for step in some
                    for what, stream_id, text in step.changes
                ],
            }
        )
    return calls


async def release(server: Recorder) -> list[Call]:
    """Takes events out of what is parked, and hands some over once more."""
    ids = ["5-1", "5-2"]
    calls: list[Call] = []
    for what in ("again", "drop", "feed"):
        await Groups(server, KEYS).release(GROUP, 3, what, ids)
        keys = {"card": card(3), "held": f"{card(3)}:held", "parked": f"{card(3)}:parked"}
        calls.append({"head": [keys | {"what": what, "room": HELD_MAX, "id": ids}]})
    return calls
