"""One try of one delivery: signed, posted, and what follows from the answer noted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Final

import msgspec

from interrupts.limits import HOOK_EXCERPT_CHARS_MAX
from interrupts.signatures import sign
from interrupts.store.deliveries import Due, Sent
from workers.webhooks.line import Item, Line
from workers.webhooks.next_try import Next, after
from workers.webhooks.posting import Answer, Poster
from workers.webhooks.telling import delivery_id
from workers.webhooks.tries import Tried, encoded, tried

GONE_REST_S: Final = 5.0
"""How long nothing is sent to an endpoint that is about to be switched off."""


class Trying:
    """Tries deliveries. `note` is told of each what became of it; `gone` of an endpoint that wants nothing any more,
    with the number of the last change of endpoints (`rev`) that was known when it was asked."""

    def __init__(
        self,
        poster: Poster,
        note: Callable[[Sent], None],
        gone: Callable[[str, int], None],
        rev: Callable[[], int],
    ) -> None:
        self._poster = poster
        self._note = note
        self._gone = gone
        self._rev = rev

    async def once(self, line: Line, item: Item) -> bool:
        """Sends it once; whether there was an answer. If that is cut off, nothing is said of it: the endpoint may have
        it, so the claim holds on."""
        endpoint, hook, now, rev = line.endpoint.what, line.endpoint.id, time.time(), self._rev()
        name = delivery_id(f"{item.partition}:{item.stream_id}", hook)
        try:
            signed = sign(item.body, name, int(now), line.endpoint.secrets(round(now * 1000)))
            left_s = min(endpoint.timeout_s, item.end_by - asyncio.get_running_loop().time())
            answer = await self._poster.post(endpoint.url, item.body, endpoint.headers | signed, left_s)
        except Exception as error:  # noqa: BLE001 - a fault of ours: counted as a try, so that it does not go on for ever
            answer = Answer(None, None, f"it could not be sent: {error!r}"[:HOOK_EXCERPT_CHARS_MAX], None, 0.0)
        then = after(answer, item.attempt, endpoint, random.random())  # noqa: S311 - spreads retries
        self._note(_sent(hook, item, answer, then))
        rest_s = GONE_REST_S if then.gone else then.rest_s
        if rest_s:
            line.rest_until = max(line.rest_until, asyncio.get_running_loop().time() + rest_s)
            self.back_all(line, round(then.rest_s * 1000))
        if then.gone:
            self._gone(hook, rev)
        return answer.status is not None

    def lost(self, line: Line, partition: int, due: Due) -> None:
        """Nothing is left of what was to be sent."""
        told = encoded(msgspec.structs.replace(tried(due.tries), error="its event is in the log no more"))
        self._note(Sent(partition, line.endpoint.id, due.stream_id, "fail", due.until, 0, told))

    def back(self, line: Line, item: Item, due_ms: int) -> None:
        """It was not sent, and waits in Redis again."""
        self._note(Sent(item.partition, line.endpoint.id, item.stream_id, "back", item.until, due_ms))

    def back_all(self, line: Line, due_ms: int) -> None:
        """So does all that is not begun of a line."""
        while line.queue:
            self.back(line, line.queue.popleft(), due_ms)


def _sent(hook: str, item: Item, answer: Answer, then: Next) -> Sent:
    """What became of a try, as it is written down."""
    now_ms = time.time_ns() // 1_000_000
    tried = encoded(
        Tried(
            item.attempt,
            answer.status,
            answer.body,
            answer.error,
            round(answer.duration_ms, 1),
            now_ms,
            now_ms + then.due_ms if then.what == "again" else 0,
            item.name,
            f"{item.partition}:{item.stream_id}",
        )
    )
    ok = then.what == "ok"
    return Sent(
        item.partition,
        hook,
        item.stream_id,
        then.what,
        item.until,
        then.due_ms,
        b"" if ok else tried,
        tried if ok else b"",
        round(answer.duration_ms),
    )
