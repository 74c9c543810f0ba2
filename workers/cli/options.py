"""Options that several commands share, with the words that `--help` says of them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="INTERRUPTS_REDIS_URL",
        metavar="URL",
        help="Where the data are, as for connect(); without it the private server of the folder .interrupts.",
    ),
]
Namespace = Annotated[
    str,
    typer.Option("--namespace", envvar="INTERRUPTS_NAMESPACE", metavar="NAME", help="Which store on that server."),
]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout, and nothing else.")]
InterruptId = Annotated[str, typer.Argument(metavar="ID", help="The interrupt's id.")]
Session = Annotated[str | None, typer.Option("--session", metavar="ID", help="Only of this session.")]
Request = Annotated[str | None, typer.Option("--request", metavar="ID", help="Only of this request.")]
User = Annotated[str | None, typer.Option("--user", metavar="ID", help="Only what waits for this user.")]
Kinds = Annotated[
    list[str] | None, typer.Option("--kind", metavar="KIND", help="Only of this kind; several may be given.")
]
AsUser = Annotated[
    str | None,
    typer.Option("--user", metavar="ID", help="Refuse unless the interrupt waits for this user."),
]
Actor = Annotated[str | None, typer.Option("--actor", metavar="ID", help="Who does this, if it is not its user.")]
Version = Annotated[
    int | None, typer.Option("--version", metavar="NUMBER", help="Refuse unless it is still at this version.")
]
CommandId = Annotated[
    str | None,
    typer.Option("--command-id", metavar="ID", help="A name for this command: sent again, it acts only once."),
]

STORE: Final = "interrupts"
"""The namespace, unless told."""
