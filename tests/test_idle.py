"""What workers cost while nothing happens, and what very many who wait cost."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from interrupts import InterruptResponse, connect
from interrupts.limits import TAIL_BLOCK_MS
from tests.expiring_process import whole_worker
from tests.servers import RedisServer, wait_until
from tests.waiting import ask, begun, run
from workers.roles import ROLES

WINDOW_S = 5.0
COMMANDS_MAX = 15.0
"""Sent in a second, by a process with all roles and two groups of reactions."""
INSIDE_MAX = 120.0
"""The same, with what scripts do inside the server: INFO counts that, too."""
CPU_MAX = 0.05
"""Of a core; on a machine with much else to do."""
WAITERS = 10_000
CONNECTIONS_MAX = 20
AT_ONCE = 500
OURS = {"info", "config|resetstat", "client|list", "client|id", "client|setinfo", "hello", "monitor", "ping"}


def cpu_s(pid: int) -> float:
    """How long a process has had a core."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counted(client: redis.Redis) -> Counter[str]:
    """The commands since the last reset, with those inside of scripts, but for what this test sends."""
    stats: dict[str, Any] = client.info("commandstats")
    by_name = {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}
    return Counter({name: calls for name, calls in by_name.items() if name not in OURS})


def monitored(client: redis.Redis, window_s: float) -> Counter[str]:
    """The commands that are sent within this time, without those inside of scripts."""
    found, until = Counter[str](), time.monotonic() + window_s
    with client.monitor() as monitor:  # type: ignore[no-untyped-call]
        while (left_s := until - time.monotonic()) > 0:
            if not monitor.connection.can_read(timeout=left_s):
                break
            told = monitor.next_command()
            if told["client_type"] != "lua":
                found[str(told["command"]).split(" ")[0].lower()] += 1
    return Counter({name: calls for name, calls in found.items() if name not in OURS})


def idle(server: RedisServer, namespace: str, roles: tuple[str, ...], window_s: float) -> tuple[float, float, float]:
    """Commands sent in a second, commands with those inside of scripts, and the share of a core; all are printed."""
    with whole_worker(server.url, namespace, *roles) as worker, server.client() as client:
        wait_until(lambda: settled(client) and settled(client), "it is at rest")
        client.config_resetstat()
        began, before = time.monotonic(), cpu_s(worker.process.pid)
        sent = monitored(client, window_s)
        took_s = time.monotonic() - began
        cpu, inside = (cpu_s(worker.process.pid) - before) / took_s, counted(client)
        a_second = {name: round(calls / took_s, 1) for name, calls in sent.most_common()}
        print(
            f"\n{' '.join(roles) or 'all roles'}: {sent.total() / took_s:.1f} commands a second {a_second}, "
            f"with those inside of scripts {inside.total() / took_s:.1f}; {100 * cpu:.2f} % of a core"
        )
        return sent.total() / took_s, inside.total() / took_s, cpu


def settled(client: redis.Redis) -> bool:
    """Whether it has begun, and for a second hardly anything but beats was sent: the start is over."""
    client.config_resetstat()
    time.sleep(1.0)  # a measuring window
    return 0 < counted(client)["evalsha"] <= 10


def test_an_idle_worker_costs_next_to_nothing(own_server: RedisServer, namespace: str) -> None:
    """All roles and two groups: some commands a second, and hardly any of a core."""
    sent, inside, cpu = idle(own_server, namespace, (), WINDOW_S)
    assert sent <= COMMANDS_MAX
    assert inside <= INSIDE_MAX
    assert cpu < CPU_MAX


@pytest.mark.drill
@pytest.mark.parametrize("role", ROLES)
def test_an_idle_role_costs_next_to_nothing(own_server: RedisServer, namespace: str, role: str) -> None:
    """Each by itself, for longer."""
    sent, _, cpu = idle(own_server, namespace, (role,), 5 * TAIL_BLOCK_MS / 1000)
    assert sent <= COMMANDS_MAX / 2
    assert cpu < CPU_MAX


def test_ten_thousand_who_wait_need_few_connections(own_server: RedisServer, namespace: str) -> None:
    """On one service: they are woken, each with the answer to its own."""

    async def main() -> None:
        async with connect(own_server.url, namespace=namespace) as service:
            asked = []
            for first in range(0, WAITERS, AT_ONCE):
                numbers = range(first, first + AT_ONCE)
                asked += await asyncio.gather(*(ask(service, f"s{number}") for number in numbers))
            waiters = await begun(service, *(service.wait(one.id) for one in asked))
            with own_server.client() as client:
                others = 1
                connections = len(client.client_list()) - others
            async with connect(own_server.url, namespace=namespace) as other:
                began = time.monotonic()
                for first in range(0, WAITERS, AT_ONCE):
                    some = asked[first : first + AT_ONCE]
                    said = [InterruptResponse(approved=True, data={"id": one.id}) for one in some]
                    await asyncio.gather(*(other.respond(one.id, what) for one, what in zip(some, said, strict=True)))
                closed = await asyncio.gather(*waiters)
                print(f"\n{WAITERS} who wait: {connections} connections; woken in {time.monotonic() - began:.1f} s")
            assert [one.response and one.response.data for one in closed] == [{"id": one.id} for one in asked]
            assert connections <= CONNECTIONS_MAX

    run(main(), 110)
