"""The command that replays: its options and words."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.codes import Code
from workers.cli.looking_after import GOES_ON
from workers.cli.options import STORE, Json, Kinds, Namespace, Request, Session, Url, User
from workers.cli.overview import MEND, epilogue


def add_to(app: typer.Typer) -> None:
    """Adds it."""
    examples = (
        "replay --from 2h --to-group resume",
        "replay --type 'session.*' --to-file events.jsonl",
        "replay --from 2026-11-20T09:30 --to-handler shop.repair:again",
        "replay --dry-run",
    )
    short = "events once more, to a group, a view, a file or a function"
    app.command("replay", short_help=short, rich_help_panel=MEND, epilog=epilogue(*examples))(replay)


def replay(
    context: typer.Context,
    start: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="PLACE", help="A position (several: one a partition), a time, 2h, beginning."),
    ] = None,
    until: Annotated[
        list[str] | None, typer.Option("--until", metavar="PLACE", help="The last event; without it what is there now.")
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option("--type", metavar="PATTERN", help="Such as interrupt.*; several may be given.")
    ] = None,
    session: Session = None,
    request: Request = None,
    user: User = None,
    kind: Kinds = None,
    interrupt_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Only of this interrupt.")] = None,
    to_group: Annotated[
        str | None, typer.Option("--to-group", metavar="GROUP", help="What it wants, and has come past.")
    ] = None,
    to_view: Annotated[str | None, typer.Option("--to-view", metavar="VIEW", help="The same as rebuild.")] = None,
    to_file: Annotated[
        str | None, typer.Option("--to-file", metavar="PATH", help="Lines of JSON, by time; - is stdout.")
    ] = None,
    to_handler: Annotated[
        str | None, typer.Option("--to-handler", metavar="MODULE:FUNCTION", help="Called with each event.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    concurrency: Annotated[
        int, typer.Option("--concurrency", metavar="NUMBER", min=1, max=1000, help="Handlers that run at once.")
    ] = 16,
    stop_on_error: Annotated[bool, typer.Option("--stop-on-error", help="End when the handler fails.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be replayed.")] = False,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Replay events to one target, and to nothing else: whatever has effects outside is told only if it is named."""
    targets = [target for target in (to_group, to_view, to_file, to_handler) if target is not None]
    if len(targets) > 1 or not (targets or dry_run):
        raise _wrong(context, "Give one of --to-group, --to-view, --to-file and --to-handler; or --dry-run.")
    if to_view is not None and any((start, until, pattern, session, request, user, kind, interrupt_id)):
        raise _wrong(context, "A view is built from the whole log: --to-view goes with no filter, --from or --until.")
    if as_json and to_file == "-" and not dry_run:
        raise _wrong(context, "With --to-file - the events are on stdout, as JSON: leave --json out.")
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.replay import Asked, replay_to_view
    from workers.cli.replay import replay as run

    where = Where(url, namespace)
    if to_view is not None:
        return carry_out(
            "replay", lambda: replay_to_view(where, to_view, dry_run=dry_run, as_json=as_json), goes_on=GOES_ON
        )
    asked = Asked(
        *(start or (), until or (), pattern or (), session, request, user, kind or (), interrupt_id),
        *(to_group, to_file, to_handler, force, concurrency, stop_on_error, dry_run),
    )
    return carry_out("replay", lambda: run(where, asked, as_json=as_json), goes_on=None)


def _wrong(context: typer.Context, message: str) -> Exception:
    """What ends as wrong usage."""
    try:
        context.fail(message)
    except typer.TyperException as error:
        return error
