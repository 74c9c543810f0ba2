"""Webhooks: how many are delivered in a second, how soon after the event, and what one that hangs does to the others.

What receives them is another process, on this machine: the network is left out, and what is measured is the sender.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks.figures import Figure
from benchmarks.webhooks_isolation import isolation
from benchmarks.webhooks_latency import latency
from benchmarks.webhooks_rate import rate


async def run(scale: float) -> AsyncIterator[Figure]:
    """All figures of this part."""
    yield await rate(scale)
    yield await latency(scale)
    yield await isolation(scale)
