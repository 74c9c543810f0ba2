"""`tail`: the log of all partitions in one stream, by a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from interrupts import InterruptService, Position, connect
from tests.conftest import whole_log
from tests.servers import Cluster, RedisServer, sessions
from tests.test_tour import run

TIMEOUT_S = 30.0


@contextmanager
def tailing(server: RedisServer | Cluster, namespace: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """It follows, and has said so; at the end of the block it is gone."""
    command = [sys.executable, "-m", "workers", "tail", "--url", server.url, "--namespace", namespace, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline().startswith("tail: following ")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def filled(server: RedisServer, namespace: str) -> list[str]:
    """Three rounds of events in each of four partitions; the positions of all, partition by partition."""

    async def main() -> list[str]:
        async with connect(server.url, namespace=namespace, partitions=4) as service:
            for number in range(3):
                for session in sessions(service):
                    await service.create_checkpoint(f"req-{number}", "ada", session)
            events = await whole_log(service)
            return [event.position for event in events]

    return asyncio.run(main())


async def ask_and_cancel(service: InterruptService, session: str) -> None:
    """Two events of ada's."""
    pause = await service.create_clarification("req-1", "ada", session, "Which?")
    await service.cancel(pause.id, actor="grace")


def test_what_comes_in_any_partition_is_told_at_once(shared_server: RedisServer, namespace: str) -> None:
    """From the moment at which it says that it follows; Ctrl-C ends it with 130 and no complaint."""

    async def write() -> list[str]:
        async with connect(shared_server.url, namespace=namespace, partitions=4) as service:
            for session in sessions(service):
                await ask_and_cancel(service, session)
            return sessions(service)

    filled(shared_server, namespace)
    with tailing(shared_server, namespace) as process:
        written = asyncio.run(write())
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(8)]
        for session in written:
            created, cancelled = [line for line in lines if f"session={session} " in line]
            assert "interrupt.created  clarification" in created
            assert created.endswith('{"question":"Which?"}\n')
            assert "interrupt.cancelled" in cancelled
            assert "by=grace" in cancelled
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT_S) == 130
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_in_a_cluster_all_nodes_are_followed(cluster: Cluster, namespace: str) -> None:
    """What is there and what comes, wherever a partition is."""

    async def write() -> None:
        async with connect(cluster.url, namespace=namespace, partitions=6) as service:
            for session in sessions(service):
                await ask_and_cancel(service, session)

    asyncio.run(write())
    with tailing(cluster, namespace, "--limit", "12", "--json") as process:
        asyncio.run(write())
        assert process.stdout is not None
        came = [json.loads(line) for line in process.stdout]
        assert process.wait(TIMEOUT_S) == 0
    assert Counter(event["position"].partition(":")[0] for event in came) == dict.fromkeys("012345", 2)


def test_it_goes_on_when_the_server_was_away(own_server: RedisServer, namespace: str) -> None:
    """What is written afterwards is told, and nothing twice."""

    async def write() -> None:
        async with connect(own_server.url, namespace=namespace, partitions=2) as service:
            await ask_and_cancel(service, "s")

    asyncio.run(write())
    with tailing(own_server, namespace, "--json", "--limit", "4") as process:
        asyncio.run(write())
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        own_server.kill()
        own_server.start()
        asyncio.run(write())
        lines += process.stdout.readlines()
        assert process.wait(TIMEOUT_S) == 0
        assert [json.loads(line)["version"] for line in lines] == [1, 2, 1, 2]
        assert len({json.loads(line)["position"] for line in lines}) == 4


def test_a_log_that_is_none_any_more_ends_it_with_a_sentence(own_server: RedisServer, namespace: str) -> None:
    """Exit code 1, no stack trace."""
    with tailing(own_server, namespace) as process:
        keys = own_server.command("KEYS", f"{{{namespace}*meta")
        assert keys
        for name in log_keys(own_server.url, namespace):
            own_server.command("SET", name, "x")
        assert process.wait(TIMEOUT_S) == 1
        assert process.stderr is not None
        said = process.stderr.read()
        assert "tail: Redis refused to show the log" in said
        assert "Traceback" not in said


def log_keys(url: str, namespace: str) -> list[str]:
    """The keys of the log."""

    async def main() -> list[str]:
        async with connect(url, namespace=namespace) as service:
            return list(service.store.keys.logs)

    return asyncio.run(main())


def test_what_is_there_is_told_in_the_order_of_its_times(shared_server: RedisServer, namespace: str) -> None:
    """From the start, from a time, or behind a position; never one twice from the start."""
    positions = filled(shared_server, namespace)
    here = ["--url", shared_server.url, "--namespace", namespace, "--json"]

    def told(*arguments: str) -> list[str]:
        ran = subprocess.run(
            [sys.executable, "-m", "workers", "tail", *here, *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
        assert ran.stderr == ""
        return [json.loads(line)["position"] for line in ran.stdout.splitlines()]

    everything = told("--from-start", "--limit", "12")
    assert sorted(everything) == sorted(positions)
    times = [position.split(":")[1].split("-")[0] for position in everything]
    assert times == sorted(times)
    assert sorted(told("--since", "1h", "--limit", "12")) == sorted(positions)
    assert len(told("--from-start", "--request", "req-2", "--type", "created", "--limit", "4")) == 4
    fourth = Position.parse(everything[3])
    expected = {
        position
        for position in map(Position.parse, positions)
        if position.ms >= fourth.ms and (position.partition != fourth.partition or position > fourth)
    }
    rest = told("--after", str(fourth), "--limit", str(len(expected)))
    assert {Position.parse(position) for position in rest} == expected
    behind_each = [position for partition in range(4) for position in of(positions, partition)[1:2]]
    last = told(*(word for position in behind_each for word in ("--after", position)), "--limit", "4")
    assert sorted(last) == sorted(position for partition in range(4) for position in of(positions, partition)[2:])


def of(positions: list[str], partition: int) -> list[str]:
    """Those of a partition, in order."""
    return [position for position in positions if position.startswith(f"{partition}:")]


WRONG: dict[tuple[str, ...], str] = {
    ("--after", "900:1-1"): "after: 900:1-1 is not in a partition of this namespace.",
    ("--after", "x"): "position: 'x' is not of the form",
    ("--since", "soon"): "since: 'soon' is no time.",
    ("--kind", "pause"): "kind: 'pause' is not a kind.",
}


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_can_not_be_meant_is_refused(
    arguments: tuple[str, ...], shared_server: RedisServer, namespace: str, tmp_path: os.PathLike[str]
) -> None:
    """Exit code 1, and a sentence."""
    ran = run(tmp_path, "tail", *arguments, "--namespace", namespace, url=shared_server.url)  # type: ignore[arg-type]
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"tail: {WRONG[arguments]}")


def test_a_reader_that_has_enough_is_no_fault(shared_server: RedisServer, namespace: str) -> None:
    """As `tail --from-start | head -1`."""
    filled(shared_server, namespace)
    here = f"--url {shared_server.url} --namespace {namespace}"
    ran = subprocess.run(
        [
            "bash",
            "-c",
            f"'{sys.executable}' -m workers tail --from-start --limit 12 {here} | head -n 1; exit $PIPESTATUS",
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("\n") == 1
