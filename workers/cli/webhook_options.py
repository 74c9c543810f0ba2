"""What the commands for webhooks share: options with their words, and asking before something is lost."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from workers.cli.codes import Code

Webhook = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, as the list has it.")]
Scope = Annotated[
    str | None, typer.Option("--scope", metavar="SCOPE", help="Only of request:ID, session:ID or user:ID.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def done(name: str, work: Coroutine[Any, Any, Code], *, as_json: bool = False, goes_on: str = "") -> Code:
    """Does the work of a command, and says how it went."""
    from workers.cli.outcome import carry_out

    return carry_out(name, lambda: work, as_json=as_json, goes_on=goes_on)


def asked(context: typer.Context, name: str, look: Coroutine[Any, Any, str], question: str) -> Code:
    """Asks, if there is something to ask about. Raises what ends as wrong usage where there is nobody to ask."""
    found = ""

    async def looked() -> Code:
        nonlocal found
        found = await look
        return Code.DONE

    code = done(name, looked())
    if code is not Code.DONE or not found:
        return code
    if not sys.stdin.isatty():
        raise wrong(context, f"{found} That can't be undone, and there is nobody here to ask: say --yes.")
    if typer.confirm(f"{found} {question}", err=True):
        return Code.DONE
    typer.echo("Nothing was changed.", err=True)
    return Code.FAILED


def wrong(context: typer.Context, message: str) -> Exception:
    """What ends as wrong usage."""
    try:
        context.fail(message)
    except typer.TyperException as error:
        return error
