"""Telling the world what happened: the database's copy, the trace, the webhook, the log line.

This comes after the event is in the log, so nothing here can undo it or fail the call: a port that raises, or takes too
long, is reported loudly and passed over. A crash between the log and a port loses the port's call; whoever must not
miss anything reads the log (`reads_log = True`) and is not called here.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from interrupts.checks import check_id
from interrupts.config import WEBHOOK_EVENT_OF_KIND
from interrupts.errors import ValidationError
from interrupts.events import Acknowledged, AnyEvent, Created, Delivered, Extended, tag_of
from interrupts.limits import PORT_TIMEOUT_S
from interrupts.model import FlowInterrupt
from interrupts.protocols import DatabaseProtocol, LoggerProtocol, OTelAdapterProtocol, WebhookServiceProtocol

P = TypeVar("P")
TABLE: Final = "flow_interrupts"
LOGGER: Final = "interrupts"


def default_logger(over: logging.Logger | None = None) -> LoggerProtocol:
    """structlog over a logger of the standard library (`interrupts`), so that its level decides what is printed."""
    logger: LoggerProtocol = structlog.wrap_logger(
        over or logging.getLogger(LOGGER),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
    )
    return logger


class Ports:
    """The service's ports, each optional."""

    def __init__(
        self,
        *,
        db: DatabaseProtocol | None = None,
        logger: LoggerProtocol | None = None,
        webhook_service: WebhookServiceProtocol | None = None,
        otel_adapter: OTelAdapterProtocol | None = None,
    ) -> None:
        _check_port("db", db, DatabaseProtocol)
        _check_port("logger", logger, LoggerProtocol)
        _check_port("webhook_service", webhook_service, WebhookServiceProtocol)
        _check_port("otel_adapter", otel_adapter, OTelAdapterProtocol)
        plain: object = logger  # a standard library's logger takes no fields: it is wrapped
        over = plain if isinstance(plain, logging.Logger) else None
        self.logger = default_logger(over) if logger is None or over is not None else logger
        self._is_enabled_for = _level_of(logger)
        self._tracer = otel_adapter
        self._db = _unless_it_reads(db)
        self._otel = _unless_it_reads(otel_adapter)
        self._webhook = _unless_it_reads(webhook_service)
        self._silent = self._db is None and self._otel is None and self._webhook is None

    @property
    def idle(self) -> bool:
        """Whether nobody has to be told: no port is set, and debug lines are off."""
        return self._silent and not self._is_enabled_for(logging.DEBUG)

    def trace_context(self, request_id: str) -> tuple[str | None, str | None]:
        """The trace and span in which this request runs, if tracing is there and knows."""
        if self._tracer is None:
            return None, None
        try:
            context = self._tracer.get_trace_context(request_id)
            return _part(context, "trace_id", 32), _part(context, "span_id", 16)
        except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises must not fail the call
            self._failed("otel_adapter", None, request_id, error)
            return None, None

    async def announce(self, interrupt: FlowInterrupt, event: AnyEvent) -> None:
        """Tells all ports of an event that is in the log. Whatever they do, this does not raise.

        Marks are nobody's news, and a webhook is told of what its contract names: a moved deadline is not among that.
        """
        if isinstance(event, Delivered | Acknowledged):
            return
        tag = tag_of(event)
        await self._guarded("logger", interrupt, partial(self._to_log, tag, interrupt))
        if self._db is not None:
            await self._guarded("db", interrupt, partial(self._to_database, self._db, interrupt, event))
        if self._otel is not None:
            noted = partial(self._otel.record_event, tag, interrupt.request_id, _attributes(interrupt))
            await self._guarded("otel_adapter", interrupt, noted)
        if self._webhook is not None and not isinstance(event, Extended):
            name = tag
            if isinstance(event, Created):
                name = event.terms.webhook_event or WEBHOOK_EVENT_OF_KIND[event.kind]
            told = partial(self._webhook.emit_event, name, interrupt.to_dict(), interrupt.request_id)
            await self._guarded("webhook_service", interrupt, told)

    def _to_log(self, tag: str, interrupt: FlowInterrupt) -> None:
        self.logger.debug(
            tag,
            interrupt_id=interrupt.id,
            kind=interrupt.kind.value,
            session_id=interrupt.session_id,
            request_id=interrupt.request_id,
            version=interrupt.version,
            position=interrupt.position,
        )

    @staticmethod
    async def _to_database(db: DatabaseProtocol, interrupt: FlowInterrupt, event: AnyEvent) -> None:
        row = interrupt.to_db_row()
        if isinstance(event, Created):
            await db.insert(TABLE, row)
        else:
            changed: tuple[str, ...] = (
                ("status", "response", "resolved_at", "version", "position", "resolved_by", "reason")
                if not isinstance(event, Extended)
                else ("expires_at", "version", "position")
            )
            await db.update(TABLE, {name: row[name] for name in changed}, {"id": interrupt.id})

    async def _guarded(self, port: str, interrupt: FlowInterrupt, call: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(PORT_TIMEOUT_S):
                result = call()
                if inspect.isawaitable(result):
                    await result
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(port, interrupt.id, interrupt.request_id, error)

    def say(self, level: str, event: str, **fields: Any) -> None:
        """A log line. A logger that raises can't be told of, and must not take the place of what is being told."""
        with contextlib.suppress(Exception):
            getattr(self.logger, level)(event, **fields)

    def _failed(self, port: str, interrupt_id: str | None, request_id: str, error: Exception) -> None:
        self.say(
            "error",
            "interrupts.port_failed",
            port=port,
            interrupt_id=interrupt_id,
            request_id=request_id,
            error=repr(error),
            meaning="the call went on; this port was not told",
        )


def _attributes(interrupt: FlowInterrupt) -> dict[str, Any]:
    return {
        "interrupt_id": interrupt.id,
        "kind": interrupt.kind.value,
        "status": interrupt.status.value,
        "session_id": interrupt.session_id,
        "user_id": interrupt.user_id,
        "version": interrupt.version,
    }


def _part(context: Any, name: str, hex_digits: int) -> str | None:
    value = context.get(name) if isinstance(context, dict) else getattr(context, name, None)
    if isinstance(value, int):
        value = f"{value:0{hex_digits}x}"  # as OpenTelemetry itself writes its numbers
    return None if value is None else check_id(name, str(value))


def _check_port(name: str, port: object, protocol: type) -> None:
    # Not isinstance: since Python 3.12 it does not see methods that are there only when asked for, as structlog's are.
    methods = [method for method in vars(protocol) if not method.startswith("_")]
    lacking = [method for method in methods if port is not None and not callable(getattr(port, method, None))]
    if lacking:
        raise ValidationError(
            f"{name}: {type(port).__name__} is no {protocol.__name__}: it lacks {', '.join(lacking)}.", field=name
        )


def _unless_it_reads(port: P | None) -> P | None:
    """A port that learns what happened from the log itself is not told besides."""
    return None if getattr(port, "reads_log", False) else port


def _level_of(logger: object) -> Callable[[int], bool]:
    """How to ask whether a level is on. A logger that can't tell is always told."""
    is_enabled: Callable[[int], bool] = getattr(
        logging.getLogger(LOGGER) if logger is None else logger, "isEnabledFor", lambda _: True
    )
    try:
        is_enabled(logging.DEBUG)
    except Exception:  # noqa: BLE001 - foreign code, such as a structlog logger over something that has no levels
        return lambda _: True
    return is_enabled
