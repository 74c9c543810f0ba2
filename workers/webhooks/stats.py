"""The counts of an endpoint, made of what is counted in each partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interrupts.positions import time_of
from workers.webhooks.model import EndpointStats


def summed(lanes: Sequence[Mapping[str, int]]) -> EndpointStats:
    """The counts of an endpoint, of those of its lanes."""
    total: dict[str, int] = {}
    for lane in lanes:
        for name, value in lane.items():
            if name.endswith("_at"):
                total[name] = max(total.get(name, 0), value)
            elif name == "failing_since":
                total[name] = min(total.get(name, value), value)
            else:
                total[name] = total.get(name, 0) + value
    delivered = total.get("delivered", 0)
    within = sorted((int(name.partition(":")[2]), n) for name, n in total.items() if name.startswith("within:"))
    # One lane that answers is enough: the endpoint is well.
    well = total.get("delivered_at", 0) > total.get("failing_since", 0)
    times = {
        name: time_of(total[name]) if total.get(name) else None
        for name in ("delivered_at", "failed_at", "failing_since")
    }
    return EndpointStats(
        delivered,
        total.get("failed_tries", 0),
        total.get("given_up", 0),
        total.get("waiting", 0),
        total.get("failed", 0),
        total.get("left_out", 0),
        total.get("dropped", 0),
        round(total.get("took_ms", 0) / delivered, 1) if delivered else 0.0,
        _quantile(within, 0.5),
        _quantile(within, 0.99),
        times["delivered_at"],
        times["failed_at"],
        None if well else times["failing_since"],
    )


def _quantile(within: list[tuple[int, int]], share: float) -> float:
    """A bound below which so large a share of the answers was."""
    left = share * sum(count for _, count in within)
    for bound, count in within:
        left -= count
        if left <= 0:
            return float(bound)
    return 0.0
