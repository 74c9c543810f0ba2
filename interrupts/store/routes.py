"""Which server a partition is on: one fixed server, a primary known to sentinels, or a cluster's node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)

from interrupts.store.lanes import Lanes, UnreachableError

LOOKUP_TIMEOUT_S: Final = 2.0
Address = tuple[str, int]


class Route(Protocol):
    """How calls find their server."""

    one_server: bool
    """Whether a call may carry several partitions."""

    async def lanes(self, slot: int) -> Lanes:
        """The connections to the server that has this slot now."""

    async def recover(self) -> None:
        """Called after a failure: look again where things are."""

    async def close(self) -> None:
        """Closes all connections."""


def connection_maker(kind: str, options: dict[str, Any]) -> Callable[[], AbstractConnection]:
    """How to make a connection of this kind (`tcp`, `tls`, `unix`), without retries or time-outs of its own."""
    made = {"tcp": Connection, "tls": SSLConnection, "unix": UnixDomainSocketConnection}[kind]
    settled = {"socket_timeout": None, "socket_connect_timeout": None, "protocol": 2, **options}
    return lambda: made(**settled)


class FixedRoute:
    """One server at one address. `revive` is asked to see to it that it runs, where it is ours."""

    one_server = True

    def __init__(
        self, make: Callable[[], AbstractConnection], revive: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._lanes = Lanes(make)
        self._revive = revive

    async def lanes(self, slot: int) -> Lanes:  # noqa: ARG002 - one server has all slots
        """Always the same."""
        return self._lanes

    async def recover(self) -> None:
        """Starts the server again, where it is ours."""
        if self._revive is not None:
            await self._revive()

    async def close(self) -> None:
        """Closes all connections."""
        await self._lanes.close()


class _Servers:
    """Lanes by address, made as they are needed."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self._kind, self._options = kind, options
        self._lanes: dict[Address, Lanes] = {}

    def at(self, address: Address) -> Lanes:
        if address not in self._lanes:
            host, port = address
            make = connection_maker(self._kind, {**self._options, "host": host, "port": port})
            self._lanes[address] = Lanes(make)
        return self._lanes[address]

    async def keep_only(self, addresses: set[Address]) -> None:
        for address in [known for known in self._lanes if known not in addresses]:
            await self._lanes.pop(address).close()

    async def close(self) -> None:
        await self.keep_only(set())


async def _ask_first(lanes: Sequence[Lanes], *command: Any) -> Any:
    """The first answer that one of several equal servers gives."""
    problem: Exception = UnreachableError("no address is known", sent=False)
    for asked in lanes:
        try:
            (reply,) = await asked.call([command], LOOKUP_TIMEOUT_S)
        except UnreachableError as error:
            problem = error
            continue
        if not isinstance(reply, Exception) and reply is not None:
            return reply
        problem = reply if isinstance(reply, Exception) else UnreachableError("not known there", sent=False)
    raise UnreachableError(str(problem), sent=False)


class SentinelRoute:
    """The primary of a named group, as a sentinel names it; asked again after each failure."""

    one_server = True

    def __init__(
        self, sentinels: Sequence[Address], group: str, kind: str, options: dict[str, Any], ask: dict[str, Any]
    ) -> None:
        self._group = group
        self._sentinels = _Servers(kind, ask)
        self._sentinel_addresses = tuple(sentinels)
        self._servers = _Servers(kind, options)
        self._primary: Address | None = None

    async def lanes(self, slot: int) -> Lanes:  # noqa: ARG002 - as above
        """The primary's. Raises `UnreachableError` if no sentinel knows one."""
        if self._primary is None:
            asked = [self._sentinels.at(address) for address in self._sentinel_addresses]
            host, port = await _ask_first(asked, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._group)
            self._primary = (host.decode(), int(port))
            await self._servers.keep_only({self._primary})
        return self._servers.at(self._primary)

    async def recover(self) -> None:
        """Forgets the primary: the next call asks for it."""
        self._primary = None

    async def close(self) -> None:
        """Closes all connections."""
        await self._servers.close()
        await self._sentinels.close()


class ClusterRoute:
    """The node that has a slot, by the cluster's own map; read again after each failure or redirection."""

    one_server = False

    def __init__(self, seeds: Sequence[Address], kind: str, options: dict[str, Any]) -> None:
        self._seeds = tuple(seeds)
        self._servers = _Servers(kind, options)
        self._ranges: list[tuple[int, int, Address]] = []

    async def lanes(self, slot: int) -> Lanes:
        """The lanes to the slot's node. Raises `UnreachableError` if no node answers, or none has the slot."""
        if not self._ranges:
            await self._read_map()
        for first, last, address in self._ranges:
            if first <= slot <= last:
                return self._servers.at(address)
        self._ranges = []
        raise UnreachableError(f"no node of the cluster has slot {slot}", sent=False)

    async def addresses(self) -> list[Address]:
        """The nodes that have slots."""
        if not self._ranges:
            await self._read_map()
        return sorted({address for _, _, address in self._ranges})

    def at(self, address: Address) -> Lanes:
        """The lanes to one node by address."""
        return self._servers.at(address)

    async def recover(self) -> None:
        """Forgets the map: the next call reads it."""
        self._seeds = tuple(dict.fromkeys([*(address for _, _, address in self._ranges), *self._seeds]))
        self._ranges = []

    async def close(self) -> None:
        """Closes all connections."""
        await self._servers.close()

    async def _read_map(self) -> None:
        asked = [self._servers.at(address) for address in self._seeds]
        reply = await _ask_first(asked, "CLUSTER", "SLOTS")
        seed_host = self._seeds[0][0]
        self._ranges = [
            (int(first), int(last), (primary[0].decode() if primary[0] else seed_host, int(primary[1])))
            for first, last, primary, *_ in reply
        ]
