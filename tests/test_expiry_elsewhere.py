"""Expiring while Redis is away, and in a cluster."""

from __future__ import annotations

import pytest

from interrupts import UnavailableError, connect
from tests.raw import raw
from tests.servers import Cluster, RedisServer
from tests.test_expiry import assert_expired, due
from tests.waiting import run, types


def test_while_redis_is_away_it_is_said_and_later_done(own_server: RedisServer, namespace: str) -> None:
    """UnavailableError; what was due then is expired once it is back, even with all scripts forgotten."""

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace, attempt_timeout_s=0.2, call_timeout_s=0.2) as service:
            asked = await due(service, 40)
            own_server.freeze()
            with pytest.raises(UnavailableError):
                await service.expire_pending()
            own_server.thaw()
            await raw(service, "SCRIPT", "FLUSH", "SYNC")
            assert await service.expire_pending() == 40
            await assert_expired(service, asked)

    run(main())


def test_a_cluster_is_expired_node_by_node(cluster: Cluster, namespace: str) -> None:
    """What is due in every partition, in one call."""

    async def main() -> None:
        async with connect(cluster.url, namespace=namespace) as service:
            asked = await due(service, 48)
            assert await service.expire_pending() == 48
            assert await types(service, asked[0].id) == ["interrupt.created", "interrupt.expired"]
            await assert_expired(service, asked)

    run(main())
