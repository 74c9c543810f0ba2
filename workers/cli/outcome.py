"""How a command ends: its exit code, and one sentence on stderr if it could not do its work. Never a stack trace."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from interrupts import ConflictError, InterruptsError, NotFoundError
from workers.cli.codes import Code
from workers.cli.screen import note, write_json
from workers.cli.text import plain

Work = Callable[[], Coroutine[Any, Any, Code]]


def carry_out(
    name: str,
    work: Work,
    *,
    as_json: bool = False,
    goes_on: str | None = "",
    run: Callable[[Coroutine[Any, Any, Code]], Code] = asyncio.run,
) -> Code:
    """Does the work of a command, and says how it went. Raises only what nobody has foreseen.

    With `as_json` a conflict is also a document on stdout, with the interrupt that stands. `goes_on`: what to say
    besides of a command that was interrupted; None where Ctrl-C is its usual end, and nothing needs to be said.
    """
    try:
        return run(work())
    except ConflictError as error:
        if as_json:
            stands = None if error.interrupt is None else error.interrupt.to_dict()
            write_json({"error": str(error), "code": error.code, "interrupt": stands})
        note(f"{name}: {plain(str(error))}")
        return Code.CONFLICT
    except NotFoundError as error:
        note(f"{name}: {plain(str(error))}")
        return Code.UNKNOWN
    except InterruptsError as error:
        note(f"{name}: {plain(str(error))}")
        return Code.FAILED
    except KeyboardInterrupt:
        if goes_on is not None:
            note(f"{name}: interrupted{goes_on}")
        return Code.INTERRUPTED
    except BrokenPipeError:
        # Whoever reads, as `head` does, has enough. What is still in the buffer must not fail again at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Code.DONE


def unknown(interrupt_id: str) -> NotFoundError:
    """There is nothing under this id."""
    return NotFoundError(f"there is no interrupt {interrupt_id[:64]!r}.")
