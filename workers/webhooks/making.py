"""Bodies made anew, of events that are in the log still: for what waits, or was given up, without its body."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from interrupts import InterruptService
from interrupts.errors import CorruptLogError
from workers.log_entries import entries_at
from workers.webhooks.telling import Told, bodies, packed, told_of


async def made_again(
    service: InterruptService, partition: int, stream_ids: Sequence[str], wanted: Callable[[Told], bool] | None = None
) -> dict[str, bytes]:
    """What is to be sent of these events, by stream id; of those that are wanted, and can still be told.

    Raises `UnavailableError`.
    """
    told = []
    for stream_id, entry in (await entries_at(service, partition, stream_ids)).items():
        try:
            one = told_of(partition, stream_id, entry[1][-1])
        except CorruptLogError:
            continue  # nobody can tell what it was
        if one is not None and (wanted is None or wanted(one)):
            told.append(one)
    made = await bodies(service, told)
    return {one.stream_id: packed(one.name, body) for one, body in zip(told, made, strict=True)}
