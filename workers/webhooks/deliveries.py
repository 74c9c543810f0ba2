"""Looking at deliveries, and having those that were given up sent again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from interrupts import InterruptService, NotFoundError, ValidationError
from interrupts.checks import shown
from interrupts.limits import HOOK_EXCERPT_CHARS_MAX, LIST_LIMIT_MAX
from interrupts.positions import ms_of
from interrupts.store.deliveries import Deliveries
from interrupts.store.hooks import Hooks
from interrupts.views import place_of
from workers.webhooks.making import made_again
from workers.webhooks.model import Delivery, DeliveryStatus, Resent, WebhookDeliveryResult
from workers.webhooks.registered import Registered
from workers.webhooks.results import results_of
from workers.webhooks.scopes import Scope
from workers.webhooks.telling import delivery_id, parse_delivery_id, unpacked

_NO_BODY = 3
_NOT_THERE = 0
_WAITS = 2
_DONE = 1


class DeliveryLists:
    """The part of `Webhooks` that is about deliveries."""

    _service: InterruptService
    _hooks: Hooks
    _deliveries: Deliveries

    async def get_delivery_results(
        self,
        scope: str | None = None,
        limit: int = 100,
        *,
        webhook_id: str | None = None,
        event_type: str | None = None,
        status: DeliveryStatus | str | None = None,
    ) -> list[WebhookDeliveryResult]:
        """Recent deliveries that meet all filters that are given, the newest events first: those that wait or are tried
        again, those that were given up, and the last ones that were delivered.

        Raises `NotFoundError`, `ValidationError`, `UnavailableError`.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= LIST_LIMIT_MAX:
            raise ValidationError(f"limit: {shown(limit)} is not a number from 1 to {LIST_LIMIT_MAX:,}.", field="limit")
        wanted = _status(status)
        where = None if scope is None else Scope.parse(scope)
        if webhook_id is not None:
            endpoints = [await self._one(webhook_id)]
        else:
            endpoints = list((await self._registered()).values())
        endpoints = [one for one in endpoints if where is None or one.scope == where]
        lanes = [(one, partition) for one in endpoints for partition in range(self._service.store.keys.partitions)]
        return await results_of(
            self._deliveries, lanes, limit, wanted, lambda name: event_type is None or name == event_type
        )

    async def delivery(self, delivery_id: str) -> Delivery:
        """One delivery, with the beginning of its body while that is kept.

        Raises `NotFoundError`, `UnavailableError`.
        """
        partition, stream_id, hook = self._parsed(delivery_id)
        one = await self._one(hook)
        found = await results_of(self._deliveries, [(one, partition)], 1, None, lambda _: True, stream_id)
        if found:
            stored = await self._deliveries.body(partition, hook, stream_id)
            text = None if stored is None else unpacked(stored)[1].decode(errors="replace")
            return Delivery(found[0], one.what.url, None if text is None else text[:HOOK_EXCERPT_CHARS_MAX])
        raise NotFoundError(f"There is no delivery {shown(delivery_id)} (any more): only the last ones are kept.")

    async def resend(
        self,
        webhook_id: str,
        delivery_ids: Iterable[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        everything: bool = False,
    ) -> Resent:
        """Has deliveries sent again, from their first try: those of these ids, whatever has become of them; or of those
        that were given up all, or those whose event happened from `since` on and before `until`.

        Raises `NotFoundError`, `ValidationError`, `UnavailableError`.
        """
        return await self._move(webhook_id, "again", delivery_ids, since, until, everything=everything)

    async def drop(
        self,
        webhook_id: str,
        delivery_ids: Iterable[str] = (),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        everything: bool = False,
    ) -> Resent:
        """Forgets deliveries that were given up. They are chosen as in `resend`."""
        return await self._move(webhook_id, "drop", delivery_ids, since, until, everything=everything)

    async def _registered(self) -> dict[str, Registered]:
        raise NotImplementedError

    async def _one(self, webhook_id: str) -> Registered:
        raise NotImplementedError

    async def _move(
        self,
        webhook_id: str,
        what: str,
        delivery_ids: Iterable[str],
        since: datetime | None,
        until: datetime | None,
        *,
        everything: bool,
    ) -> Resent:
        if isinstance(delivery_ids, str) or not isinstance(delivery_ids, Iterable):
            raise ValidationError("delivery_ids: give a list of ids.", field="delivery_ids")
        ids = list(delivery_ids)
        for field, time in (("since", since), ("until", until)):
            if time is not None and not isinstance(time, datetime):
                raise ValidationError(f"{field}: must be a datetime, not {type(time).__name__}.", field=field)
        ranged = since is not None or until is not None
        if sum((bool(ids), ranged, everything)) != 1:
            raise ValidationError(
                "delivery_ids: say which: some ids, a time range, or everything.", field="delivery_ids"
            )
        endpoint = await self._one(webhook_id)
        chosen = await self._chosen(webhook_id, ids, since, until)
        done, waiting, lost = 0, 0, list[str]()
        for partition, stream_ids in chosen.items():
            became = await self._deliveries.resend(partition, webhook_id, what, [(one, b"") for one in stream_ids])
            without = [one for one, now in zip(stream_ids, became, strict=True) if now in (_NO_BODY, _NOT_THERE)]
            done += became.count(_DONE)
            waiting += became.count(_WAITS)
            if without and what == "again":
                made = await made_again(self._service, partition, without, endpoint.wants)
                again = await self._deliveries.resend(partition, webhook_id, what, list(made.items()))
                done += again.count(_DONE)
                waiting += again.count(_WAITS)
                without = [one for one in without if one not in made]
            lost += [delivery_id(f"{partition}:{one}", webhook_id) for one in without if ids]
        if done and what == "again":
            await self._hooks.ring(webhook_id)
        return Resent(done, waiting, lost)

    async def _chosen(
        self, webhook_id: str, ids: Sequence[str], since: datetime | None, until: datetime | None
    ) -> dict[int, list[str]]:
        chosen: dict[int, list[str]] = {}
        if ids:
            for text in dict.fromkeys(ids):
                partition, stream_id, hook = self._parsed(text)
                if hook != webhook_id:
                    raise ValidationError(f"delivery_ids: {shown(text)} is not of {webhook_id}.", field="delivery_ids")
                chosen.setdefault(partition, []).append(stream_id)
            return chosen
        first = -1 if since is None else ms_of(since)
        last = None if until is None else ms_of(until)
        for partition in range(self._service.store.keys.partitions):
            failed = await self._deliveries.failed_ids(partition, webhook_id)
            some = [one for one in failed if first <= place_of(one)[0] and (last is None or place_of(one)[0] < last)]
            if some:
                chosen[partition] = some
        return chosen

    def _parsed(self, text: str) -> tuple[int, str, str]:
        parsed = parse_delivery_id(text) if isinstance(text, str) else None
        if parsed is None or parsed[0] >= self._service.store.keys.partitions:
            raise NotFoundError(f"There is no delivery {shown(text)}: this can't be the id of one.")
        return parsed


def _status(status: object) -> DeliveryStatus | None:
    if status is None:
        return None
    try:
        return DeliveryStatus(status)
    except ValueError:
        there = ", ".join(one.value for one in DeliveryStatus)
        raise ValidationError(f"status: {shown(status)} is none. There are {there}.", field="status") from None
