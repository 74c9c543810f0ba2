"""All commands, in the order of their overview. Importing this costs little: what they do is imported by each."""

from __future__ import annotations

import typer

from workers.cli import asking, looking_after, reactions, replays, running, webhooks
from workers.cli.codes import CODES_TEXT, Code
from workers.cli.overview import Overview

app = typer.Typer(
    cls=Overview,
    help="Interrupts: durable pauses of agents and pipelines, and the answers to them.",
    epilog=f"--help behind a command tells what it takes. {CODES_TEXT}",
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def overview(context: typer.Context) -> Code:
    """Says what there is, if no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
    return Code.DONE


@app.command("help", hidden=True)
def help_(context: typer.Context) -> Code:
    """The overview, for those who ask in this way."""
    typer.echo((context.parent or context).get_help())
    return Code.DONE


for module in (asking, running, looking_after, reactions, replays, webhooks):
    module.add_to(app)
