"""The runner: `python -m benchmarks`, or `make bench`. It prints a JSON line per figure, then a table for people.

ONLY=append    one part
SCALE=0.01     all sizes but the number of pairs, times this: for trying a benchmark out, not for its figures
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys

from benchmarks.figures import Figure
from benchmarks.parts import PARTS, Part
from benchmarks.progress import say
from benchmarks.table import table

PROGRAMS = ("redis-server", "redis-benchmark")


def main() -> None:
    """Runs what was asked for. A missed target is marked and is no failure; what can't be run is."""
    # Ended politely, it still ends its servers. For an end that is not polite, see `server`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    parts, scale = _chosen(os.environ.get("ONLY")), _scale(os.environ.get("SCALE"))
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"The benchmarks need {' and '.join(missing)} on the PATH. `make bench` installs what is missing.")
    figures: list[Figure] = []
    for name, part in parts.items():
        say(f"part {name}")
        asyncio.run(_run(part, scale, figures))
    print(f"\n{table(figures)}")


async def _run(part: Part, scale: float, figures: list[Figure]) -> None:
    async for figure in part(scale):
        print(figure.to_json(), flush=True)
        figures.append(figure)


def _chosen(only: str | None) -> dict[str, Part]:
    if not only:
        return PARTS
    if only not in PARTS:
        sys.exit(f"There is no part {only!r} of the benchmarks. There are: {', '.join(PARTS)}.")
    return {only: PARTS[only]}


def _scale(given: str | None) -> float:
    try:
        scale = float(given or 1)
    except ValueError:
        scale = 0.0
    if not 0 < scale <= 100:
        sys.exit(f"SCALE={given} can't be used: give a number above 0, at most 100.")
    return scale


if __name__ == "__main__":
    main()
