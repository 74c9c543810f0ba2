"""What is registered of webhooks: endpoints, and which of them are switched off.

Who sends keeps a copy. Before it decides to whom an event goes, it asks what has changed since it last looked: whatever
was registered before the event was appended is then known, however old the copy was.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import msgspec

from interrupts.errors import NotConfirmedError
from interrupts.keys import Keys, slot_of_tag
from interrupts.limits import HOOKS_MAX
from interrupts.scripts import script
from interrupts.store.server import Server

HOOK: Final = script("hook")
HOOKS: Final = script("hooks")
MOVED: Final = -1
"""What was to be changed is not as it was read."""
TOO_MANY: Final = -2
_DIGITS_MAX: Final = 15


class Change(msgspec.Struct, frozen=True):
    """What is there of one endpoint, to the letter, and why it is off. `stored` None: it is gone."""

    id: str
    stored: bytes | None
    off: str

    def __repr__(self) -> str:
        return f"<Change {self.id}>"  # what is stored has a secret in it

    @property
    def since_ms(self) -> int:
        """When it was registered; 0 if that can't be read."""
        since = (self.stored or b"").partition(b" ")[0]
        return int(since) if since.isdigit() and len(since) <= _DIGITS_MAX else 0

    @property
    def text(self) -> bytes:
        """What it is."""
        return (self.stored or b"").partition(b" ")[2]


class Changes(msgspec.Struct, frozen=True):
    """What has changed. `everything`: these are all, and what is not among them is not there."""

    rev: int
    everything: bool
    changes: list[Change]


class Hooks:
    """The endpoints of one namespace, as they are stored."""

    def __init__(self, server: Server, keys: Keys) -> None:
        self._server = server
        self._slot = slot_of_tag(keys.namespace)
        self._keys = [keys.hooks, f"{keys.hooks}:off", f"{keys.hooks}:news", f"{keys.hooks}:meta"]

    async def put(self, hook: str, text: bytes, before: bytes = b"") -> int:
        """Writes an endpoint down; where `before` is given, only if that is there. Returns the number of the change, or
        `MOVED`, or `TOO_MANY`. Raises `UnavailableError`."""
        return await self._change("put", hook, text, before)

    async def remove(self, hook: str) -> bool:
        """Takes it away; whether it was there. Raises `UnavailableError`."""
        return await self._change("del", hook) > 0

    async def switch_off(self, hook: str, why: str, known: int | None = None) -> bool:
        """Switches it off; False if it is off already, or not there, or was changed since the change of this number.

        Raises `UnavailableError`.
        """
        return await self._change("off", hook, why.encode(), b"" if known is None else b"%d" % known) > 0

    async def switch_on(self, hook: str) -> bool:
        """Switches it on; False if it is on already, or not there. Raises `UnavailableError`."""
        return await self._change("on", hook) > 0

    async def ring(self, hook: str) -> None:
        """Has everybody who sends look at it anew. Raises `UnavailableError`."""
        await self._change("ring", hook)

    async def one(self, hook: str) -> Change | None:
        """What is there of an endpoint; None if it is not there. Raises `UnavailableError`."""
        stored, off = await asyncio.gather(
            self._server.command(self._slot, "HGET", self._keys[0], hook),
            self._server.command(self._slot, "HGET", self._keys[1], hook),
        )
        return None if stored is None else Change(hook, stored, (off or b"").decode(errors="replace"))

    async def changes(self, known: int | None = None) -> Changes:
        """What has changed since that number; all without one. Raises `UnavailableError`."""
        asked = "" if known is None else str(known)
        rev, everything, *flat = await self._server.read(HOOKS, self._slot, self._keys, [asked])
        changes = [
            Change(hook.decode(errors="replace"), stored, off.decode(errors="replace"))
            for hook, stored, off in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        ]
        return Changes(int(rev), everything == 1, changes)

    async def _change(self, what: str, hook: str, text: bytes = b"", before: bytes = b"") -> int:
        args = [what, hook, text, before, HOOKS_MAX]
        said = f"{self._keys[0]}:said:{secrets.token_hex(8)}"
        # It is not `derived`: what was registered is as durable as what is answered.
        written = await self._server.run(HOOK, self._slot, [*self._keys, said], args)
        rev = int(written.reply)
        if rev > 0 and not written.confirmed:
            raise NotConfirmedError(
                f"What is registered was changed ({what} {hook}), but its durability was not confirmed in time. It is "
                "neither a success nor a failure: it can be done again."
            )
        return rev
