"""What tests of replays share: a filled log, and looks at what is replayed."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import nullcontext
from typing import Any

import pytest

from interrupts import InterruptResponse, InterruptService, Position
from tests.conftest import whole_log
from tests.parking import placed
from tests.raw import raw
from tests.servers import sessions, until
from workers.replay_choice import Choice
from workers.replaying import Replayed, Replaying, ToLines, replay


async def filled(service: InterruptService) -> list[str]:
    """Rounds of events in each partition, of several types; the positions of all, partition by partition."""
    for number in range(3):
        for session in sessions(service):
            pause = await service.create_clarification(f"req-{number}", "ada", session, "Which?")
            await service.respond(pause.id, InterruptResponse(text="this"))
            await service.create_checkpoint(f"req-{number}", "grace", session)
        await placed(service, *sessions(service))
    return [event.position for event in await whole_log(service)]


async def chosen(service: InterruptService, **choice: Any) -> list[str]:
    """The positions that a choice has, in the order in which they are replayed."""
    file = io.BytesIO()
    done = await replay(service, Choice(**choice), ToLines(nullcontext(file)))
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert done.events == len(lines)
    return [line["position"] for line in lines]


def ms(position: str) -> int:
    """When it was."""
    return Position.parse(position).ms


def at(*places: str) -> list[Position]:
    """Parsed."""
    return list(map(Position.parse, places))


async def everything_but(service: InterruptService, *left_out: str) -> dict[bytes, Any]:
    """All of the namespace's keys, whose names have none of these in them, and what is in them."""
    names = await raw(service, "KEYS", f"{{{service.store.keys.namespace}*")
    kept = [name for name in sorted(names) if not any(each in name.decode() for each in left_out)]
    return {name: await raw(service, "DUMP", name) for name in kept}


async def cut(replaying: Replaying, reached: Any) -> Replayed:
    """Interrupts it when this is so; what it has done."""
    task = asyncio.create_task(replaying.run())
    await until(reached, "it is under way")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return replaying.result()
