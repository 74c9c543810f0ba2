"""A store in this process's memory: fakeredis, spoken to like a server. For trying things out, and for fast tests."""

from __future__ import annotations

from typing import Any

from interrupts.keys import Keys
from interrupts.limits import PARTITIONS_DEFAULT
from interrupts.store.log import Log
from interrupts.store.routes import FixedRoute
from interrupts.store.server import Server

_shared: dict[str, Any] = {}


def memory_route(name: str = "") -> FixedRoute:
    """A route to a store in memory: a fresh one of one's own, or the one that has this name in this process."""
    import fakeredis  # imported here: it takes a while, and only tries and tests need it

    server = _shared.setdefault(name, fakeredis.FakeServer()) if name else fakeredis.FakeServer()
    # As for real connections: time-outs are ours (and the library's own would swallow a cancellation now and then).
    pool = fakeredis.FakeAsyncRedis(server=server, protocol=2, socket_timeout=None).connection_pool
    return FixedRoute(pool.make_connection)


def memory_log(namespace: str = "interrupts") -> Log:
    """A log of its own, in memory."""
    return Log(Keys(namespace, PARTITIONS_DEFAULT), Server(memory_route()))
