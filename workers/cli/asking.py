"""The commands that look at interrupts and answer them: their names, options and words."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from workers.cli.codes import Code
from workers.cli.options import (
    STORE,
    Actor,
    AsUser,
    CommandId,
    InterruptId,
    Json,
    Kinds,
    Namespace,
    Request,
    Session,
    Url,
    User,
    Version,
)
from workers.cli.overview import LOOK, epilogue


def add_to(app: typer.Typer) -> None:
    """Adds them."""
    for name, command, short, examples in (
        ("list", list_, "what is pending, or was closed in a session", ("list --user ada --kind confirmation",)),
        ("show", show, "the whole story of one interrupt", ("show 1b0e01a1faf1037159bf428c8c505176",)),
        (
            "respond",
            respond,
            "answer an interrupt",
            ("respond 1b0e01a1faf1037159bf428c8c505176 --approve", 'respond 1b0e… --text "auth.py" --actor grace'),
        ),
        ("cancel", cancel, "call an interrupt off", ('cancel 1b0e01a1faf1037159bf428c8c505176 --reason "not needed"',)),
        ("extend", extend, "move an interrupt's deadline", ("extend 1b0e01a1faf1037159bf428c8c505176 --ttl 3600",)),
        ("tail", tail, "the log, live", ("tail --session chat-1 --since 15m", "tail --from-start --json")),
        ("stats", stats, "how many there are, and how the store is doing", ("stats --json",)),
    ):
        app.command(name, short_help=short, rich_help_panel=LOOK, epilog=epilogue(*examples))(command)


def list_(
    context: typer.Context,
    user: User = None,
    session: Session = None,
    request: Request = None,
    kind: Kinds = None,
    closed: Annotated[
        str | None, typer.Option("--closed", metavar="SESSION", help="Instead: what was closed in this session.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", help="How many at most.")] = 100,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where the page before has ended.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the list to be up to date, or take it as it is.")
    ] = True,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """List what is pending and meets all filters, oldest first; or what was closed, the last first."""
    if closed is not None and any(given is not None for given in (user, session, request, kind)):
        raise _wrong(context, "--closed goes with --limit and --cursor, and with no filter.")
    from workers.cli.connecting import Where
    from workers.cli.listing import Asked, list_them
    from workers.cli.outcome import carry_out

    asked = Asked(user, session, request, kind, closed, limit, cursor, wait)
    return carry_out("list", lambda: list_them(Where(url, namespace), asked, as_json=as_json), as_json=as_json)


def show(interrupt_id: InterruptId, as_json: Json = False, url: Url = None, namespace: Namespace = STORE) -> Code:
    """Show an interrupt as it now is, and each of its events: when, by whom, and what was written."""
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.story import show as run

    return carry_out("show", lambda: run(Where(url, namespace), interrupt_id, as_json=as_json), as_json=as_json)


def respond(
    context: typer.Context,
    interrupt_id: InterruptId,
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="The answer in words.")] = None,
    approved: Annotated[bool | None, typer.Option("--approve/--reject", help="Yes or no.")] = None,
    decision: Annotated[
        str | None, typer.Option("--decision", metavar="TEXT", help="What a reviewer has decided.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON", help="An object; - reads it from standard input.")
    ] = None,
    user: AsUser = None,
    actor: Actor = None,
    version: Version = None,
    command_id: CommandId = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Answer an interrupt. Of all answers one wins; if another was first, the exit code is 4."""
    given = _data(context, data)
    from interrupts import InterruptResponse
    from workers.cli.answering import Who
    from workers.cli.answering import respond as run
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out

    response, who = InterruptResponse(text, approved, decision, given), Who(user, actor, version, command_id)
    return carry_out(
        "respond", lambda: run(Where(url, namespace), interrupt_id, response, who, as_json=as_json), as_json=as_json
    )


def cancel(
    interrupt_id: InterruptId,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why.")] = None,
    user: AsUser = None,
    actor: Actor = None,
    version: Version = None,
    command_id: CommandId = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Call an interrupt off: nobody can answer it any more."""
    from workers.cli.answering import Who
    from workers.cli.answering import cancel as run
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out

    who = Who(user, actor, version, command_id)
    return carry_out(
        "cancel", lambda: run(Where(url, namespace), interrupt_id, reason, who, as_json=as_json), as_json=as_json
    )


def extend(
    interrupt_id: InterruptId,
    ttl: Annotated[float, typer.Option("--ttl", metavar="SECONDS", help="How long from now on it may be answered.")],
    user: AsUser = None,
    actor: Actor = None,
    version: Version = None,
    command_id: CommandId = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Move an interrupt's deadline to so many seconds from now."""
    from workers.cli.answering import Who
    from workers.cli.answering import extend as run
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out

    who = Who(user, actor, version, command_id)
    return carry_out(
        "extend", lambda: run(Where(url, namespace), interrupt_id, ttl, who, as_json=as_json), as_json=as_json
    )


def tail(
    context: typer.Context,
    session: Session = None,
    request: Request = None,
    user: User = None,
    kind: Kinds = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only such events, as created; several may be.")
    ] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Begin with the first event.")] = False,
    after: Annotated[
        list[str] | None,
        typer.Option("--after", metavar="POSITION", help="Begin behind this event; one for each partition may be."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Begin at 2026-11-20T09:30:00Z, or 15m ago.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="NUMBER", min=1, help="End after so many.")] = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Follow the log, a line for each event, until Ctrl-C. Without a start: what comes from now on."""
    if sum((from_start, bool(after), since is not None)) > 1:
        raise _wrong(context, "Give one of --from-start, --after and --since.")
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.tail import Wanted
    from workers.cli.tail import tail as run

    wanted = Wanted(session, request, user, kind or (), type_ or (), from_start, after or (), since, limit)
    return carry_out("tail", lambda: run(Where(url, namespace), wanted, as_json=as_json), goes_on=None)


def stats(as_json: Json = False, url: Url = None, namespace: Namespace = STORE) -> Code:
    """Count interrupts by kind and status, and say how the log and its views are. Needs no worker to run."""
    from workers.cli.connecting import Where
    from workers.cli.outcome import carry_out
    from workers.cli.stats import stats as run

    return carry_out("stats", lambda: run(Where(url, namespace), as_json=as_json))


def _data(context: typer.Context, given: str | None) -> dict[str, Any] | None:
    """The object that is meant. Raises what ends as wrong usage."""
    if given is None:
        return None
    try:
        value = json.loads(sys.stdin.read() if given == "-" else given)
    except ValueError as error:
        raise _wrong(context, f"--data is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise _wrong(context, '--data is not an object, such as {"file": "auth.py"}.')
    return value


def _wrong(context: typer.Context, message: str) -> Exception:
    """What ends as wrong usage."""
    try:
        context.fail(message)
    except typer.TyperException as error:
        return error
