"""What a worker process runs: roles, by name, each of which can be started, asked to end, and looked at.

A role is one sort of work that goes on for as long as the process does. It does not know of the others, nor of signals,
restarts or health: the supervisor does all that, and needs from a role no more than what stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, Protocol

import msgspec

from interrupts import ValidationError
from interrupts.checks import shown

PROJECTIONS: Final = "projections"
EXPIRY: Final = "expiry"
COMMANDS: Final = "commands"
REACTIONS: Final = "reactions"
WEBHOOKS: Final = "webhooks"
ROLES: Final = (PROJECTIONS, EXPIRY, COMMANDS, REACTIONS, WEBHOOKS)
"""All of them, in the order in which they are told."""

State = Literal["starting", "running", "restarting", "ended"]


class Role(Protocol):
    """One sort of work of a worker process. Each start gets a new one: `run` is called once at most."""

    async def run(self) -> None:
        """Works until `stop` is called, then finishes what is in hand, gives back what it holds, and returns.

        Raises if it can't go on.
        """

    def stop(self) -> None:
        """Asks it to end. May be called at any time, also before `run`, and again."""

    @property
    def ready(self) -> bool:
        """Whether it does its work."""

    def numbers(self) -> dict[str, int | float | str]:
        """What it has done so far, for health."""


class RoleHealth(msgspec.Struct, frozen=True):
    """How one role is doing.

    `state`: `starting` (not begun yet), `running` (begun, and not ended), `restarting` (it has failed, and is begun
    again soon) or `ended`. `since`: when that state began. `restarts`: how often it has failed. `error`: what it failed
    of the last time. `numbers`: what it has done since it was last begun.
    """

    role: str
    state: State
    ready: bool
    since: datetime
    restarts: int
    error: str | None
    numbers: dict[str, int | float | str]


class Health(msgspec.Struct, frozen=True):
    """How a process is doing. `ready`: all roles do their work, and nobody has asked them to end."""

    ready: bool
    roles: list[RoleHealth]


def check_roles(names: Sequence[str]) -> tuple[str, ...]:
    """These roles, each once, in the order of `ROLES`. Raises `ValidationError` for one that there is not."""
    for name in names:
        if name not in ROLES:
            raise ValidationError(f"roles: {shown(name)} is none. There are {', '.join(ROLES)}.", field="roles")
    return tuple(role for role in ROLES if role in names)
