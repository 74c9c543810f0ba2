"""The commands for deliveries of webhooks: their names, options and words."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.codes import Code
from workers.cli.options import STORE, Json, Namespace, Url
from workers.cli.overview import epilogue
from workers.cli.webhook_options import Scope, Webhook, Yes, asked, done, wrong

Deliveries = Annotated[list[str] | None, typer.Argument(metavar="DELIVERY_ID", help="Which deliveries.")]
All = Annotated[bool, typer.Option("--all", help="All that were given up.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Given up, of events since then: a time, or 2h.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Given up, of events before.")]


def add_to(nested: typer.Typer) -> None:
    """Adds them."""
    an_id, a_delivery = "wh_0f8c…", "3-1795191038753-0-wh_0f8c…"
    for name, command, short, example in (
        ("deliveries", deliveries, "what is and was sent", "webhooks deliveries --status failed"),
        ("delivery", delivery, "one delivery in full", f"webhooks delivery {a_delivery}"),
        ("resend", resend, "send again what was given up", f"webhooks resend {an_id} --since 2h"),
        ("drop", drop, "forget what was given up", f"webhooks drop {an_id} --all"),
    ):
        nested.command(name, short_help=short, epilog=epilogue(example))(command)


def deliveries(
    webhook: Annotated[str | None, typer.Option("--webhook", metavar="ID", help="Only to this endpoint.")] = None,
    scope: Scope = None,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="Only pending, retrying, failed or delivered.")
    ] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="TYPE", help="Only of such events.")] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, max=1000, help="How many at most.")] = 100,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """List deliveries, those of the newest events first: what waits, what was given up, and the last that arrived."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_sent import Filters, list_deliveries

    filters = Filters(webhook, scope, status, event, limit)
    return done("webhooks deliveries", list_deliveries(Where(url, namespace), filters, as_json=as_json))


def delivery(
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY_ID", help="As the list has it.")],
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Show one delivery: how far it is, what the endpoint has answered, and the beginning of what is sent."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_sent import show_delivery

    return done("webhooks delivery", show_delivery(Where(url, namespace), delivery_id, as_json=as_json))


def resend(
    context: typer.Context,
    webhook: Webhook,
    delivery_ids: Deliveries = None,
    everything: All = False,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Have deliveries sent again, from their first try. With an id also one that has arrived."""
    _check_which(context, delivery_ids, everything, since, until)
    from workers.cli.connecting import Where
    from workers.cli.webhook_sent import Which
    from workers.cli.webhook_sent import resend as run

    which = Which(webhook, delivery_ids or (), since, until, everything)
    return done("webhooks resend", run(Where(url, namespace), which, as_json=as_json))


def drop(
    context: typer.Context,
    webhook: Webhook,
    delivery_ids: Deliveries = None,
    everything: All = False,
    since: Since = None,
    until: Until = None,
    yes: Yes = False,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Forget deliveries that were given up: they can't be sent again. Their events stay in the log."""
    _check_which(context, delivery_ids, everything, since, until)
    from workers.cli.connecting import Where
    from workers.cli.webhook_sent import Which, what_is_dropped
    from workers.cli.webhook_sent import drop as run

    where, which = Where(url, namespace), Which(webhook, delivery_ids or (), since, until, everything)
    if not yes:
        agreed = asked(context, "webhooks drop", what_is_dropped(where, which), "Forget them for good?")
        if agreed is not Code.DONE:
            return agreed
    return done("webhooks drop", run(where, which, as_json=as_json))


def _check_which(
    context: typer.Context, ids: list[str] | None, everything: bool, since: str | None, until: str | None
) -> None:
    if sum((bool(ids), everything, since is not None or until is not None)) != 1:
        raise wrong(context, "Say which: some ids of deliveries, --all, or --since and --until.")
