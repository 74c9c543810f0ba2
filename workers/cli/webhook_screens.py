"""What the commands for webhooks show: endpoints and deliveries, as rows of tables and thing by thing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec

from interrupts import Position
from interrupts.positions import time_of
from workers.cli.screen import say, show_table
from workers.cli.text import json_text, moment, plain_lines, span
from workers.webhooks import Endpoint, EndpointStats, WebhookDeliveryResult

HEAD: Final = ("id", "state", "waiting", "failed", "p50", "scope", "events", "url")
WHY_HEAD: Final = "why off"
"""One more column, if any is off."""
RESULTS_HEAD: Final = ("delivery", "status", "tries", "http", "event", "happened", "answer")
NUMBERS: Final = ("waiting", "failed", "p50", "tries", "http")
ALL: Final = "all"
ANSWER_CHARS_MAX: Final = 200
"""What a list has of an answer; the rest is in the delivery in full."""


def endpoint_row(one: Endpoint, stats: EndpointStats) -> list[str]:
    """A line of the list, without why it is off."""
    return [
        *(one.id, "on" if one.off is None else "off", f"{stats.waiting:,}", f"{stats.failed:,}"),
        *(f"{stats.p50_ms:,g} ms" if stats.delivered else "", one.scope or ALL, " ".join(one.events)),
        one.url.partition("?")[0] + ("?…" if "?" in one.url else ""),
    ]


def why_off(one: Endpoint) -> str:
    """Why it is off, and since when; "" if it is not."""
    since = "" if one.off_since is None else f", since {moment(one.off_since)}"
    return "" if one.off is None else f"{one.off}{since}"


def configuration(one: Endpoint, now: datetime) -> Iterator[tuple[str, str]]:
    """What an endpoint is, each thing under its name."""
    yield "id", one.id
    yield "url", one.url
    yield "scope", one.scope or ALL
    yield "events", " ".join(one.events)
    yield "state", "on" if one.off is None else f"off: {why_off(one)}"
    yield "registered", moment(one.registered_at)
    if one.rotating_until is not None and one.rotating_until > now:
        yield "secret", f"two, the older one until {moment(one.rotating_until)}"
    else:
        yield "secret", "one" if one.has_secret else "none, so nobody can know who sends"
    yield "headers", ", ".join(one.headers)
    yield "time-out", _span(one.timeout_seconds)
    between = f", after {_span(one.retry_delay_seconds)} at first, then up to {_span(one.max_retry_delay_seconds)}"
    yield "retries", f"{one.max_retries}{between if one.max_retries else ''}"
    yield "at once", f"{one.concurrency}, from each process"
    never = one.off_after_seconds is None
    yield "off after", "never" if never else f"{_span(one.off_after_seconds or 0)} in which every try has failed"


def counts(stats: EndpointStats, now: datetime) -> Iterator[tuple[str, str]]:
    """What was counted of an endpoint; what has never happened is left out."""
    yield "waiting", f"{stats.waiting:,}"
    yield "failed", f"{stats.failed:,} kept, {stats.given_up:,} given up so far"
    last = "" if stats.delivered_at is None else f", the last one {moment(stats.delivered_at)}"
    yield "delivered", f"{stats.delivered:,}{last}"
    if stats.delivered:
        quantiles = f"half within {stats.p50_ms:g} ms, 99 % within {stats.p99_ms:g} ms"
        yield "latency", f"{stats.mean_ms:g} ms on average, {quantiles}"
    if stats.failed_tries:
        last = "" if stats.failed_at is None else f", the last one {moment(stats.failed_at)}"
        yield "failed tries", f"{stats.failed_tries:,}{last}"
    if stats.failing_since is not None:
        yield "failing", f"since {moment(stats.failing_since)}, for {span((now - stats.failing_since).total_seconds())}"
    yield "no room", f"{stats.left_out:,} given up at once" if stats.left_out else ""
    yield "dropped", f"{stats.dropped:,} that were given up had to make room" if stats.dropped else ""


def of_result(result: WebhookDeliveryResult, url: str = "") -> Iterator[tuple[str, str]]:
    """What there is to say of a delivery."""
    yield "delivery", result.delivery_id
    yield "webhook", result.webhook_id
    yield "url", url
    yield "scope", result.scope or ALL
    yield "event", result.event_type
    yield "position", result.position
    yield "happened", moment(_happened(result))
    yield "status", result.status.value
    yield "delivered", "" if result.delivered_at is None else moment(result.delivered_at)
    yield "tries", str(result.attempt) if result.attempt else ""
    yield "next try", "" if result.next_attempt_at is None else moment(result.next_attempt_at)
    yield "took", span(result.duration_ms / 1000) if result.attempt else ""
    yield "http status", str(result.response_status or "")
    yield "error", result.error or ""
    yield "answer", result.response_body or ""


def show_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Each under its name; what is empty is left out. Further lines of a text stand below it."""
    there = [(label, text) for label, text in fields if text]
    width = max(len(label) for label, _ in there) + 2
    for label, text in there:
        for number, line in enumerate(plain_lines(text)):
            say(f"{'' if number else label:<{width}}{line}")


def show_results(results: Sequence[WebhookDeliveryResult]) -> None:
    """A line for each delivery."""
    rows = [
        [
            *(one.delivery_id, one.status.value, str(one.attempt or ""), str(one.response_status or "")),
            *(one.event_type, moment(_happened(one)), _came_of(one)),
        ]
        for one in results
    ]
    show_table(RESULTS_HEAD, rows, right=NUMBERS)


def body_lines(body: str) -> list[str]:
    """A body line by line; the beginning of a long one as it is."""
    try:
        return json_text(msgspec.json.decode(body), indent=2).splitlines()
    except msgspec.MsgspecError:
        return plain_lines(body)


def deliveries_text(number: int) -> str:
    """So many of them: 1 delivery, 2 deliveries."""
    return "1 delivery" if number == 1 else f"{number:,} deliveries"


def verb(number: int, one: str, several: str) -> str:
    """The form of a verb that goes with so many."""
    return one if number == 1 else several


def waiting_text(stats: EndpointStats) -> str:
    """How many wait, in words."""
    return f"{deliveries_text(stats.waiting)} {verb(stats.waiting, 'waits', 'wait')}"


def _came_of(one: WebhookDeliveryResult) -> str:
    """What the last try has come to, in a few words, and when the next one is."""
    again = "" if one.next_attempt_at is None else f", again at {moment(one.next_attempt_at)}"
    text = one.error or one.response_body or ""
    return f"{text if len(text) <= ANSWER_CHARS_MAX else f'{text[:ANSWER_CHARS_MAX]}…'}{again}"


def _happened(result: WebhookDeliveryResult) -> datetime:
    return time_of(Position.parse(result.position).ms)


def _span(seconds: float) -> str:
    """A setting: 30 s, and not 30.0 s."""
    return f"{seconds:g} s" if 1 <= seconds < 60 else span(seconds)
