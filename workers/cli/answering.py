"""`respond`, `cancel` and `extend`: what changes an interrupt, and what then stands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from interrupts import FlowInterrupt, InterruptResponse, InterruptService
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected
from workers.cli.outcome import unknown
from workers.cli.screen import say, write_json
from workers.cli.text import content_text, moment, plain

Call = Callable[[InterruptService], Awaitable[FlowInterrupt | None]]


class Who(msgspec.Struct, frozen=True):
    """Who does it, on which version, and under which id of the command."""

    user_id: str | None = None
    actor: str | None = None
    expected_version: int | None = None
    command_id: str | None = None


async def respond(where: Where, interrupt_id: str, response: InterruptResponse, who: Who, *, as_json: bool) -> Code:
    """Answers. Raises `NotFoundError`, `ConflictError` with who won, and the service's other refusals."""

    def call(service: InterruptService) -> Awaitable[FlowInterrupt | None]:
        return service.respond(interrupt_id, response, **msgspec.structs.asdict(who))

    return await _change(where, interrupt_id, call, as_json=as_json)


async def cancel(where: Where, interrupt_id: str, reason: str | None, who: Who, *, as_json: bool) -> Code:
    """Calls it off. Raises as `respond`."""

    def call(service: InterruptService) -> Awaitable[FlowInterrupt | None]:
        return service.cancel(interrupt_id, reason, **msgspec.structs.asdict(who))

    return await _change(where, interrupt_id, call, as_json=as_json)


async def extend(where: Where, interrupt_id: str, ttl_seconds: float, who: Who, *, as_json: bool) -> Code:
    """Moves its deadline to so long after now. Raises as `respond`."""

    def call(service: InterruptService) -> Awaitable[FlowInterrupt | None]:
        return service.extend(interrupt_id, ttl_seconds=ttl_seconds, **msgspec.structs.asdict(who))

    return await _change(where, interrupt_id, call, as_json=as_json)


async def _change(where: Where, interrupt_id: str, call: Call, *, as_json: bool) -> Code:
    async with connected(where) as service:
        changed = await call(service)
    if changed is None:
        raise unknown(interrupt_id)
    if as_json:
        write_json(changed.to_dict())
    else:
        say(_stands(changed))
    return Code.DONE


def _stands(interrupt: FlowInterrupt) -> str:
    """What now holds, in a line."""
    parts = [f"{interrupt.id} is {interrupt.status.value}"]
    if interrupt.resolved_at is not None:
        parts.append(f"by {plain(interrupt.resolved_by)}" if interrupt.resolved_by else "")
        parts.append(f"at {moment(interrupt.resolved_at)}")
    elif interrupt.expires_at is not None:
        parts.append(f"until {moment(interrupt.expires_at)}")
    said = "" if interrupt.response is None else content_text(interrupt.response.to_dict())
    ends = (f": {said}" if said else "") + f", version {interrupt.version}"
    return " ".join(part for part in parts if part) + ends
