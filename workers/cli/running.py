"""The commands that run something: the workers, and the tour."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.codes import Code
from workers.cli.options import Url
from workers.cli.overview import LEARN, RUN, epilogue


def add_to(app: typer.Typer) -> None:
    """Adds them. `run` is what `worker` was called first, and stays."""
    for name, short in (("worker", "run the workers, until Ctrl-C or SIGTERM"), ("run", "the same as worker")):
        examples = epilogue(name, f"{name} projections expiry")
        app.command(name, short_help=short, rich_help_panel=RUN, epilog=examples)(worker)
    short = "what an interrupt is and what the store promises, in a few seconds"
    app.command("tour", short_help=short, rich_help_panel=LEARN, epilog=epilogue("tour"))(tour)


def worker(
    context: typer.Context,
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROLES]...", help="projections, expiry, commands, reactions, webhooks; none: all."),
    ] = None,
    handlers: Annotated[
        list[str] | None,
        typer.Option("--handlers", metavar="MODULE:NAME", help="Where reactions are; several may be given."),
    ] = None,
    url: Url = None,
    namespace: Annotated[str | None, typer.Option("--namespace", metavar="NAME", help="Which store.")] = None,
) -> Code:
    """Run the workers, which keep lists up to date, expire what is overdue, take commands and run reactions.

    Asked to end, by Ctrl-C or SIGTERM, it finishes what is in hand; asked again, it ends at once. All settings are
    variables of the environment, too; README.md lists them. Several such processes share the work.
    """
    from interrupts import ValidationError
    from workers.cli.outcome import carry_out
    from workers.cli.work import work
    from workers.loops import run_for_long
    from workers.roles import check_roles

    try:
        chosen = check_roles(roles or ())
    except ValidationError as error:
        context.fail(str(error))
    told = {"url": url, "namespace": namespace, "handlers": tuple(handlers) if handlers else None}
    given = {name: value for name, value in told.items() if value is not None}
    return carry_out(context.info_name or "worker", lambda: work(given, chosen), run=run_for_long)


def tour() -> Code:
    """Take the guided tour: real interrupts, created, answered, refused and explained. It asks nothing."""
    from workers.cli.outcome import carry_out
    from workers.tour import tour as walk

    async def done() -> Code:
        await walk()
        return Code.DONE

    return carry_out("tour", done)
