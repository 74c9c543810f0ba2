"""Whose events an endpoint is sent: everybody's, or those of one request, session or user."""

from __future__ import annotations

from typing import Final

import msgspec

from interrupts.checks import check_id

SORTS: Final = ("request", "session", "user")


class Scope(msgspec.Struct, gc=False, frozen=True):
    """A scope: one of `SORTS` and an id; both "" for the events of all."""

    sort: str = ""
    id: str = ""

    @classmethod
    def parse(cls, scope: object) -> Scope:
        """`request:<id>`, `session:<id>` or `user:<id>`; any other text is a request's id; None is everybody.

        Raises `ValidationError`.
        """
        if scope is None:
            return cls()
        text = check_id("scope", scope)
        sort, colon, own = text.partition(":")
        if colon and sort in SORTS:
            return cls(sort, check_id("scope", own))
        return cls(SORTS[0], text)

    def __str__(self) -> str:
        return f"{self.sort}:{self.id}" if self.sort else ""
