"""The views, as far as those who read them must know: their names and versions, their keys, and how they stand.

A view lives in each partition on its own. Beside its data it has a *card*, a hash that says which *generation* of the
data is read (`live`), and for each generation its version, its checkpoint (`at`) and why it stands still (`stopped`):

    live          1
    last          1                                        the number of the newest generation
    1:version     1
    1:at          <stream id> <sequence> <how its event begins>
    1:stopped     why nothing is folded any more, as JSON
    skip:<id>     an operator has said that this event is to be left out, or the hole before it passed over
    drop:<gen>    the data of this generation are to be thrown away: by whom another took over, `worker` or `rebuild`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from interrupts.errors import CorruptLogError
from interrupts.limits import CHECKPOINT_EVENT_BYTES


class View(msgspec.Struct, frozen=True):
    """A view's name, and the version of its keys and of what is in them.

    `crosses`: what is folded from one partition is kept in others, too.
    """

    name: str
    version: int
    crosses: bool = False


PENDING: Final = View("pending", 1)
CLOSED: Final = View("closed", 1)
COUNTS: Final = View("counts", 1)
RATES: Final = View("rates", 1, crosses=True)

COUNTED: Final = "counted"
"""The key of the counts: a hash with a number for each `<kind>:<status>`."""

REBUILD: Final = "rebuild"
_SKIP: Final = "skip:"
_DROP: Final = "drop:"

# Keys of what is pending (or closed) are these with what it is pending for: "session:chat-1". All that is pending is in
# one of the keys by kind.
BY_KIND: Final = "kind:"
BY_SESSION: Final = "session:"
BY_REQUEST: Final = "request:"
BY_USER: Final = "user:"


def place_of(stream_id: str) -> tuple[int, int]:
    """A stream id as two numbers, which can be compared."""
    ms, _, number = stream_id.partition("-")
    return int(ms), int(number)


class Checkpoint(msgspec.Struct, frozen=True):
    """Up to and with which event a view is folded: its place, its number, and how it begins, to know it again.

    A log that was rolled back and has grown again may have another event at the same place.
    """

    stream_id: str = "0-0"
    sequence: int = 0
    event: bytes = b""

    @classmethod
    def parse(cls, raw: bytes) -> Checkpoint:
        """The inverse of `encode`. Raises `CorruptLogError`."""
        try:
            stream_id, sequence, event = raw.split(b" ", 2)
            place_of(stream_id.decode())
            return cls(stream_id.decode(), int(sequence), event)
        except ValueError as error:
            raise CorruptLogError(f"A view's checkpoint can't be read ({raw[:64]!r}): not written by us.") from error

    @classmethod
    def after(cls, stream_id: str, sequence: int, event: bytes) -> Checkpoint:
        """The checkpoint that stands on this event."""
        return cls(stream_id, sequence, event[:CHECKPOINT_EVENT_BYTES])

    def encode(self) -> bytes:
        """As it is stored."""
        return f"{self.stream_id} {self.sequence} ".encode() + self.event

    @property
    def place(self) -> tuple[int, int]:
        """Its stream id as two numbers, which can be compared."""
        return place_of(self.stream_id)


class Stopped(msgspec.Struct, frozen=True):
    """Why a view stands still in a partition: before which event, the fault in words, and its sort.

    It is the `event`, a `hole` before it, or a `foreign` entry that is no event.
    """

    position: str
    sequence: int
    error: str
    problem: str = "event"


class Generation(msgspec.Struct, frozen=True):
    """One generation of a view's data in a partition.

    `known`: the event of its checkpoint is still in the log. If not, the log was rolled back, or the checkpoint is
    lost. `next_id`: the stream id of the first event that it has not folded; "" if there is none.
    """

    number: int
    version: int
    at: Checkpoint
    stopped: Stopped | None = None
    known: bool = True
    next_id: str = ""


class Card(msgspec.Struct, frozen=True):
    """What a view's card says. `live` None: nothing can be read yet. `last`: the highest number ever given."""

    live: Generation | None = None
    building: tuple[Generation, ...] = ()
    skipped: dict[str, str] = {}
    """By stream id what an operator has said: the `event` is left out, or the `hole` before it passed over."""
    dropping: tuple[int, ...] = ()
    last: int = 0
    rebuilt: bool = False
    """A rebuild took over here, and has not thrown the old generation away yet."""

    @property
    def generations(self) -> tuple[Generation, ...]:
        """All of them."""
        return self.building if self.live is None else (self.live, *self.building)

    @classmethod
    def parse(cls, flat: Sequence[bytes], standing: Sequence[Any] = ()) -> Card:
        """The card in a hash's fields and values, in turn.

        `standing` tells of each generation its number, whether it is known, and its `next_id`, in turn. Raises
        `CorruptLogError`.
        """
        try:
            fields = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
            told = {int(number): (bool(known), next_id.decode()) for number, known, next_id in _threes(standing)}
            live = fields.get("live", b"").decode()
            generations = {}
            for name, value in fields.items():
                number, _, what = name.partition(":")
                if what == "version":
                    at, stopped = fields.get(f"{number}:at"), fields.get(f"{number}:stopped")
                    generations[number] = Generation(
                        int(number),
                        int(value),
                        Checkpoint.parse(at) if at else Checkpoint(),
                        decode_stopped(stopped),
                        *told.get(int(number), (True, "")),
                    )
            return cls(
                generations.pop(live, None),
                tuple(generations.values()),
                {name[len(_SKIP) :]: what.decode() for name, what in fields.items() if name.startswith(_SKIP)},
                tuple(int(name[len(_DROP) :]) for name in fields if name.startswith(_DROP)),
                int(fields.get("last", 0)),
                any(name.startswith(_DROP) and by == REBUILD.encode() for name, by in fields.items()),
            )
        except (ValueError, msgspec.MsgspecError) as error:
            raise CorruptLogError(f"A view's card can't be read ({error!r}): damaged, or not written by us.") from error


def _threes(flat: Sequence[Any]) -> Iterable[tuple[Any, Any, Any]]:
    return zip(*[iter(flat)] * 3, strict=True)


def decode_stopped(raw: bytes | None) -> Stopped | None:
    """The inverse of msgspec's encoding; None where nothing is stored."""
    return msgspec.json.decode(raw, type=Stopped) if raw else None
