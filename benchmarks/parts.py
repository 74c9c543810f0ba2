"""What can be measured: one file a part, registered here in one line.

A part is an async generator: it gets the scale of its sizes (1 for the real figures, far less in tests) and yields each
figure when it is done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from benchmarks import append, projections, rates, webhooks, workers
from benchmarks.figures import Figure

Part = Callable[[float], AsyncIterator[Figure]]

PARTS: Final[dict[str, Part]] = {
    "append": append.run,
    "projections": projections.run,
    "rates": rates.run,
    "workers": workers.run,
    "webhooks": webhooks.run,
}
