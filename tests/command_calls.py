"""How Python calls the script that decides commands, and the same call in the words of its header."""

from __future__ import annotations

import asyncio
from typing import Any

from interrupts.limits import (
    COMMANDS_PARKED_MAX,
    LEASE_S,
    REFUSALS_KEPT_MAX,
    REFUSALS_KEPT_S,
    REPLIES_MAX,
)
from interrupts.store.inbox import Inbox, Lease, Written
from interrupts.store.log import Log
from tests.headers import Call
from tests.recording import COMMAND, KEYS, OWNER, Recorder

MADE = "3000" + "9" * 28
DECIDED: dict[int, list[Written]] = {
    3: [
        Written(COMMAND.encode(), "a", "done", '{"position":"3:', terms="new", event=b'["e"]', interrupt_id=MADE),
        Written(b"8-0", "b", "refused", "{}", remember=f"{MADE} b", park='{"why":""}'),
        Written(b"9-0", "", "refused", "{}", park='{"why":""}'),
    ],
}
"""Commands of a partition, as they were decided."""


async def decided(server: Recorder) -> list[Call]:
    """Writes down what was decided, and tells it; and writes down what may not be told yet."""
    inbox, lease, calls = Inbox(Log(KEYS, server)), Lease(OWNER, 1), list[Call]()
    for tell in (True, False):
        for partition, written in DECIDED.items():
            await asyncio.gather(inbox.write(partition, lease, COMMAND, written, tell=tell, confirm=True))
            calls.append(_call(partition, written, tell=tell))
    return calls


def _call(partition: int, written: list[Written], *, tell: bool) -> Call:
    commands = KEYS.commands[partition]
    head: dict[str, Any] = {
        "log": KEYS.logs[partition],
        "deadlines": KEYS.deadlines[partition],
        "mark": KEYS.marks[partition],
        "commands": commands,
        "card": f"{commands}:card",
        "replies": KEYS.replies[partition],
        "refused": f"{commands}:refused",
        "refused_at": f"{commands}:refused:at",
        "parked": f"{commands}:parked",
        "owner": OWNER,
        "lease": 1,
        "lease_ms": round(LEASE_S * 1000),
        "confirm": "1",
        "first": COMMAND,
        "tell": "1" if tell else "",
        "replies_max": REPLIES_MAX,
        "refused_max": REFUSALS_KEPT_MAX,
        "refused_s": REFUSALS_KEPT_S,
        "parked_max": COMMANDS_PARKED_MAX,
    }
    return {
        "head": [head],
        "append": [{"interrupt": KEYS.interrupt(one.interrupt_id)} for one in written if one.terms],
        "command": [
            {name: getattr(one, name) for name in Written.__struct_fields__ if name != "interrupt_id"}
            for one in written
        ],
    }
