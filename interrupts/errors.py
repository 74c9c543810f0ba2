"""Every refusal the store can give, as a type with its HTTP status and the facts a caller needs.

Five classes are the contract's (not found, invalid, not authenticated, not authorized, conflict). The others say that
the server, not the caller, is the reason. All take their message first and facts by name, so they can be pickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from interrupts.model import FlowInterrupt
    from interrupts.rates import RateLimitResult

ConflictCode = Literal["resolved", "cancelled", "expired", "version", "idempotency", "full"]


class InterruptsError(Exception):
    """The base of all errors of this library."""

    http_status: ClassVar[int] = 500


class NotFoundError(InterruptsError):
    """There is nothing under this id."""

    http_status = 404


class ValidationError(InterruptsError):
    """The input can't be used. `field` names the argument; nothing was written."""

    http_status = 400

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class AuthenticationError(InterruptsError):
    """It is not known who asks."""

    http_status = 401


class AuthorizationError(InterruptsError):
    """It is known who asks, and they may not do this. Nothing was written."""

    http_status = 403


class ConflictError(InterruptsError):
    """The interrupt is not, or no longer, in a state that allows this. The call wrote no answer of its own.

    `interrupt` is the interrupt as it now is: who won (`resolved_by`), how (`status`, `response`, `reason`) and when
    (`resolved_at`). `code` says why in one word: `resolved`, `cancelled` or `expired` name the outcome that stands,
    `version` a stale expected version, `idempotency` a key or command id used again with another body, `full` an
    interrupt that has reached its bound of events.
    """

    http_status = 409

    def __init__(self, message: str, *, interrupt: FlowInterrupt | None = None, code: ConflictCode = "version") -> None:
        super().__init__(message)
        self.interrupt = interrupt
        self.code = code


class RateLimitedError(InterruptsError):
    """The user has used up a limit. Nothing was written, and the call was not counted.

    `result` says which limit, and `retry_after_seconds` after which time one such call passes.
    """

    http_status = 429

    def __init__(self, message: str, *, result: RateLimitResult | None = None) -> None:
        super().__init__(message)
        self.result = result

    @property
    def retry_after_seconds(self) -> float:
        """The time after which one such call passes."""
        return 0.0 if self.result is None else self.result.retry_after_seconds


class UnavailableError(InterruptsError):
    """Redis did not answer in time, or can't be used.

    `may_have_happened` is True if the write may be in the log all the same. Repeating the call with the same
    idempotency key or command id is always safe: it finds its own work done, or does it.
    """

    http_status = 503

    def __init__(self, message: str, *, may_have_happened: bool = False) -> None:
        super().__init__(message)
        self.may_have_happened = may_have_happened


class NotConfirmedError(UnavailableError):
    """The write is in the server's log, but its durability was not confirmed in time. `interrupt` is what was written.

    It is neither a success nor a failure: repeat the call with the same idempotency key or command id to have it
    confirmed.
    """

    def __init__(self, message: str, *, interrupt: FlowInterrupt | None = None) -> None:
        super().__init__(message, may_have_happened=True)
        self.interrupt = interrupt


class UnsuitableServerError(UnavailableError):
    """The server answers, but can't keep the promises: too old, evicting, or lacking what the durability needs."""


class WaitTimeoutError(InterruptsError, TimeoutError):
    """A wait ran out of time. The interrupt is as it was: it still waits, and can be waited for again.

    `interrupt` is the interrupt as it was last seen.
    """

    http_status = 408

    def __init__(self, message: str, *, interrupt: FlowInterrupt | None = None) -> None:
        super().__init__(message)
        self.interrupt = interrupt


class ViewBehindError(UnavailableError):
    """A list would not show what was written before it was asked for, and did not come to show it in time.

    `worker_running` is False if no process folds the views: then nothing changes until one does. `events` is how many
    events the view is behind in its `partition`. `wait=False` gives the list as it is. Nothing was written.
    """

    def __init__(
        self, message: str, *, view: str = "", partition: int = 0, events: int = 0, worker_running: bool = False
    ) -> None:
        super().__init__(message)
        self.view = view
        self.partition = partition
        self.events = events
        self.worker_running = worker_running


class ViewStoppedError(UnavailableError):
    """A view stands still, and its lists can't be trusted, until somebody acts. The message says why, and what to do.

    `reason`: `event` (one that can't be folded), `hole` (events are missing in the log), `foreign` (an entry of the log
    is no event), `key` (a key of the view is not what was written there), `rolled_back` (the log went back behind the
    view, or behind what was written), `version` (another version of this library made the view). Nothing was written.
    """

    def __init__(self, message: str, *, view: str = "", partition: int = 0, reason: str = "event") -> None:
        super().__init__(message)
        self.view = view
        self.partition = partition
        self.reason = reason


class CorruptLogError(InterruptsError):
    """Something stored can't be read: written by a newer version of the library, or damaged. Nothing was changed."""
