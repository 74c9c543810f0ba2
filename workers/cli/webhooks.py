"""The commands for webhooks: their names, options and words."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from workers.cli import webhook_deliveries
from workers.cli.codes import Code
from workers.cli.nested import Nested
from workers.cli.options import STORE, Json, Namespace, Url
from workers.cli.overview import MEND, epilogue
from workers.cli.webhook_options import Scope, Webhook, Yes, asked, done, wrong

SecretFile = Annotated[
    str | None,
    typer.Option("--secret-file", metavar="FILE", help="What to sign with, from a file; - is standard input."),
]
NewSecret = Annotated[
    bool, typer.Option("--new-secret", help="Sign with a secret that is made now, and printed only here.")
]


class Commands(Nested):
    """Alone, or with options, it is its list, which takes no words: a word that is no command is a mistake."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuses a command that there is not."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"There is no command {args[0]!r}. There are {', '.join(self.commands)}.")
        return super().parse_args(ctx, args)


def add_to(app: typer.Typer) -> None:
    """Adds them."""
    an_add = "webhooks add https://example.com --event"
    nested = typer.Typer(cls=Commands, rich_markup_mode=None)
    app.add_typer(
        nested,
        name="webhooks",
        help="Endpoints that are told what happens, and what is and was sent to them. Alone it lists the endpoints.",
        short_help="endpoints that are told what happens: add, test, resend",
        rich_help_panel=MEND,
        epilog=epilogue("webhooks", f"{an_add} '*' --new-secret"),
    )
    an_id = "wh_0f8c…"
    for name, command, short, examples in (
        ("list", list_webhooks, "all endpoints; done if no command is named", ("webhooks --scope session:chat-1",)),
        (
            "add",
            add,
            "register an endpoint",
            (f"{an_add} interrupt.resolved", f"{an_add} '*' --new-secret"),
        ),
        ("show", show, "one endpoint: what it is, its counts, its last results", (f"webhooks show {an_id}",)),
        ("remove", remove, "take an endpoint away", (f"webhooks remove {an_id}",)),
        ("on", on, "send to it again, and what has waited", (f"webhooks on {an_id}",)),
        ("off", off, "let its events wait", (f"webhooks off {an_id} --why 'it is being moved'",)),
        ("rotate", rotate, "give it another secret", (f"webhooks rotate {an_id} --new-secret --overlap 2d",)),
        ("test", try_out, "send a test, and see what comes back", (f"webhooks test {an_id}",)),
    ):
        nested.command(name, short_help=short, epilog=epilogue(*examples))(command)
    webhook_deliveries.add_to(nested)


def list_webhooks(scope: Scope = None, as_json: Json = False, url: Url = None, namespace: Namespace = STORE) -> Code:
    """List the endpoints: where they are, what they want, whether they are on, what waits, and how quick they are."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_endpoints import list_webhooks as run

    return done("webhooks", run(Where(url, namespace), scope, as_json=as_json))


def add(
    context: typer.Context,
    hook_url: Annotated[str, typer.Argument(metavar="URL", help="Where to send.")],
    event: Annotated[
        list[str],
        typer.Option(
            "--event", metavar="PATTERN", help="Such as interrupt.resolved, interrupt.* or *; several may be."
        ),
    ],
    scope: Scope = None,
    secret_file: SecretFile = None,
    new_secret: NewSecret = False,
    header: Annotated[
        list[str] | None, typer.Option("--header", metavar="'NAME: VALUE'", help="Sent along; several may be given.")
    ] = None,
    header_file: Annotated[
        str | None, typer.Option("--header-file", metavar="FILE", help="A header in each line, if nobody is to see it.")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="For an answer to come.")] = 30,
    retries: Annotated[int, typer.Option("--retries", metavar="NUMBER", help="Tries after the first one.")] = 3,
    retry_delay: Annotated[
        float, typer.Option("--retry-delay", metavar="SECONDS", help="Before the first of them; then twice that, ….")
    ] = 1,
    retry_delay_max: Annotated[
        float, typer.Option("--retry-delay-max", metavar="SECONDS", help="And so on, up to this.")
    ] = 3600,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="NUMBER", help="How many one process sends at once.")
    ] = 16,
    off_after: Annotated[
        str, typer.Option("--off-after", metavar="SPAN", help="Switched off if every try fails for so long; or never.")
    ] = "5d",
    replace: Annotated[bool, typer.Option("--replace", help="Give one that is there all of this instead.")] = False,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Register an endpoint for events from now on. Where it may be is said by the variables INTERRUPTS_WEBHOOK_…."""
    _check_one_secret(context, secret_file, new_secret)
    from workers.cli.connecting import Where
    from workers.cli.webhook_endpoints import Adding
    from workers.cli.webhook_endpoints import add as run

    what = Adding(
        *(hook_url, event, scope, secret_file, new_secret, header or (), header_file, timeout, retries),
        *(retry_delay, retry_delay_max, concurrency, off_after, replace),
    )
    return done("webhooks add", run(Where(url, namespace), what, as_json=as_json), as_json=as_json)


