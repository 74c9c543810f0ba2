"""What follows from an answer: a delivery is done, tried again, or given up; how long the endpoint is left alone."""

from __future__ import annotations

from typing import Final

import msgspec

from workers.webhooks.posting import Answer
from workers.webhooks.registered import Stored

OURS_PAUSE_MS: Final = 1_000
"""How long what could not be sent for a fault of this process rests. It is no try."""


class Next(msgspec.Struct, gc=False, frozen=True):
    """What is done with a delivery: `ok`, `again` after so many milliseconds, `back` (it was not tried), or `fail`.

    `rest_s`: for how long nothing at all is sent to the endpoint, as it asked for. `gone`: it wants nothing any more.
    """

    what: str
    due_ms: int = 0
    rest_s: float = 0.0
    gone: bool = False


def after(answer: Answer, attempt: int, endpoint: Stored, jitter: float) -> Next:
    """What follows from the answer to this try, the `attempt`th. `jitter`: from 0 to 1, by chance.

    The pause is doubled from try to try, and lies between half of that and all of it, so that what has failed together
    does not come back together. Who asks to be left alone for longer is.
    """
    if answer.ok:
        return Next("ok")
    if answer.ours:
        return Next("back", OURS_PAUSE_MS)
    if answer.gone:
        # It waits, as all else that there is for an endpoint that is off.
        return Next("again", 0, 0.0, gone=True)
    rest_s = answer.retry_after_s or 0.0
    if attempt > endpoint.retries:
        return Next("fail", 0, rest_s)
    doubled_s = endpoint.delay_s * 2.0 ** min(attempt - 1, 40)
    pause_s = min(doubled_s, endpoint.delay_max_s) * (0.5 + jitter / 2)
    return Next("again", round(max(pause_s, rest_s) * 1000), rest_s)
