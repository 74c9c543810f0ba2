"""A copy of what is registered, kept fresh, that knows at once to whom an event goes.

It is made fresh after events were read and before they are matched. An endpoint that was registered before an event was
appended is then known; and one is sent nothing that stands in front of where the log ended when it was registered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from interrupts import InterruptService
from interrupts.errors import CorruptLogError
from interrupts.limits import HOOK_LOOK_AT_ALL_S, HOOKS_MAX
from interrupts.store.hooks import Hooks
from workers.webhooks.registered import Registered, registered
from workers.webhooks.scopes import Scope
from workers.webhooks.telling import Told

_GLOBAL: Final = Scope()


class Registry:
    """What is registered in a namespace."""

    def __init__(self, service: InterruptService) -> None:
        self._service = service
        self._hooks = Hooks(service.store.server, service.store.keys)
        self.rev = 0
        """The number of the last change that is known."""
        self._all_at = 0.0
        self._by_scope: dict[Scope, dict[str, Registered]] = {}
        self._wanting: dict[str, list[Registered]] = {}
        self.by_id: dict[str, Registered] = {}
        self.unreadable: set[str] = set()
        self._alone = asyncio.Lock()

    async def refresh(self) -> set[str]:
        """Takes in what has changed; returns the endpoints that were put, switched or taken away, by id.

        Raises `UnavailableError`.
        """
        async with self._alone:
            now = asyncio.get_running_loop().time()
            everything = self.rev == 0 or now - self._all_at > HOOK_LOOK_AT_ALL_S
            found = await self._hooks.changes(None if everything else self.rev)
            if found.everything:
                self._all_at = now
            self.rev = found.rev
            told = {change.id: change for change in found.changes}
            gone = self.by_id.keys() - told.keys() if found.everything else set[str]()
            changed = set(gone)
            for hook in gone:
                self._forget(hook)
            self.unreadable &= told.keys() if found.everything else self.unreadable
            for hook, change in told.items():
                self.unreadable.discard(hook)
                try:
                    now_is = None if change.stored is None else registered(change)
                except CorruptLogError as error:
                    self._service.say("error", "webhooks.unreadable", webhook=hook, why=str(error))
                    now_is = None
                    self.unreadable.add(hook)
                if not found.everything or now_is != self.by_id.get(hook):
                    changed.add(hook)
                    self._forget(hook)
                    if now_is is not None:
                        self._remember(now_is)
            return changed

    def named(self, name: str, scopes: Iterable[Scope]) -> list[Registered]:
        """Those that subscribe to events of this name, for all or in one of these scopes."""
        found = self._wanting.get(name)
        if found is None:
            found = [one for one in self._by_scope.get(_GLOBAL, {}).values() if one.subscribes(name)]
            if len(self._wanting) < HOOKS_MAX:
                self._wanting[name] = found
        if len(self._by_scope) > (_GLOBAL in self._by_scope):
            found = list(found)
            for scope in scopes:
                found += [one for one in self._by_scope.get(scope, {}).values() if one.subscribes(name)]
        return found

    def wanting(self, told: Told) -> list[Registered]:
        """Those to whom an event goes."""
        if told.only is not None:
            one = self.by_id.get(told.only)
            return [] if one is None else [one]
        return [one for one in self.named(told.name, told.scopes) if one.is_told_of(told.partition, told.place)]

    def _remember(self, one: Registered) -> None:
        self.by_id[one.id] = one
        self._by_scope.setdefault(one.scope, {})[one.id] = one
        self._wanting.clear()

    def _forget(self, hook: str) -> None:
        one = self.by_id.pop(hook, None)
        if one is not None:
            there = self._by_scope[one.scope]
            del there[hook]
            if not there:
                del self._by_scope[one.scope]
            self._wanting.clear()
