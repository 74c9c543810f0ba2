"""Looking after endpoints that are registered: switched off and on, and given another secret."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import msgspec

from interrupts import InterruptService
from interrupts.checks import check_said, check_seconds
from interrupts.errors import ConflictError
from interrupts.signatures import check_secret
from interrupts.store.deliveries import Deliveries
from interrupts.store.hooks import MOVED, Change, Hooks
from workers.webhooks.registered import ROTATION_S, Off, Registered, encoded, registered

BY_HAND: Final = "it was switched off by hand"


class Keeping:
    """The part of `Webhooks` that looks after endpoints."""

    _service: InterruptService
    _hooks: Hooks
    _deliveries: Deliveries

    async def switch_off(self, webhook_id: str, why: str = BY_HAND) -> bool:
        """Sends it nothing until it is switched on: its events wait, as far as there is room. False: it was off.

        Raises `NotFoundError`, `UnavailableError`.
        """
        await self._one(webhook_id)
        check_said("why", why)
        off = msgspec.json.encode(Off(why[:200], time.time_ns() // 1_000_000)).decode()
        return await self._hooks.switch_off(webhook_id, off)

    async def switch_on(self, webhook_id: str) -> bool:
        """Sends it what has waited, and goes on. False: it was on. Raises `NotFoundError`, `UnavailableError`."""
        await self._one(webhook_id)
        partitions = range(self._service.store.keys.partitions)
        await asyncio.gather(*(self._deliveries.no_more_failing(one, webhook_id) for one in partitions))
        return await self._hooks.switch_on(webhook_id)

    async def rotate_secret(self, webhook_id: str, secret: str, *, overlap_s: float = ROTATION_S) -> None:
        """From now on it is signed with this secret, and for `overlap_s` seconds with the one before as well; one that
        was before that one, in a rotation that is not over, ends now.

        Raises `NotFoundError`, `ValidationError`, `ConflictError` if it is changed by somebody else meanwhile.
        """
        check_seconds("overlap_s", overlap_s)
        new = check_secret(secret)
        change = await self._change(webhook_id)
        was = registered(change).what
        if was.secret == new:
            return  # said again
        until_ms = time.time_ns() // 1_000_000 + round(overlap_s * 1000)
        what = msgspec.structs.replace(was, secret=new, old_secret=was.secret, old_until_ms=until_ms)
        if await self._hooks.put(webhook_id, encoded(what), change.stored or b"") == MOVED:
            raise moved(webhook_id)

    async def _one(self, webhook_id: str) -> Registered:
        raise NotImplementedError

    async def _change(self, webhook_id: str) -> Change:
        raise NotImplementedError


def moved(hook: str) -> ConflictError:
    """Somebody else was first."""
    return ConflictError(
        f"The webhook {hook} was changed by somebody else at the same time. Look at it, and try again. Nothing was "
        "changed.",
        code="version",
    )
