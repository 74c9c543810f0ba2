"""Looking at a server before anything is entrusted to it: every one that will hold data must be fit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from interrupts.errors import UnavailableError, UnsuitableServerError
from interrupts.limits import ATTEMPT_TIMEOUT_S
from interrupts.store.lanes import Lanes, UnreachableError
from interrupts.store.requirements import ALWAYS_FSYNC, check_server, confirmation, parse_info
from interrupts.store.routes import ClusterRoute
from interrupts.store.server import Confirmation, Durability, Server

Ask = Callable[..., Awaitable[Any]]
"""Sends one command to the server that is looked at."""


async def inspect(server: Server, where: str, durability: Durability, replicas: int) -> Confirmation:
    """What to ask for after each write, so that it is as durable as asked for.

    Raises `UnsuitableServerError` if a server can't keep the promises, `UnavailableError` if one does not answer.
    """
    route = server.route
    if not isinstance(route, ClusterRoute):
        return await _inspect(partial(server.command, 0), where, durability, replicas)
    await server.command(0, "PING")  # finds the cluster, or says that it is away
    ways = []
    for address in await route.addresses():
        node = f"{address[0]}:{address[1]}"
        ways.append(await _inspect(partial(_ask_node, route.at(address), node), node, durability, replicas))
    # A mixed cluster is asked with the stricter command: a node that does not know it confirms nothing.
    return max(ways, key=lambda way: way.command is not None and way != ALWAYS_FSYNC)


async def _inspect(ask: Ask, where: str, durability: Durability, replicas: int) -> Confirmation:
    info = parse_info(await ask("INFO"))
    check_server(info, where)
    way = confirmation(durability, replicas, info, where)
    if way == ALWAYS_FSYNC and not way.given(await ask(*(way.command or ()))):
        raise UnsuitableServerError(
            f"durability='fsynced' on the server at {where}, which is older than Redis 7.2 and has no WAITAOF, needs "
            "appendfsync always. Set it with CONFIG SET and in its configuration, or upgrade the server."
        )
    return way


async def _ask_node(lanes: Lanes, node: str, *command: Any) -> Any:
    try:
        (reply,) = await lanes.call([command], ATTEMPT_TIMEOUT_S)
    except UnreachableError as error:
        raise UnavailableError(f"Redis is away: the cluster's node {node}: {error}. Nothing was written.") from error
    if isinstance(reply, Exception):
        raise UnavailableError(f"Redis refused: the cluster's node {node}: {reply}. Nothing was written.")
    return reply
