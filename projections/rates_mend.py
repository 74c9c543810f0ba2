"""Building the counts of users again: what is not as the log says is put right, while everything goes on.

The counts have no generations, as other views have: a creation that was let in counts as a reservation until it is
counted from the log, and two builds that are not equally far can't share the reservations. So each user's counts are
put right by themselves, in one step. What was reserved for a creation that is counted by then counts no more.
"""

from __future__ import annotations

import msgspec

from interrupts import InterruptService
from interrupts.codec import decode_lines
from interrupts.errors import CorruptLogError
from interrupts.events import Created
from interrupts.ids import is_id
from interrupts.rate_rules import CREATE
from interrupts.store.tallies import Tallies
from projections.names import key_names
from projections.progress import Meter
from projections.rates_check import RatesCheck
from projections.store import Views
from projections.view_check import Difference


async def mend_rates(service: InterruptService, meter: Meter) -> int:
    """Puts right what is counted of users; returns how many counts were wrong. Raises `UnavailableError`."""

    def say(difference: Difference) -> None:
        service.say("warning", "projections.rates_mended", **msgspec.structs.asdict(difference))

    check = RatesCheck(Views(service.store), meter, say, mends=True)
    await check.run()
    await _settle(service)
    return check.mended


async def _settle(service: InterruptService) -> None:
    """Says of each reservation whose interrupt is in the log when it was made: counted, it is taken away."""
    log = service.store
    keys, tallies = log.keys, Tallies(log)
    async for names in key_names(log.server, keys, range(keys.partitions), ":reserved:*"):
        for partition, found in names.items():
            for name in found:
                user_id = name.removeprefix(keys.reserved[partition])
                members = await log.server.command(keys.slots[partition], "ZRANGE", name, 0, -1)
                for member in members:
                    await _settle_one(service, tallies, user_id, member.decode(errors="backslashreplace"))


async def _settle_one(service: InterruptService, tallies: Tallies, user_id: str, name: str) -> None:
    interrupt_id = name.partition(" ")[0]
    if not is_id(interrupt_id):
        return
    read = await service.store.read(interrupt_id)
    if read.there is None:
        return
    try:
        made = decode_lines(read.there)[0]
    except CorruptLogError:
        return  # whoever compares the interrupts says so
    event = made.event
    if isinstance(event, Created) and event.user_id == user_id:
        groups = name.partition(" ")[2] or CREATE
        number = made.stream_id.partition("-")[2]
        await tallies.settle(user_id, (name, groups, 0, read.partition, made.ms, number, ""))
