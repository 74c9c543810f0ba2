"""What the commands for webhooks do with deliveries: send a test, list and show them, send them again, forget them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from interrupts import InterruptService, NotFoundError, ValidationError
from interrupts.limits import LIST_LIMIT_MAX
from interrupts.positions import ms_of
from interrupts.store.deliveries import Deliveries
from workers.cli.codes import Code
from workers.cli.connecting import Where, connected
from workers.cli.screen import note, say, write_json
from workers.cli.text import plain, span
from workers.cli.times import bound
from workers.cli.webhook_screens import body_lines, deliveries_text, of_result, show_fields, show_results, verb
from workers.group_standing import owners_in
from workers.webhooks import DeliveryStatus, WebhookDeliveryResult, Webhooks
from workers.webhooks.place import GROUP

GONE: Final = 410
LOOK_FIRST_S: Final = 0.1
LOOK_MAX_S: Final = 1.0


class Filters(msgspec.Struct, frozen=True):
    """Which deliveries are to be listed."""

    webhook_id: str | None = None
    scope: str | None = None
    status: str | None = None
    event_type: str | None = None
    limit: int = 100


class Which(msgspec.Struct, frozen=True):
    """Which deliveries to an endpoint are meant: some ids, or of those that were given up a range or everything."""

    webhook_id: str
    delivery_ids: Sequence[str] = ()
    since: str | None = None
    until: str | None = None
    everything: bool = False

    async def range(self, service: InterruptService) -> tuple[datetime | None, datetime | None]:
        """From when, and until when. Raises `ValidationError`, `UnavailableError`."""
        return await _time(service, "--since", self.since), await _time(service, "--until", self.until)


async def send_test(where: Where, webhook_id: str, wait_s: float, *, as_json: bool) -> Code:
    """Sends a test, and waits for what comes of its first try; `FAILED` if that is not 2xx. Raises `NotFoundError`,
    `ValidationError`, `UnavailableError`."""
    async with connected(where) as service:
        hooks = Webhooks(service)
        delivery_id = await hooks.send_test(webhook_id)
        result = await _result(hooks, delivery_id, wait_s)
        nobody = not any(await owners_in(service, GROUP, range(service.log.partitions)))
    if as_json:
        write_json({"delivery_id": delivery_id, "result": result})
    elif result is not None:
        show_fields(of_result(result))
    if result is not None and result.response_status == GONE:
        note("410 says that it wants nothing any more: it is switched off.")
    if result is not None:
        return Code.DONE if result.status is DeliveryStatus.DELIVERED else Code.FAILED
    if nobody:
        note("Nobody sends: no process has the role webhooks. The test waits until one has: interrupts worker webhooks")
    else:
        note(f"There is no result after {span(wait_s)}. Look later: interrupts webhooks delivery {delivery_id}")
    return Code.FAILED


async def list_deliveries(where: Where, filters: Filters, *, as_json: bool) -> Code:
    """Those that meet all filters. Raises `NotFoundError`, `ValidationError`, `UnavailableError`."""
    async with connected(where) as service:
        found = await Webhooks(service).get_delivery_results(
            filters.scope,
            filters.limit,
            webhook_id=filters.webhook_id,
            event_type=filters.event_type,
            status=filters.status,
        )
    if as_json:
        write_json(found)
        return Code.DONE
    if found:
        show_results(found)
    else:
        note("There is no such delivery.")
    if len(found) == filters.limit:
        note(f"There may be more, of older events: --limit has up to {LIST_LIMIT_MAX:,}.")
    return Code.DONE


async def show_delivery(where: Where, delivery_id: str, *, as_json: bool) -> Code:
    """One in full. Raises `NotFoundError`, `UnavailableError`."""
    async with connected(where) as service:
        hooks = Webhooks(service)
        one = await hooks.delivery(delivery_id)
        off = (await hooks.endpoint(one.result.webhook_id)).off
    if as_json:
        write_json(one)
        return Code.DONE
    show_fields(of_result(one.result, one.url))
    if one.body is not None:
        say()
        say("what is sent", "bold")
        for line in body_lines(one.body):
            say(line)
    if off is not None and one.result.status in (DeliveryStatus.PENDING, DeliveryStatus.RETRYING):
        note(f"It waits until its webhook is switched on, which is off: {plain(off)}")
    return Code.DONE


async def resend(where: Where, which: Which, *, as_json: bool) -> Code:
    """Has them sent again; `FAILED` if something that was named is not there any more. Raises as `Webhooks.resend`."""
    async with connected(where) as service:
        hooks, (since, until) = Webhooks(service), await which.range(service)
        ids = which.delivery_ids
        done = await hooks.resend(which.webhook_id, ids, since=since, until=until, everything=which.everything)
        one = await hooks.endpoint(which.webhook_id)
    if as_json:
        write_json(done)
    else:
        say(f"{deliveries_text(done.done)} will be sent again")
    if done.waiting:
        note(f"{deliveries_text(done.waiting)} of these {verb(done.waiting, 'waits', 'wait')} to be sent anyway")
    if done.lost:
        note(f"not there any more, and their events are not in the log: {plain(' '.join(done.lost))}")
    if one.off is not None:
        note(f"It is switched off: {plain(one.off)}. Nothing is sent until it is on: interrupts webhooks on {one.id}")
    return Code.FAILED if done.lost else Code.DONE


async def what_is_dropped(where: Where, which: Which) -> str:
    """How many would be dropped, in words; "" for none. Raises as `Webhooks.drop`."""
    async with connected(where) as service:
        await Webhooks(service).endpoint(which.webhook_id)
        count = len(set(which.delivery_ids)) or await _failed_count(service, which)
    return f"{deliveries_text(count)} given up would be forgotten." if count else ""


async def drop(where: Where, which: Which, *, as_json: bool) -> Code:
    """Drops them; `FAILED` if something that was named was not given up. Raises as `Webhooks.drop`."""
    async with connected(where) as service:
        since, until = await which.range(service)
        done = await Webhooks(service).drop(
            which.webhook_id, which.delivery_ids, since=since, until=until, everything=which.everything
        )
    if as_json:
        write_json(done)
    else:
        say(f"{deliveries_text(done.done)} forgotten")
    if done.waiting:
        note(f"{deliveries_text(done.waiting)} of these {verb(done.waiting, 'waits', 'wait')} to be sent, and stay")
    if done.lost:
        note(f"not given up, or not there any more: {plain(' '.join(done.lost))}")
    return Code.FAILED if done.waiting or done.lost else Code.DONE


async def _failed_count(service: InterruptService, which: Which) -> int:
    """How many were given up in a range, or at all."""
    since, until = await which.range(service)
    deliveries, partitions = Deliveries(service.store.server, service.store.keys), range(service.log.partitions)
    lanes = await asyncio.gather(*(deliveries.failed_ids(partition, which.webhook_id) for partition in partitions))
    times = [int(stream_id.partition("-")[0]) for lane in lanes for stream_id in lane]
    first = 0 if since is None else ms_of(since)
    return sum(first <= ms and (until is None or ms < ms_of(until)) for ms in times)


async def _result(hooks: Webhooks, delivery_id: str, wait_s: float) -> WebhookDeliveryResult | None:
    """What has come of a delivery, once it was tried; None if that takes too long."""
    clock = asyncio.get_running_loop().time
    give_up_at, pause_s = clock() + wait_s, LOOK_FIRST_S
    while True:
        with contextlib.suppress(NotFoundError):  # it is not written down yet
            result = (await hooks.delivery(delivery_id)).result
            if result.status is not DeliveryStatus.PENDING:
                return result
        left_s = give_up_at - clock()
        if left_s <= 0:
            return None
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(2 * pause_s, LOOK_MAX_S)


async def _time(service: InterruptService, option: str, given: str | None) -> datetime | None:
    found = await bound(service, option, [] if given is None else [given])
    if found is None or isinstance(found, datetime):
        return found
    raise ValidationError(f"{option}: give a time, or how long ago, not a position.")
