"""Workers: how late what is overdue expires, how soon whoever waits wakes, how fast reactions and commands are done."""

from __future__ import annotations

from collections.abc import AsyncIterator

from benchmarks import workers_command
from benchmarks.figures import Figure
from benchmarks.workers_burst import burst
from benchmarks.workers_expiry import lateness
from benchmarks.workers_react import react
from benchmarks.workers_resume import resume


async def run(scale: float) -> AsyncIterator[Figure]:
    """All figures of this part."""
    for figure in await lateness(scale):
        yield figure
    yield await burst(scale)
    for figure in await resume(scale):
        yield figure
    yield await react(scale)
    async for figure in workers_command.run(scale):
        yield figure
