"""The one place where roles are put together: which there are, what each is made of, and when one is left out.

To wire a role in, write a function from the service and the settings to a role, and put it into `_WIRED`. What a role
needs besides (handlers, limits, file names) it gets here and nowhere else. The supervisor calls what `makers` returns
each time a role begins, so whatever is made in that function is new after a failure.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from interrupts import InterruptService, ValidationError
from interrupts.checks import shown
from projections import PROJECTIONS as ALL_PROJECTIONS
from workers import roles
from workers.bus import EventBus
from workers.commanding import CommandsRole
from workers.expiring import ExpiryRole
from workers.projecting import ProjectionsRole
from workers.reacting import ReactionsRole
from workers.roles import ROLES, Role, check_roles
from workers.settings import Settings
from workers.webhooks.role import WebhooksRole

__all__ = ["ROLES", "loaded", "makers"]

Make = Callable[[InterruptService, Settings], Role]


def _projections(service: InterruptService, _settings: Settings) -> Role:
    """Folds the views."""
    return ProjectionsRole(service, ALL_PROJECTIONS)


def _expiry(service: InterruptService, _settings: Settings) -> Role:
    """Turns deadlines into events."""
    return ExpiryRole(service)


def _commands(service: InterruptService, _settings: Settings) -> Role:
    """Decides the commands of producers; their limits are the service's."""
    return CommandsRole(service)


def _reactions(service: InterruptService, settings: Settings) -> Role:
    """Runs the handlers."""
    buses = [_bus(name) for name in settings.handlers]
    return ReactionsRole(service, buses, end_timeout_s=settings.end_timeout_s)


def _webhooks(service: InterruptService, settings: Settings) -> Role:
    """Sends webhooks."""
    return WebhooksRole(service, settings.rules, end_timeout_s=settings.end_timeout_s)


def _bus(name: str) -> EventBus:
    bus = loaded(name)
    if not isinstance(bus, EventBus):
        raise ValidationError(
            f"INTERRUPTS_HANDLERS: {shown(name)} is no EventBus, but a {type(bus).__name__}.",
            field="INTERRUPTS_HANDLERS",
        )
    return bus


_WIRED: Final[dict[str, Make]] = {
    roles.PROJECTIONS: _projections,
    roles.EXPIRY: _expiry,
    roles.COMMANDS: _commands,
    roles.REACTIONS: _reactions,
    roles.WEBHOOKS: _webhooks,
}


def makers(service: InterruptService, settings: Settings, names: Sequence[str]) -> dict[str, Callable[[], Role]]:
    """How the roles of these names are made; without names, all that can run with these settings.

    What is left out for want of a setting is said. Raises `ValidationError` for a name that there is not, and for one
    that was asked for and can't run.
    """
    asked = check_roles(names)
    made: dict[str, Callable[[], Role]] = {}
    for name in asked or ROLES:
        lacks = _lacks(name, settings)
        if lacks is None:
            make = partial(_WIRED[name], service, settings)
            if name == roles.REACTIONS:
                make()  # handlers that can't be loaded are refused now, and not again and again
            made[name] = make
        elif asked:
            raise ValidationError(f"roles: {name} can't run: {lacks}", field="roles")
        else:
            service.say("info", "workers.left_out", role=name, because=lacks)
    return made


def _lacks(name: str, settings: Settings) -> str | None:
    """What a role lacks to run, if anything."""
    if name == roles.REACTIONS and not settings.handlers:
        return "there are no handlers. Name them in INTERRUPTS_HANDLERS, as module:attribute."
    if name not in _WIRED:
        return "this version does not have it yet."
    return None


def loaded(name: str) -> object:
    """What `module:attribute` names. Raises `ValidationError` if it can't be imported or is not there."""
    module_name, _, path = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # as `python -m` has it in front; here it takes no other module's place
    try:
        found: object = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # foreign code runs when it is imported, and may raise anything
        raise ValidationError(
            f"INTERRUPTS_HANDLERS: {shown(name)} can't be used ({type(error).__name__}: {str(error)[:200]}). It must "
            f"be a module that can be imported in {here}, where the worker runs, and a name in it.",
            field="INTERRUPTS_HANDLERS",
        ) from error
    return found
