"""Patterns of paths and endpoints, in which `*` stands for any text."""

from __future__ import annotations

import re


def compiled(pattern: str) -> re.Pattern[str]:
    """For `fullmatch`. Each `*` takes the first text that fits and is not tried again, so nothing can make it slow."""
    first, *rest = map(re.escape, pattern.split("*"))
    between = "".join(f"(?>.*?{piece})" for piece in rest[:-1])
    return re.compile(first + between + "".join(f".*{piece}" for piece in rest[-1:]), re.DOTALL)
