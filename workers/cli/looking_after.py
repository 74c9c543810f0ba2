"""The commands that look after the views: their names, options and words."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.codes import Code
from workers.cli.options import STORE, Json, Namespace, Url
from workers.cli.overview import MEND, epilogue

View = Annotated[str, typer.Argument(metavar="VIEW", help="The view's name, such as pending.")]
GOES_ON = "; called again, it goes on where it stopped"


def add_to(app: typer.Typer) -> None:
    """Adds them."""
    for name, command, short, example in (
        ("lag", lag, "how far the views are behind the log, and what holds them up", "lag --json"),
        ("verify", verify, "compare views, interrupts and deadlines with the log", "verify pending"),
        ("rebuild", rebuild, "build a view again beside the live one, under load or not", "rebuild pending"),
        ("skip", skip, "let a view leave out the event it stands still before", "skip pending 3:1795191038753-0"),
    ):
        app.command(name, short_help=short, rich_help_panel=MEND, epilog=epilogue(example))(command)


def lag(as_json: Json = False, url: Url = None, namespace: Namespace = STORE) -> Code:
    """Say how far each view is behind the log, partition by partition, and what holds it up."""
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.views import show_lag

    return carry_out("lag", lambda: show_lag(Where(url, namespace), as_json=as_json))


def verify(
    views: Annotated[list[str] | None, typer.Argument(metavar="[VIEWS]...", help="Their names; none: all.")] = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Compare views, interrupts and deadlines with the log, and print each difference; then the exit code is 1."""
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.views import verify_views

    return carry_out("verify", lambda: verify_views(Where(url, namespace), views or [], as_json=as_json))


def rebuild(
    view: View,
    from_start: Annotated[bool, typer.Option("--from-start", help="Do not go on with what was begun before.")] = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Build a view again from the log, beside the live one, and let it take over."""
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.views import rebuild_view

    work = Where(url, namespace)
    return carry_out("rebuild", lambda: rebuild_view(work, view, from_start=from_start), goes_on=GOES_ON)


def skip(
    view: View,
    position: Annotated[str, typer.Argument(metavar="POSITION", help="Where the event is, as lag says it.")],
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Leave out, for good, the one event that a view stands still before."""
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.views import skip_event

    return carry_out("skip", lambda: skip_event(Where(url, namespace), view, position))
