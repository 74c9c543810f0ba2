"""`worker`: the settings of the environment, with what was given on the command line in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from workers.cli.codes import Code
from workers.serve import serve
from workers.settings import settings_from_environment


async def work(given: Mapping[str, Any], roles: Sequence[str]) -> Code:
    """Runs these roles, or all, until it is asked to end. Raises `ValidationError` for what can't be meant."""
    settings = msgspec.structs.replace(settings_from_environment(), **given)
    return Code(await serve(settings, roles))
