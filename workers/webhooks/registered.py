"""An endpoint as it is stored, and as those who send need it: with its secrets, which are told to nobody else."""

from __future__ import annotations

import hashlib
import time
from typing import Final
from urllib.parse import urlsplit

import msgspec

from interrupts.errors import CorruptLogError
from interrupts.event_names import matches
from interrupts.positions import time_of
from interrupts.store.hooks import Change
from interrupts.views import place_of
from workers.webhooks.model import HIDDEN, Endpoint, WebhookConfig
from workers.webhooks.scopes import Scope
from workers.webhooks.telling import Told

ROTATION_S: Final = 24 * 3600.0
"""For how long the secret before signs as well, unless something else is said."""


class Stored(msgspec.Struct, frozen=True):
    """What is written down of an endpoint. `old_secret` signs, too, until `old_until_ms`."""

    url: str
    events: list[str]
    sort: str
    scope_id: str
    secret: str | None
    headers: dict[str, str]
    timeout_s: float
    retries: int
    delay_s: float
    delay_max_s: float
    concurrency: int
    off_after_s: float | None
    old_secret: str | None = None
    old_until_ms: int = 0
    after: dict[int, str] = {}
    """Where the log ended when it was registered, by partition: no clock is compared with another."""

    def __repr__(self) -> str:
        return f"<Stored {host_of(self.url)} {self.events}>"


class Off(msgspec.Struct, frozen=True):
    """Why an endpoint is switched off, and since when."""

    why: str
    at_ms: int


class Registered(msgspec.Struct, frozen=True):
    """An endpoint: its id, since when it is there, what it is, whether it is off, and its text as it is stored."""

    id: str
    since_ms: int
    what: Stored
    off: Off | None
    after: dict[int, tuple[int, int]]

    def is_told_of(self, partition: int, place: tuple[int, int]) -> bool:
        """Whether what stands at this place has happened since it was registered."""
        after = self.after.get(partition)
        return after is None or after < place

    def wants(self, told: Told) -> bool:
        """Whether it is to be sent this event."""
        if told.only is not None:
            return told.only == self.id
        scope = self.scope
        ours = not scope.sort or scope in told.scopes
        return ours and self.subscribes(told.name) and self.is_told_of(told.partition, told.place)

    def subscribes(self, name: str) -> bool:
        """Whether its patterns name it."""
        return any(matches(pattern, name) for pattern in self.what.events)

    @property
    def scope(self) -> Scope:
        """Whose events it is sent."""
        return Scope(self.what.sort, self.what.scope_id)

    def secrets(self, now_ms: int) -> tuple[str, ...]:
        """What to sign with, the newest first."""
        what = self.what
        both = (what.secret, what.old_secret if what.old_until_ms > now_ms else None)
        return tuple(secret for secret in both if secret is not None)

    def config(self) -> WebhookConfig:
        """The configuration, without what is secret."""
        what = self.what
        return WebhookConfig(
            what.url,
            list(what.events),
            None,
            dict.fromkeys(what.headers, HIDDEN),
            what.timeout_s,
            what.retries,
            what.delay_s,
            what.delay_max_s,
            what.concurrency,
            what.off_after_s,
        )

    def endpoint(self) -> Endpoint:
        """The endpoint, as callers see it."""
        what, now_ms = self.what, time.time_ns() // 1_000_000
        return Endpoint(
            self.id,
            str(self.scope),
            what.url,
            list(what.events),
            what.secret is not None,
            time_of(what.old_until_ms) if what.old_secret is not None and what.old_until_ms > now_ms else None,
            sorted(what.headers),
            what.timeout_s,
            what.retries,
            what.delay_s,
            what.delay_max_s,
            what.concurrency,
            what.off_after_s,
            time_of(self.since_ms),
            None if self.off is None else self.off.why,
            None if self.off is None else time_of(self.off.at_ms),
        )


def host_of(url: str) -> str:
    """What of an url may stand in a log line: its path and query may be as good as a secret."""
    return urlsplit(url).netloc


def id_of(namespace: str, scope: Scope, url: str) -> str:
    """One url is one endpoint in a scope: a program that registers it at each start has it once."""
    return "wh_" + hashlib.sha256(f"{namespace}\0{scope}\0{url}".encode()).hexdigest()[:20]


def registered(change: Change) -> Registered:
    """An endpoint as it was written down. Raises `CorruptLogError`."""
    try:
        what = msgspec.json.decode(change.text, type=Stored)
        off = msgspec.json.decode(change.off, type=Off) if change.off else None
        after = {partition: place_of(place) for partition, place in what.after.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        raise CorruptLogError(
            f"The webhook {change.id} can't be read: it is damaged, or a newer version has written it. Nothing is sent "
            "to it. Register it again, or remove it."
        ) from None  # what is there may be secret
    return Registered(change.id, change.since_ms, what, off, after)


def encoded(what: Stored) -> bytes:
    """How an endpoint is written down."""
    return msgspec.json.encode(what)


def going_on(what: Stored, there: Change | None, now_ms: int) -> Stored | None:
    """A new configuration of an endpoint that is there; None if it is not, or can't be read.

    It is one since it was first registered. Without a secret it keeps the one that it has: what was signed must not go
    on unsigned because somebody has left it out. Another secret begins a rotation. One that is being replaced changes
    nothing: a program that was not told of the new one yet may register it at its start.
    """
    try:
        was = None if there is None else registered(there).what
    except CorruptLogError:
        was = None
    if was is None:
        return None
    rotating = was.old_secret if was.old_until_ms > now_ms else None
    secret, old_secret, until_ms = was.secret, rotating, was.old_until_ms
    if what.secret not in (None, was.secret, rotating):
        secret, old_secret, until_ms = what.secret, was.secret, now_ms + round(ROTATION_S * 1000)
    return msgspec.structs.replace(
        what,
        after=was.after,
        secret=secret,
        old_secret=old_secret,
        old_until_ms=0 if old_secret is None else until_ms,
    )
