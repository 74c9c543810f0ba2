"""Cursors: where a list goes on. To callers they are opaque.

A cursor holds for each partition the number up to which everything was told. New interrupts get higher numbers, so
nothing that is there is skipped or told twice, whatever comes and goes meanwhile, and however far the views of single
partitions are behind. It also holds a fingerprint of what was asked for: a cursor of one list is no use in another.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from interrupts.errors import ValidationError
from interrupts.limits import CURSOR_CHARS_MAX

_VERSION: Final = 1


class _Cursor(msgspec.Struct, array_like=True):
    version: int
    asked: int
    numbers: dict[int, int]


def fingerprint(asked: Sequence[object]) -> int:
    """A number for what is asked for."""
    return binascii.crc32(msgspec.json.encode(asked))


def encode_cursor(asked: int, numbers: dict[int, int]) -> str:
    """The cursor, as text that can be in a url."""
    raw = msgspec.msgpack.encode(_Cursor(_VERSION, asked, numbers))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(cursor: object, asked: int, partitions: Sequence[int]) -> dict[int, int]:
    """By partition the number after which to go on. Raises `ValidationError`."""
    if cursor is None:
        return {}
    try:
        if not isinstance(cursor, str) or len(cursor) > CURSOR_CHARS_MAX:
            raise ValueError
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        found = msgspec.msgpack.decode(raw, type=_Cursor)
        if found.version != _VERSION or any(number < 0 for number in found.numbers.values()):
            raise ValueError
    except (ValueError, msgspec.MsgspecError) as error:
        raise ValidationError(
            f"cursor: {str(cursor)[:64]!r} is none. Pass on a page's `next_cursor` as it is.", field="cursor"
        ) from error
    if found.asked != asked or not set(found.numbers) <= set(partitions):
        raise ValidationError(
            "cursor: it belongs to another list. Ask with the same filters as for the page that it came from.",
            field="cursor",
        )
    return found.numbers