def show(webhook: Webhook, as_json: Json = False, url: Url = None, namespace: Namespace = STORE) -> Code:
    """Show an endpoint: what it is, whether it is on, what was counted, how quick it is, and its last results."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_endpoints import show as run

    return done("webhooks show", run(Where(url, namespace), webhook, as_json=as_json))


def remove(
    context: typer.Context,
    webhook: Webhook,
    yes: Yes = False,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Take an endpoint away, with all that waits for it or was given up."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_endpoints import remove as run
    from workers.cli.webhook_endpoints import what_is_lost

    where = Where(url, namespace)
    if not yes:
        agreed = asked(context, "webhooks remove", what_is_lost(where, webhook), "Remove it with them?")
        if agreed is not Code.DONE:
            return agreed
    return done("webhooks remove", run(where, webhook, as_json=as_json))


def on(webhook: Webhook, as_json: Json = False, url: Url = None, namespace: Namespace = STORE) -> Code:
    """Switch an endpoint on: what has waited is sent, and it goes on."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_endpoints import switch_on

    return done("webhooks on", switch_on(Where(url, namespace), webhook, as_json=as_json))


def off(
    webhook: Webhook,
    why: Annotated[str | None, typer.Option("--why", metavar="TEXT", help="What others are to read.")] = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Switch an endpoint off: its events wait, as far as there is room, until it is on again."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_endpoints import switch_off

    return done("webhooks off", switch_off(Where(url, namespace), webhook, why, as_json=as_json))


def rotate(
    context: typer.Context,
    webhook: Webhook,
    secret_file: SecretFile = None,
    new_secret: NewSecret = False,
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="SPAN", help="For how long the one before signs, too: 90s, 15m, 24h, 7d."),
    ] = "24h",
    yes: Annotated[bool, typer.Option("--yes", help="Even while the last rotation is not over.")] = False,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Give an endpoint another secret. For a while both sign, so that receivers can take over the new one."""
    _check_one_secret(context, secret_file, new_secret)
    if secret_file is None and not new_secret:
        raise wrong(context, "Give --new-secret or --secret-file.")
    from workers.cli.connecting import Where
    from workers.cli.webhook_endpoints import rotate as run

    work = run(Where(url, namespace), webhook, secret_file, overlap, yes=yes, as_json=as_json)
    return done("webhooks rotate", work, as_json=as_json)


def try_out(
    webhook: Webhook,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, max=600, help="How long to wait for its result.")
    ] = 15,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Send a test the way every event goes, and show what the endpoint has answered. If not 2xx, the exit code is 1."""
    from workers.cli.connecting import Where
    from workers.cli.webhook_sent import send_test

    work = send_test(Where(url, namespace), webhook, wait, as_json=as_json)
    return done("webhooks test", work, goes_on="; the test goes on")


def _check_one_secret(context: typer.Context, secret_file: str | None, new_secret: bool) -> None:
    if secret_file is not None and new_secret:
        raise wrong(context, "Give --new-secret or --secret-file, not both.")
