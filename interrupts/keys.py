"""Every key in Redis, in one place.

All keys of a partition carry one hash tag, `{<namespace>:<pp>…}`, so that they lie in one cluster slot. The tag's
suffix is chosen so that partition p lies in the p-th P-th of the 16,384 slots, which spreads any number of partitions
nearly evenly over nodes that share the slots out evenly.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from interrupts.checks import shown
from interrupts.errors import ValidationError
from interrupts.ids import partition_of_id, partition_of_session
from interrupts.limits import NAMESPACE_CHARS_MAX, PARTITIONS_MAX

SLOTS: Final = 16_384
_NAMESPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*", re.ASCII)
_SUFFIX_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_SUFFIX_TRIES_MAX: Final = 1_000_000


def slot_of_tag(tag: str) -> int:
    """The cluster slot of a hash tag: CRC16 in the XMODEM form, modulo 16,384."""
    return binascii.crc_hqx(tag.encode(), 0) % SLOTS


def check_namespace(namespace: object) -> str:
    """The namespace, if it can be one. Refuses anything that could reach into another's keys."""
    if not isinstance(namespace, str) or not _NAMESPACE.fullmatch(namespace) or len(namespace) > NAMESPACE_CHARS_MAX:
        raise ValidationError(
            f"namespace: {str(namespace)[:64]!r} can't be one. Use up to {NAMESPACE_CHARS_MAX} letters, digits, "
            "dots, dashes and underscores, the first a letter or digit.",
            field="namespace",
        )
    return namespace


def check_partitions(partitions: object) -> int:
    """The number of partitions, if it can be one."""
    if isinstance(partitions, bool) or not isinstance(partitions, int) or not 1 <= partitions <= PARTITIONS_MAX:
        raise ValidationError(
            f"partitions: {shown(partitions)} is not a whole number from 1 to {PARTITIONS_MAX}.", field="partitions"
        )
    return partitions


def meta_key(namespace: str) -> str:
    """Where a namespace writes down what it was made with."""
    return f"{{{namespace}}}:meta"


def workers_key(namespace: str, role: str) -> str:
    """Where the processes that share a role's work are written down."""
    return f"{{{namespace}}}:workers:{role}"


def commands_key(namespace: str) -> str:
    """Where producers in other languages look up in which streams commands and replies are."""
    return f"{{{namespace}}}:commands"


def _suffix(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number - 1, len(_SUFFIX_DIGITS))
        digits = _SUFFIX_DIGITS[digit] + digits
    return digits


def _tag(namespace: str, partition: int, partitions: int) -> str:
    stem = f"{namespace}:{partition:02d}"
    for number in range(_SUFFIX_TRIES_MAX):
        tag = f"{stem}{'-' if number else ''}{_suffix(number)}"
        if slot_of_tag(tag) * partitions // SLOTS == partition:
            return tag
    raise AssertionError(f"no hash tag found for {stem}")  # one in `partitions` tries succeeds


class Keys:
    """The names of a namespace's keys. Two processes with the same namespace and partitions build the same ones."""

    __slots__ = (
        "commands",
        "counted",
        "deadlines",
        "exhausted",
        "groups",
        "hooks",
        "interrupts",
        "limits",
        "logs",
        "marks",
        "namespace",
        "once",
        "partitions",
        "rates",
        "replies",
        "reserved",
        "slots",
        "tags",
    )

    def __init__(self, namespace: str, partitions: int) -> None:
        self.namespace = check_namespace(namespace)
        self.partitions = check_partitions(partitions)
        self.groups = f"{{{namespace}}}:groups"
        # Of what is registered there are more keys, which begin like this one.
        self.hooks = f"{{{namespace}}}:webhooks"
        self.tags = tuple(_tag(namespace, partition, partitions) for partition in range(partitions))
        self.slots = tuple(slot_of_tag(tag) for tag in self.tags)
        self.logs = tuple(f"{{{tag}}}:log" for tag in self.tags)
        self.deadlines = tuple(f"{{{tag}}}:deadlines" for tag in self.tags)
        self.marks = tuple(f"{{{tag}}}:mark" for tag in self.tags)
        self.interrupts = tuple(f"{{{tag}}}:i:" for tag in self.tags)
        self.once = tuple(f"{{{tag}}}:once:" for tag in self.tags)
        # Of the commands of a partition there are more keys, which begin like this one.
        self.commands = tuple(f"{{{tag}}}:commands" for tag in self.tags)
        self.replies = tuple(f"{{{tag}}}:replies" for tag in self.tags)
        # What is counted of a user is in the user's partition.
        self.rates = tuple(f"{{{tag}}}:rate:" for tag in self.tags)
        self.reserved = tuple(f"{{{tag}}}:reserved:" for tag in self.tags)
        self.exhausted = tuple(f"{{{tag}}}:exhausted:" for tag in self.tags)
        self.limits = tuple(f"{{{tag}}}:limits" for tag in self.tags)
        self.counted = tuple(f"{{{tag}}}:counted" for tag in self.tags)

    def partition_of_id(self, interrupt_id: str) -> int:
        """Where this interrupt lives."""
        return partition_of_id(interrupt_id, self.partitions)

    def partition_of_session(self, session_id: str) -> int:
        """Where everything of this session lives."""
        return partition_of_session(session_id, self.partitions)

    def partition_of_user(self, user_id: str) -> int:
        """Where it is counted what this user does."""
        return partition_of_session(user_id, self.partitions)

    def interrupt(self, interrupt_id: str) -> str:
        """The key of one interrupt."""
        return self.interrupts[partition_of_id(interrupt_id, self.partitions)] + interrupt_id

    def group(self, partition: int, group: str) -> str:
        """The card of a group of reactions in one partition; its other keys begin like it."""
        return f"{{{self.tags[partition]}}}:group:{group}"

    def hooked(self, partition: int) -> str:
        """The endpoints for which something waits in one partition."""
        return f"{{{self.tags[partition]}}}:hooked"

    def lanes(self, partition: int) -> str:
        """How the keys of what is to be sent begin in one partition; behind it comes the endpoint's id."""
        return f"{{{self.tags[partition]}}}:hook:"

    def card(self, partition: int, view: str) -> str:
        """The key in which a view's generations and their checkpoints are written down, in one partition."""
        return f"{{{self.tags[partition]}}}:view:{view}"

    def generation(self, partition: int, view: str, generation: int) -> str:
        """How all keys of one generation of a view begin, in one partition."""
        return f"{{{self.tags[partition]}}}:view:{view}:{generation}:"
