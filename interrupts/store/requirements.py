"""What a server must be before anything is entrusted to it. A refusal says what to do about it."""

from __future__ import annotations

import re
from typing import Final

from interrupts.errors import UnsuitableServerError, ValidationError
from interrupts.limits import DURABILITY_TIMEOUT_S
from interrupts.store.server import Confirmation, Durability

REDIS_MIN: Final = (7, 0)
VALKEY_MIN: Final = (7, 2)
WAITAOF_SINCE: Final = (7, 2)
REPLICAS_MAX: Final = 16

ALWAYS_FSYNC: Final = Confirmation(("CONFIG", "GET", "appendfsync"))
"""Before Redis 7.2: with appendfsync always the server answers only after its disk has, and a server that was started
again with another setting meanwhile confirms nothing."""


def parse_info(text: bytes) -> dict[str, str]:
    """INFO's lines as names and values."""
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines() if not line.startswith("#"))
    return {name: value for name, separator, value in lines if separator}


def check_durability(durability: object, replicas: object) -> tuple[Durability, int]:
    """The durability asked for, if there is such a one. Raises `ValidationError`."""
    if durability not in ("memory", "replicated", "fsynced"):
        raise ValidationError(
            f"durability: {str(durability)[:64]!r} is none. There are 'memory' (acknowledged by the server), "
            "'replicated' (received by replicas) and 'fsynced' (on the server's disk).",
            field="durability",
        )
    if isinstance(replicas, bool) or not isinstance(replicas, int) or not 1 <= replicas <= REPLICAS_MAX:
        raise ValidationError(f"replicas: {str(replicas)[:64]} is not from 1 to {REPLICAS_MAX}.", field="replicas")
    return durability, replicas


def check_server(info: dict[str, str], where: str) -> None:
    """Whether this server is young enough, and evicts nothing. Raises `UnsuitableServerError`."""
    if info.get("server_name") == "valkey" or "valkey_version" in info:
        name, version, least = "Valkey", info.get("valkey_version", ""), VALKEY_MIN
    else:
        name, version, least = "Redis", info.get("redis_version", ""), REDIS_MIN
    if _version(version) < least:
        raise UnsuitableServerError(
            f"The server at {where} is {name} {version or '?'}, and {name} {least[0]}.{least[1]} or later is needed. "
            "Upgrade it, or give the url of another one."
        )
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise UnsuitableServerError(
            f"The server at {where} has maxmemory-policy {policy}: short of memory, it would silently drop interrupts. "
            "Set it with CONFIG SET maxmemory-policy noeviction, and in its configuration."
        )
    if info.get("role") == "slave":
        raise UnsuitableServerError(
            f"The server at {where} is a replica, and refuses writes. Give the url of its primary, or use "
            "redis+sentinel://, which finds it."
        )


def confirmation(durability: Durability, replicas: int, info: dict[str, str], where: str) -> Confirmation:
    """What to ask of this server after each write. Raises `UnsuitableServerError` if it can't give it."""
    timeout_ms = round(DURABILITY_TIMEOUT_S * 1000)
    if durability == "memory":
        return Confirmation()
    if durability == "replicated":
        return Confirmation(("WAIT", replicas, timeout_ms), replicas)
    if info.get("aof_enabled") != "1":
        raise UnsuitableServerError(
            f"durability='fsynced' needs the append-only file, and the server at {where} has none. Set appendonly yes, "
            "with CONFIG SET and in its configuration."
        )
    if _version(info.get("redis_version", "")) >= WAITAOF_SINCE:
        return Confirmation(("WAITAOF", 1, 0, timeout_ms), 1)
    return ALWAYS_FSYNC


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
