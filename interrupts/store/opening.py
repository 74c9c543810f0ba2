"""From what a url says to a route: the server is started first, where it is ours."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection

from interrupts.store.embedded import EmbeddedServer
from interrupts.store.memory import memory_route
from interrupts.store.routes import ClusterRoute, FixedRoute, Route, SentinelRoute, connection_maker
from interrupts.store.urls import Target

_SPOKEN_TO_SENTINELS: Final = ("ssl_", "socket_")


async def open_route(target: Target, *, fsynced: bool, stack: AsyncExitStack) -> Route:
    """The route to a target. What was started for it ends with the stack."""
    match target.sort:
        case "memory":
            return memory_route(target.name)
        case "embedded":
            return await _embedded(target, fsynced=fsynced, stack=stack)
        case "cluster":
            return ClusterRoute(target.addresses, target.kind, target.options)
        case "sentinel":
            # The sentinels have credentials of their own, if any: ours are for the server.
            ask = {name: value for name, value in target.options.items() if name.startswith(_SPOKEN_TO_SENTINELS)}
            return SentinelRoute(target.addresses, target.name, target.kind, target.options, ask)
    return FixedRoute(connection_maker(target.kind, target.options))


async def _embedded(target: Target, *, fsynced: bool, stack: AsyncExitStack) -> FixedRoute:
    server = EmbeddedServer(target.name)
    await server.attach()
    stack.push_async_callback(server.detach)
    options: dict[str, Any] = {"path": server.socket}
    if fsynced:
        options["redis_connect_func"] = _set_always_fsync
    return FixedRoute(connection_maker("unix", options), server.ensure_running)


async def _set_always_fsync(connection: AbstractConnection) -> None:
    """At the start of every connection, since the server may have been started again meanwhile: before a write can
    travel on it, the server answers only after its disk has."""
    await connection.on_connect()
    await connection.send_command("CONFIG", "SET", "appendfsync", "always")
    await connection.read_response()
