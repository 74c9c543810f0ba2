"""The commands for groups of reactions: their names, options and words."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from typing import Annotated, Any

import typer

from workers.cli.codes import Code
from workers.cli.nested import Nested
from workers.cli.options import STORE, Json, Namespace, Session, Url
from workers.cli.overview import LOOK, MEND, epilogue

Group = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
AGroup = Annotated[str | None, typer.Argument(metavar="GROUP", help="Only of this group.")]
Positions = Annotated[
    list[str] | None, typer.Argument(metavar="POSITION", help="Which events, as the list says where they are.")
]
All = Annotated[bool, typer.Option("--all", help="All that is parked of the group.")]
Limit = Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, max=1000, help="How many at most.")]
Cursor = Annotated[
    str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on where the page before has ended.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def add_to(app: typer.Typer) -> None:
    """Adds them."""
    parked = _nested(
        app,
        "parked",
        "What reactions have given up for now. Alone, or with a group behind it, it lists that.",
        "events that reactions have given up: list, replay, drop",
    )
    for name, command, short, example in (
        ("list", list_parked, "what is parked; done if no command is named", "parked resume"),
        ("replay", replay_parked, "have it handled again", "parked replay resume --all"),
        ("drop", drop_parked, "give it up for good", "parked drop resume 3:1795191038753-0"),
    ):
        parked.command(name, short_help=short, epilog=epilogue(example))(command)
    groups = _nested(
        app,
        "groups",
        "Groups of reactions. Alone it lists them; with a group behind it, that one by its partitions.",
        "groups of reactions: how far they are, who runs them",
    )
    short = "how they stand; done if no command is named"
    groups.command("list", short_help=short, epilog=epilogue("groups", "groups resume"))(list_groups)
    short = "remove all that a group remembers"
    groups.command("forget", short_help=short, epilog=epilogue("groups forget resume"))(forget_group)
    short = "answered, but nobody resumed"
    app.command("unresumed", short_help=short, rich_help_panel=LOOK, epilog=epilogue("unresumed"))(unresumed)


def _nested(app: typer.Typer, name: str, help_: str, short: str) -> typer.Typer:
    """A command that gets commands of its own."""
    nested = typer.Typer(cls=Nested, rich_markup_mode=None)
    app.add_typer(nested, name=name, help=help_, short_help=short, rich_help_panel=MEND, epilog=epilogue(name))
    return nested


def list_parked(
    group: AGroup = None,
    session: Session = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """List what is parked: the event, after how many attempts, of which error, and when."""
    from workers.cli.connecting import Where
    from workers.cli.parked import list_parked as run

    return _carry_out("parked", run(Where(url, namespace), group, session, limit, cursor, as_json=as_json))


def replay_parked(
    context: typer.Context,
    group: Group,
    positions: Positions = None,
    everything: All = False,
    session: Session = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Have parked events handled again, from the first attempt. Needs a worker to run; without one they wait."""
    _check_one(context, positions, everything, session)
    from workers.cli.connecting import Where
    from workers.cli.parked import Which, replay_them

    which = Which(group, positions or (), session, everything)
    return _carry_out("parked replay", replay_them(Where(url, namespace), which, as_json=as_json))


def drop_parked(
    context: typer.Context,
    group: Group,
    positions: Positions = None,
    everything: All = False,
    session: Session = None,
    yes: Yes = False,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """Give parked events up for good: the group will not be given them again. They stay in the log."""
    _check_one(context, positions, everything, session)
    from workers.cli.connecting import Where
    from workers.cli.parked import Which, count_parked, drop_them
    from workers.cli.text import counted, plain

    where, which = Where(url, namespace), Which(group, positions or (), session, everything)
    if not yes:
        _check_asked(context)
        count = 0

        async def look() -> Code:
            nonlocal count
            count = await count_parked(where, which)
            return Code.DONE

        looked = _carry_out("parked drop", look())
        if looked is not Code.DONE:
            return looked
        if not _agreed(f"Drop {counted(count, 'event')} of {plain(group)} for good?"):
            return Code.FAILED
    return _carry_out("parked drop", drop_them(where, which, as_json=as_json))


def list_groups(group: AGroup = None, as_json: Json = False, url: Url = None, namespace: Namespace = STORE) -> Code:
    """List the groups: how far behind the log, what is held and parked, and who runs them."""
    from workers.cli.connecting import Where
    from workers.cli.groups import list_groups as run

    return _carry_out("groups", run(Where(url, namespace), group, as_json=as_json))


def forget_group(
    context: typer.Context, group: Group, yes: Yes = False, url: Url = None, namespace: Namespace = STORE
) -> Code:
    """Remove all that a group remembers: how far it is, what it holds and has parked. Refused while it is run."""
    from workers.cli.connecting import Where
    from workers.cli.groups import forget_group as run
    from workers.cli.text import plain

    if not yes:
        _check_asked(context)
        if not _agreed(f"Forget {plain(group)}, with all that it holds and has parked?"):
            return Code.FAILED
    return _carry_out("groups forget", run(Where(url, namespace), group))


def unresumed(
    group: Annotated[str | None, typer.Option("--group", metavar="GROUP", help="Only by this group.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    as_json: Json = False,
    url: Url = None,
    namespace: Namespace = STORE,
) -> Code:
    """List what was answered, cancelled or expired, and what was to go on with it has not: since when, and why."""
    from workers.cli.connecting import Where
    from workers.cli.groups import list_unresumed

    return _carry_out("unresumed", list_unresumed(Where(url, namespace), group, limit, cursor, as_json=as_json))


def _carry_out(name: str, work: Coroutine[Any, Any, Code]) -> Code:
    from workers.cli.outcome import carry_out

    return carry_out(name, lambda: work)


def _check_one(context: typer.Context, positions: list[str] | None, everything: bool, session: str | None) -> None:
    if sum((bool(positions), everything, session is not None)) != 1:
        raise _wrong(context, "Say which: some positions, --session, or --all.")


def _check_asked(context: typer.Context) -> None:
    """Refuses to go on where there is nobody to ask."""
    if not sys.stdin.isatty():
        raise _wrong(context, "This can't be undone, and there is nobody here to ask: say --yes.")


def _agreed(question: str) -> bool:
    if typer.confirm(question, err=True):
        return True
    typer.echo("Nothing was changed.", err=True)
    return False


def _wrong(context: typer.Context, message: str) -> Exception:
    """What ends as wrong usage."""
    try:
        context.fail(message)
    except typer.TyperException as error:
        return error
