"""The id of an interrupt: where it lives, and when or from what it was made.

32 lower-case hex digits:

    hhhh tttttttttttt rrrrrrrrrrrrrrrr     h  CRC32(UTF-8 session) >> 16: the partition is h · P >> 16
                                           t  milliseconds since 1970, so ids of one session sort by time
                                           r  random
    hhhh f kkkkkkkkkkkkkkkkkkkkkkkkkkk     made from an idempotency key: k is the beginning of
                                           SHA-256(session, NUL, key); no time begins with f before the year 10332

An id made from a key *is* the record of the key: a second creation finds the first one's interrupt under the very
same id, in the same partition, in the one look that every creation takes. There is nothing else to keep, to expire or
to lose. The time in an id is the producer's and decides nothing: it only makes ids pleasant to sort.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import zlib
from collections.abc import Iterator
from typing import Final

_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_KEYED: Final = "f"
_RANDOMS_AT_ONCE: Final = 256
_randoms: Iterator[str] = iter(())


def session_hash(session_id: str) -> int:
    """The 16 bits that place a session, equal in every language: CRC32 of its UTF-8 bytes, upper half."""
    return zlib.crc32(session_id.encode()) >> 16


def partition_of_session(session_id: str, partitions: int) -> int:
    """The partition in which everything of this session lives."""
    return session_hash(session_id) * partitions >> 16


def partition_of_id(interrupt_id: str, partitions: int) -> int:
    """The partition in which this interrupt lives; `is_id` must hold."""
    return int(interrupt_id[:4], 16) * partitions >> 16


def is_id(text: object) -> bool:
    """Whether this can be the id of an interrupt at all."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def new_id(session_id: str) -> str:
    """A fresh id in the session's partition."""
    # `session_hash`, without the cost of a call: every creation comes through here.
    return (
        f"{zlib.crc32(session_id.encode()) >> 16:04x}{time.time_ns() // 1_000_000:012x}"
        f"{next(_randoms, None) or _random()}"
    )


def keyed_id(session_id: str, key: str) -> str:
    """The one id of this key in this session."""
    digest = hashlib.sha256(session_id.encode() + b"\0" + key.encode()).hexdigest()
    return f"{session_hash(session_id):04x}{_KEYED}{digest[:27]}"


def new_command_id() -> str:
    """A fresh id for a command whose sender gave none: its time and 64 random bits."""
    return f"{time.time_ns() // 1_000_000:012x}{next(_randoms, None) or _random()}"


def _random() -> str:
    """64 random bits in hex. They are asked of the system many at once, since each question costs a system call."""
    global _randoms  # noqa: PLW0603 - the one supply of this process
    drawn = os.urandom(8 * _RANDOMS_AT_ONCE).hex()
    _randoms = iter([drawn[at : at + 16] for at in range(16, len(drawn), 16)])
    return drawn[:16]


def _forget_randoms() -> None:
    """A forked child must not draw its parent's numbers again."""
    global _randoms  # noqa: PLW0603 - as above
    _randoms = iter(())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_randoms)
