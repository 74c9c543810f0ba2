"""A worker process from its start to its end: its log, its connection, its signals, and the roles in between.

How it ends, and why that takes a bounded time whatever happens. The first SIGTERM or SIGINT asks the roles to end; they
have `end_timeout_s`, and what is late is cut off. Two things could still keep the process: code that holds up the event
loop, which then hears of nothing, and a thread or a connection that does not go. So the signals are Python's own
handlers and not the loop's, which run while the loop is held up by Python code; and the first one winds up a watchdog
of the interpreter's that needs neither the loop nor the interpreter: when it fires it writes where every thread stands
and ends the process with code 1. The second signal ends it at once, with that signal's own exit status. Work that was
cut off is not lost: whoever comes next goes on from what is in the log.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

import structlog

from interrupts import InterruptsError, InterruptService, ValidationError, connect
from interrupts.open_log import EMBEDDED_FOLDER
from interrupts.ports import LOGGER
from interrupts.protocols import LoggerProtocol
from interrupts.store.urls import parse
from workers.roles import check_roles
from workers.settings import Settings
from workers.supervisor import Supervisor
from workers.wiring import makers

WATCHDOG_S: Final = 3.0
"""How much longer than the roles the process may take to end: to cancel what is late, and to close its connections."""
DONE: Final = 0
CUT_OFF: Final = 1
"""The exit code if something could not be started, or had to be cut off."""
_STDERR: Final = 2


async def serve(settings: Settings, roles: Sequence[str] = ()) -> int:
    """Runs these roles (else those of the settings, else all) until a signal; returns the exit code.

    0: all has ended in time. 1: something had to be cut off, or the store can't be used, which is said. To be called in
    the main thread, as the last thing that a process does: if it was cut off, the watchdog stays wound up. Raises
    `ValidationError` for roles and urls that can't be meant, before anything is begun.
    """
    names = check_roles(roles) or settings.roles
    url = _server(settings)
    logger = log_lines(settings)
    task = asyncio.current_task()
    assert task is not None
    with _signals(settings.end_timeout_s, logger, task.cancel) as ending:
        try:
            async with connect(
                url,
                namespace=settings.namespace,
                partitions=settings.partitions,
                durability=settings.durability,
                replicas=settings.replicas,
                limits=settings.limits,
                logger=logger,
            ) as service:
                supervisor = Supervisor(
                    makers(service, settings, names), service.say, end_timeout_s=settings.end_timeout_s
                )
                ending.how = supervisor.stop
                in_time = await _supervised(supervisor, service, url, settings)
        except asyncio.CancelledError:
            if not ending.asked:
                raise
            task.uncancel()
            logger.info("workers.ended", in_time=True)
            in_time = True
        except InterruptsError as error:
            logger.error("workers.not_started", because=str(error))
            return CUT_OFF
        if in_time:
            faulthandler.cancel_dump_traceback_later()
    return DONE if in_time else CUT_OFF


async def _supervised(supervisor: Supervisor, service: InterruptService, url: str, settings: Settings) -> bool:
    """The roles, from the first line to the last; whether they have ended in time."""
    say, began = service.say, time.monotonic()
    running = [role.role for role in supervisor.health().roles]
    store = {"on": parse(url).where, "namespace": settings.namespace, "partitions": service.log.partitions}
    # What is there by now stays: the collector need not go over it again and again, for as long as a pause is felt.
    gc.collect()
    gc.freeze()
    say("info", "workers.running", roles=running, **store, end_with="Ctrl-C or SIGTERM")
    in_time = await supervisor.run()
    for role in supervisor.health().roles:
        say("info", "workers.done", role=role.role, restarts=role.restarts, numbers=role.numbers)
    say("info", "workers.ended", in_time=in_time, after_s=round(time.monotonic() - began, 3))
    return in_time


def _server(settings: Settings) -> str:
    """Where the data are. Refuses memory, which no other process can see into, also where nothing else is left."""
    if settings.url is None and shutil.which("redis-server"):
        return f"embedded://{EMBEDDED_FOLDER}"
    if settings.url is None:
        raise ValidationError(
            "INTERRUPTS_REDIS_URL: it is not set, and there is no redis-server for a private one. Give the url of a "
            "server, such as redis://host:6379/0.",
            field="url",
        )
    if parse(settings.url).sort == "memory":
        raise ValidationError(
            "url: memory:// is one process's memory, and this process is another. Give the url of a server, or of a "
            "folder (embedded://); in a process of your own use workers.running(service).",
            field="url",
        )
    return settings.url


class _Ending:
    """What a signal does. `how`: how the process is asked to end, at this time; `asked`: whether it was."""

    def __init__(self, loop: asyncio.AbstractEventLoop, logger: LoggerProtocol, end_timeout_s: float) -> None:
        self.asked = False
        self.how: Callable[[], object] = lambda: None
        self._loop = loop
        self._logger = logger
        self._end_timeout_s = end_timeout_s

    def signalled(self, number: int, _frame: FrameType | None) -> None:
        """The first signal asks, the second ends."""
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            os._exit(128 + number)  # the first process of a container does not die of a signal that it does not handle
        self.asked = True
        faulthandler.dump_traceback_later(self._end_timeout_s + WATCHDOG_S, exit=True, file=_STDERR)
        self._loop.call_soon_threadsafe(self._ask, signal.Signals(number).name)

    def _ask(self, name: str) -> None:
        self._logger.info("workers.ending", because=name, within_s=self._end_timeout_s)
        self.how()


@contextmanager
def _signals(end_timeout_s: float, logger: LoggerProtocol, how: Callable[[], object]) -> Iterator[_Ending]:
    """While this lasts, SIGTERM and SIGINT end the process as the top of this file says."""
    ending = _Ending(asyncio.get_running_loop(), logger, end_timeout_s)
    ending.how = how
    before = {number: signal.signal(number, ending.signalled) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def log_lines(settings: Settings) -> LoggerProtocol:
    """Has all log lines of the process written to stderr, as the settings say; returns the store's own logger.

    Lines of libraries and handlers that use the standard library's `logging` come out in the same form.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    as_text = structlog.dev.ConsoleRenderer(
        colors=False,
        timestamp_key="at",
        repr_native_str=True,
        exception_formatter=structlog.dev.plain_traceback,
    )
    written: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, as_text]
    if settings.log_format == "json":
        written[1:] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=written))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    logger: LoggerProtocol = structlog.wrap_logger(
        logging.getLogger(LOGGER),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    )
    return logger
