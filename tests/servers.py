"""Real servers for tests: started on free ports, frozen, killed, restarted, and always ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import redis

from interrupts import InterruptService

START_TIMEOUT_S = 20.0
END_TIMEOUT_S = 20.0
NODES = 3
SLOTS = 16_384
KEYS_AT_ONCE = 10
"""Keys that one step of a slot's move takes along."""


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """Returns when the condition holds; fails with what was waited for if it does not in time."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {timeout_s:g} s in vain: {what}"
        time.sleep(0.01)


async def until(condition: Callable[[], bool], what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    """`wait_until` for async code: the loop goes on meanwhile."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {timeout_s:g} s in vain: {what}"
        await asyncio.sleep(0.005)


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cluster_port() -> int:
    """A free port whose bus port, 10,000 higher, is free and below those that the kernel gives to others."""
    for _ in range(1_000):
        port = random.randrange(10_000, 22_000)
        with socket.socket() as here, socket.socket() as bus, contextlib.suppress(OSError):
            here.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10_000))
            return port
    raise AssertionError("no free port for a cluster node")


class RedisServer:
    """One `redis-server` of the tests' own, in a folder of its own, on the loopback."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.folder = folder
        self.options = options
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> RedisServer:
        """Starts it, again on the same port and with the same data, and waits until it answers."""
        program = shutil.which("redis-server")
        assert program, "these tests need redis-server on the PATH"
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen([program, *self._arguments()], stdout=log, stderr=log)
        wait_until(self._answers, f"redis-server on port {self.port} answers")
        return self

    def _arguments(self) -> list[str]:
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [*where, "--save", "", *self.options]

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "server.log").read_text()
        with self.client() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        """A plain client; close it."""
        return redis.Redis(port=self.port, socket_timeout=5.0)

    def command(self, *command: object) -> object:
        """One command's reply, from a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)

    def freeze(self) -> None:
        """Stops it in its tracks: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on where it was."""
        self._signal(signal.SIGCONT)

    @staticmethod
    def signal_pid(pid: int, *, stop: bool) -> None:
        """Freezes or thaws a server that was started by what is tested."""
        os.kill(pid, signal.SIGSTOP if stop else signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as a crash does."""
        self._signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(END_TIMEOUT_S)

    def stop(self) -> None:
        """Ends it, in whatever state it is."""
        if self.process is not None and self.process.poll() is None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            try:
                self.process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()

    def _signal(self, number: int) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, number)


class Sentinel(RedisServer):
    """A sentinel that watches over one group, quick to act."""

    def __init__(self, folder: Path, group: str, primary: RedisServer) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {group} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {group} 300\n"
            f"sentinel failover-timeout {group} 2000\n"
        )

    def _arguments(self) -> list[str]:
        return [str(self.folder / "sentinel.conf"), "--sentinel"]


class Cluster:
    """Three nodes on the loopback, with a third of the slots each."""

    def __init__(self, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--appendonly", "no")
        self.nodes = [RedisServer(folder / str(n), *options, port=cluster_port()) for n in range(NODES)]
        self.url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def start(self) -> None:
        """Starts the nodes, makes them a cluster, and waits until all of them say so."""
        bounds = [SLOTS * n // NODES for n in range(NODES + 1)]
        for number, node in enumerate(self.nodes):
            node.start()
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.command("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            self.nodes[0].command("CLUSTER", "MEET", "127.0.0.1", node.port)
        wait_until(lambda: all(map(self._ready, self.nodes)), "the cluster is whole")

    def _ready(self, node: RedisServer) -> bool:
        with node.client() as client:
            info = str(client.execute_command("CLUSTER INFO"))
            return "'cluster_state': 'ok'" in info and f"'cluster_known_nodes': '{NODES}'" in info

    def id_of(self, node: RedisServer) -> str:
        """Its name in the cluster."""
        reply = node.command("CLUSTER", "MYID")
        assert isinstance(reply, bytes)
        return reply.decode()

    def owner(self, slot: int) -> RedisServer:
        """The node that has this slot."""
        reply = self.nodes[0].command("CLUSTER", "SLOTS")
        assert isinstance(reply, list)
        (port,) = [primary[1] for first, last, primary in reply if first <= slot <= last]
        return next(node for node in self.nodes if node.port == port)

    def move(self, slot: int, to: RedisServer) -> int:
        """Moves a slot as operators do, a few keys at a time; how many keys it had."""
        moved = self.move_keys(slot, to)
        self.settle(slot, to)
        return moved

    def move_keys(self, slot: int, to: RedisServer) -> int:
        """The first part of a move: the keys are there, the slot is still here."""
        source, moved = self.owner(slot), 0
        to.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(to))
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
            assert isinstance(keys, list)
            source.command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
            moved += len(keys)
        return moved

    def settle(self, slot: int, to: RedisServer) -> None:
        """The second part: all nodes are told."""
        for node in (to, *self.nodes):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(to))

    def stop(self) -> None:
        """Ends all nodes."""
        for node in self.nodes:
            node.stop()


def sessions(service: InterruptService) -> list[str]:
    """A session in each partition."""
    found: dict[int, str] = {}
    for number in range(100_000):
        found.setdefault(service.log.partition_of(f"s{number}"), f"s{number}")
        if len(found) == service.log.partitions:
            break
    return [found[partition] for partition in range(service.log.partitions)]
