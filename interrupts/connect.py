"""The one place where a service is put together: from a url to something that can pause.

    async with interrupts.connect() as service:
        ...

Without a url: the one in INTERRUPTS_REDIS_URL; else a private server in the folder `.interrupts`, where `redis-server`
is installed; else this process's memory. What was chosen for want of a url is said.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from interrupts.config import InterruptConfig
from interrupts.limits import ATTEMPT_TIMEOUT_S, CALL_TIMEOUT_S, PAYLOAD_BYTES_MAX, VIEW_WAIT_S
from interrupts.model import InterruptKind
from interrupts.open_log import check_positive, open_log
from interrupts.ports import default_logger
from interrupts.protocols import DatabaseProtocol, LoggerProtocol, OTelAdapterProtocol, WebhookServiceProtocol
from interrupts.rate_rules import RateLimits, check_limits
from interrupts.rates import RateLimitConfig
from interrupts.service import InterruptService
from interrupts.store.server import Durability
from interrupts.terms import all_terms


@asynccontextmanager
async def connect(
    url: str | None = None,
    *,
    namespace: str = "interrupts",
    partitions: int | None = None,
    durability: Durability = "memory",
    replicas: int = 1,
    configs: Mapping[InterruptKind, InterruptConfig] | None = None,
    limits: RateLimitConfig | RateLimits | None = None,
    logger: LoggerProtocol | None = None,
    webhook_service: WebhookServiceProtocol | None = None,
    otel_adapter: OTelAdapterProtocol | None = None,
    db: DatabaseProtocol | None = None,
    payload_bytes_max: int = PAYLOAD_BYTES_MAX,
    attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
    call_timeout_s: float = CALL_TIMEOUT_S,
    view_wait_s: float = VIEW_WAIT_S,
) -> AsyncIterator[InterruptService]:
    """A service on the server that the url names, for as long as the block lasts.

    `partitions`: how many a new namespace gets (16 unless told); for one that is there, None or its own number.
    `durability`: when a write counts as done: `memory` (acknowledged by the server), `replicated` (received by that
    many `replicas`), `fsynced` (on the server's disk). `attempt_timeout_s`: how long one attempt may take before it
    is repeated; `call_timeout_s`: how long a call goes on repeating. `view_wait_s`: how long a list waits
    for its view to show what was written before. `limits`: how many interrupts each user may create; without it there
    is no limit.

    Raises `ValidationError` for arguments, `UnsuitableServerError` for a server that can't keep the promises,
    `UnavailableError` for one that does not answer.
    """
    check_positive("view_wait_s", view_wait_s)
    check_positive("payload_bytes_max", payload_bytes_max)
    all_terms(configs)  # refuses what can't be meant before anything is started
    if limits is not None:
        limits = check_limits(limits)
    check_reads = getattr(webhook_service, "check_reads", None)
    if check_reads is not None:
        check_reads(url, namespace)  # one that reads the log must read this one
    log_lines = logger or default_logger()
    async with AsyncExitStack() as stack:
        log = await open_log(
            stack,
            url,
            namespace=namespace,
            partitions=partitions,
            durability=durability,
            replicas=replicas,
            attempt_timeout_s=attempt_timeout_s,
            call_timeout_s=call_timeout_s,
            logger=log_lines,
        )
        service = InterruptService(
            db,
            log_lines,
            webhook_service,
            otel_adapter,
            configs,
            log=log,
            payload_bytes_max=payload_bytes_max,
            view_wait_s=view_wait_s,
            limits=limits,
        )
        stack.push_async_callback(service.aclose)
        yield service
